// SPDX-License-Identifier: Apache-2.0
// What `run` and `containers create` have in common: their flags, and the container they describe.
#pragma once

#include <google/protobuf/any.pb.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ctr/cli/command.h"
#include "ctr/client.h"
#include "images/spec/documents.h"
#include "runtime/spec/spec.h"
#include "runtime/spec/users.h"
#include "types/runc/options/oci.pb.h"

namespace ctrd::ctr {

inline constexpr char kDefaultRuntime[] = "io.containerd.runc.v2";

std::vector<Flag> ContainerFlags();
// Those of them that choose the runtime.
std::vector<Flag> RuntimeFlags();
// Only of `run`: cgroup, cpus, user namespaces, ….
std::vector<Flag> RunResourceFlags();

// Flags that only `run` has; for `containers create` they have their defaults.
class RunFlags {
 public:
  explicit RunFlags(const Invocation& invocation)
      : invocation_(invocation), is_run_(invocation.Declares("cgroup")) {}

  bool is_run() const { return is_run_; }
  std::string Text(std::string_view name) const { return is_run_ ? invocation_.Text(name) : ""; }
  double Real(std::string_view name) const { return is_run_ ? invocation_.Real(name) : 0; }
  bool Switch(std::string_view name) const { return is_run_ && invocation_.Switch(name); }
  bool IsSet(std::string_view name) const { return is_run_ && invocation_.IsSet(name); }

 private:
  const Invocation& invocation_;
  bool is_run_;
};

// Everything the flags say that can be found wrong without asking the daemon.
absl::Status CheckContainerFlags(const Invocation& invocation);

// What the specification is made from, besides the flags.
struct SpecSource {
  const Client* client;
  std::string container_id;
  std::string rootfs;                          // With --rootfs: its absolute path.
  const images::ImageConfig* image = nullptr;  // Else.
  std::vector<std::string> arguments;          // Of the command line, after the id.
  runtime::AccountFileReader read_account_file;
};

// Applies image and flags in the order of docs/formats/runtime-spec.md. With --config: the file.
absl::StatusOr<runtime::Spec> MakeSpec(const Invocation& invocation, const SpecSource& source);

// Options for the runc shim. An error when flags of runc are given with another runtime.
absl::StatusOr<containerd::runc::v1::Options> RuncOptions(const Invocation& invocation);

// What the runtime of the flags is told. Runtimes other than runc's know the general kind only, a
// path; without one they are told nothing, as they refuse a kind that is not theirs.
absl::StatusOr<std::optional<google::protobuf::Any>> RuntimeOptions(const Invocation& invocation);

}  // namespace ctrd::ctr
