// SPDX-License-Identifier: Apache-2.0
// Spec: an OCI runtime specification as a client makes it, from the defaults by one change after
// the other. The daemon never edits specifications: it stores the bytes of ToJson and hands them to
// the runtime.
//
// The order of changes is visible in the result; a command line applies them as
// docs/formats/runtime-spec.md lists them. Never in the result: inheritable or ambient capabilities
// (unless a file given by the user has them), and anything an image asks for besides its
// environment, arguments, directory and user.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/spec/host.h"
#include "runtime/spec/users.h"

namespace ctrd::runtime {

inline constexpr std::string_view kSpecTypeUrl =
    "types.containerd.io/opencontainers/runtime-spec/1/Spec";
inline constexpr std::string_view kProcessTypeUrl =
    "types.containerd.io/opencontainers/runtime-spec/1/Process";
inline constexpr std::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct SpecMount {
  std::string type;
  std::string source;
  std::string destination;
  std::vector<std::string> options;
};

struct IdMapping {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
};

// What a specification takes from an image's configuration.
struct ImageProcess {
  std::vector<std::string> environment;
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::string working_directory;
};

// How the process of an exec differs from that of its container.
struct ExecProcess {
  std::vector<std::string> arguments;
  bool terminal = false;
  std::string working_directory;  // "": the container's.
  std::optional<UserIds> user;
};

// `overrides` laid over `base`: the same key replaces in place, a new one is appended, and a key
// without '=' removes.
std::vector<std::string> MergeEnvironment(const std::vector<std::string>& base,
                                          const std::vector<std::string>& overrides);

class Spec {
 public:
  // The defaults. No device is allowed yet, no arguments and no environment are set.
  static Spec Default(std::string_view namespace_name, std::string_view container_id);
  // Unknown if `json` is no runtime specification: a member of another type than it has there is
  // refused by its name, a null one counts as absent.
  static absl::StatusOr<Spec> Parse(std::string_view json);

  Spec(Spec&&) noexcept;
  Spec& operator=(Spec&&) noexcept;
  ~Spec();

  // Keys in the order of the OCI document. `indent` < 0: on one line.
  std::string ToJson(int indent = -1) const;

  // The container's process with the changes of an exec, as JSON.
  std::string ExecProcessJson(const ExecProcess& exec) const;

  bool HasTerminal() const;
  std::string RootPath() const;
  std::string MountLabel() const;  // SELinux's, of every mount of the container; "": none.

  void AllowDefaultDevices();
  void MergeEnvironment(const std::vector<std::string>& overrides);
  // Mounts of the same destination are replaced.
  void AddMounts(const std::vector<SpecMount>& mounts);
  void SetRootPath(std::string_view path);
  void MakeRootReadOnly();
  // Environment entries that are set already win over the image's.
  void ApplyImage(const ImageProcess& image);
  void SetUser(const UserIds& ids);
  void SetArguments(const std::vector<std::string>& arguments);
  void SetWorkingDirectory(std::string_view path);
  void UseTerminal();  // And TERM=xterm.
  void SetHostname(std::string_view name);
  void SetAnnotation(std::string_view key, std::string_view value);
  void SetRlimit(std::string_view type, uint64_t soft, uint64_t hard);
  void AllowNewPrivileges();

  // All of `capabilities`, no masked or read-only paths, writable sysfs and cgroups, no profiles.
  void MakePrivileged(const std::vector<std::string>& capabilities);
  void AllowAllDevices();
  void AddDeviceNode(const HostDevice& device);
  void AllowDevice(const HostDevice& device);
  // Adding reaches the bounding, effective and permitted sets, dropping the inheritable one too.
  void AddCapabilities(const std::vector<std::string>& capabilities);
  void DropCapabilities(const std::vector<std::string>& capabilities);
  std::vector<std::string> BoundingCapabilities() const;
  absl::Status SetSeccompProfile(std::string_view json);
  void SetAppArmorProfile(std::string_view name);

  void UseHostNetwork(std::string_view host_name);
  // Joins the namespace at `path` ("" makes a new one).
  void SetNamespace(std::string_view type, std::string_view path);
  void SetUserNamespace(const std::vector<IdMapping>& uids, const std::vector<IdMapping>& gids);

  void SetCgroupsPath(std::string_view path);  // "" leaves the choice to the runtime.
  void SetCpuQuota(int64_t quota, uint64_t period);
  void SetCpuShares(uint64_t shares);
  void SetCpuset(std::string_view cpus, std::string_view memory_nodes);  // "" leaves one alone.
  void SetMemoryLimit(int64_t bytes);
  void SetRootfsPropagation(std::string_view propagation);
  void SetRdtClass(std::string_view name);

 private:
  struct Document;
  explicit Spec(std::unique_ptr<Document> document);
  std::unique_ptr<Document> document_;
};

}  // namespace ctrd::runtime
