// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/prctl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "base/files.h"
#include "base/process.h"
#include "base/status.h"
#include "runtime/cgroups/cgroup.h"
#include "runtime/shim/bootstrap.h"
#include "runtime/shim/bundle_spec.h"
#include "runtime/shim/commands.h"
#include "runtime/shim/runc_options.h"
#include "runtime/shim/shim_socket.h"

namespace ctrd::runtime::shim {
namespace {

constexpr size_t kMostInputBytes = 10 << 20;
constexpr int kListenerNumber = 3;
constexpr int kGroupScope = 2;  // PIDTYPE_PGID: a cookie for the whole process group.

// The server is the first to go when memory runs out, right after the daemon's children's parent.
void AdjustOomScore(pid_t server) {
  const auto text = base::ReadFile(fmt::format("/proc/{}/oom_score_adj", ::getppid()), 64);
  int score = 0;
  if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), score);
  score = std::clamp(score + 1, -1000, 1000);
  const base::UniqueFd file(
      ::open(fmt::format("/proc/{}/oom_score_adj", server).c_str(), O_WRONLY | O_CLOEXEC));
  const std::string value = std::to_string(score);
  // Without the privilege it stays as it is.
  if (file.valid()) (void)!::write(file.get(), value.data(), value.size());
}

absl::StatusOr<base::Child> StartServer(const Flags& flags, const Bootstrap& bootstrap,
                                        const base::UniqueFd& listener) {
  char self[4096];
  const ssize_t size = ::readlink("/proc/self/exe", self, sizeof(self));
  if (size <= 0) return base::ErrnoStatus("readlink", "/proc/self/exe");
  base::SpawnOptions options;
  options.argv = {std::string(self, static_cast<size_t>(size)),
                  "-namespace",
                  flags.namespace_name,
                  "-id",
                  flags.id,
                  "-address",
                  flags.address};
  if (flags.debug) options.argv.push_back("-debug");
  options.environment = base::CurrentEnvironment();
  if (std::getenv("TTRPC_ADDRESS") == nullptr && !bootstrap.ttrpc_address.empty()) {
    options.environment.push_back("TTRPC_ADDRESS=" + bootstrap.ttrpc_address);
  }
  options.descriptors = {{listener.get(), kListenerNumber}};
  options.new_process_group = true;
  if (const char* wanted = std::getenv("SCHED_CORE"); wanted != nullptr && *wanted != '\0') {
    if (::prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, kGroupScope, 0) != 0) {
      return base::ErrnoStatus("prctl", "PR_SCHED_CORE");
    }
  }
  return base::Spawn(options);
}

absl::Status JoinShimCgroup(const base::Any& options, const base::Child& server) {
  // Options of another runtime's type have no such wish.
  if (!IsRuncOptions(options)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const RuncOptions decoded, DecodeRuncOptions(options));
  if (decoded.shim_cgroup.empty()) return absl::OkStatus();
  return base::Annotate(cgroups::JoinCgroup(decoded.shim_cgroup, server.pid),
                        fmt::format("failed to load cgroup {}", decoded.shim_cgroup));
}

// What an older daemon reads to find us again.
absl::Status WriteAddressFile(const std::string& address) {
  return base::WriteFileAtomically("address", address, 0600);
}

}  // namespace

absl::StatusOr<std::string> ReadStandardInput() {
  if (::isatty(STDIN_FILENO) == 1) return std::string();
  return base::ReadAll(STDIN_FILENO, "standard input", kMostInputBytes);
}

absl::StatusOr<std::string> StartCommand(const Flags& flags) {
  ASSIGN_OR_RETURN(const std::string input, ReadStandardInput());
  const Bootstrap bootstrap = ReadBootstrap(input, flags.id, flags.namespace_name,
                                            std::getenv("MAX_SHIM_VERSION") != nullptr);
  const std::string directory =
      bootstrap.socket_dir.empty() ? kDefaultSocketDir : bootstrap.socket_dir;
  if (!bootstrap.socket_dir.empty() && ::symlink(directory.c_str(), "s") != 0 && errno != EEXIST) {
    return base::ErrnoStatus("symlink", "s");
  }
  const std::string address =
      SocketAddress(directory, flags.address, flags.namespace_name, GroupOf(".", flags.id));
  ASSIGN_OR_RETURN(const base::UniqueFd listener, BindOrJoin(directory, address));
  if (listener.valid()) {
    ASSIGN_OR_RETURN(const base::Child server, StartServer(flags, bootstrap, listener));
    if (const absl::Status joined = JoinShimCgroup(bootstrap.options, server); !joined.ok()) {
      (void)::kill(server.pid, SIGKILL);
      (void)::unlink(address.c_str() + std::string_view("unix://").size());
      return joined;
    }
    AdjustOomScore(server.pid);
  }
  if (bootstrap.generation != Generation::kProtobuf) RETURN_IF_ERROR(WriteAddressFile(address));
  return EncodeAnswer(bootstrap.generation, address);
}

}  // namespace ctrd::runtime::shim
