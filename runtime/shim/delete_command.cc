// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <charconv>
#include <climits>
#include <cstdlib>

#include "absl/time/clock.h"
#include "base/event_loop.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/log.h"
#include "base/mount.h"
#include "base/process.h"
#include "base/status.h"
#include "base/wire.h"
#include "runtime/cgroups/cgroup.h"
#include "runtime/runc/invocation.h"
#include "runtime/runc/runc.h"
#include "runtime/shim/bootstrap.h"
#include "runtime/shim/bundle_spec.h"
#include "runtime/shim/commands.h"
#include "runtime/shim/exit_record.h"
#include "runtime/shim/runc_options.h"
#include "runtime/shim/runtime_state.h"
#include "runtime/shim/shim_socket.h"
#include "runtime/shim/temporary.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kRuntimeLimit = absl::Minutes(2);
constexpr int kAttempts = 3;
constexpr absl::Duration kRetryDelay = absl::Milliseconds(100);
constexpr absl::Duration kServerLimit = absl::Seconds(1);
constexpr absl::Duration kCgroupLimit = absl::Milliseconds(500);
constexpr uint32_t kKilled = 137;

uint32_t InitPid(const std::string& bundle) {
  const auto text = base::ReadFile(bundle + "/init.pid", 32);
  uint32_t pid = 0;
  if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), pid);
  return pid == 0 ? UINT32_MAX : pid;
}

absl::Status DeleteByForce(const runc::Program& program, const std::string& id) {
  ASSIGN_OR_RETURN(const base::RunResult result,
                   base::Run({.argv = runc::DeleteArguments(program, id, /*force=*/true),
                              .environment = runc::RuntimeEnvironment()},
                             "", absl::Now() + kRuntimeLimit));
  return result.exit_code == 0 ? absl::OkStatus() : base::Unknown("{}", result.output);
}

// Failures are for the log: what can be cleaned up is. Nobody asks once more after this command, so
// it asks more than once, and in the end removes by itself what is proven to be of the dead.
void DeleteContainer(const std::string& bundle, const Flags& flags) {
  const RuncOptions options = LoadRuncOptions(bundle);
  runc::Program program;
  if (!options.binary_name.empty()) program.binary = options.binary_name;
  if (!options.root.empty()) program.root = options.root;
  program.namespace_name = flags.namespace_name;
  program.log_path = bundle + "/log.json";
  const std::string state = program.StateDirectory() + "/" + flags.id;
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    // The usual end: the container was deleted, and the runtime knows nothing of it any more.
    if (!base::Exists(state)) return;
    const absl::Status deleted = DeleteByForce(program, flags.id);
    if (deleted.ok()) return;
    base::LogWarn("failed to remove runc container", {{"attempt", attempt}, {"error", deleted}});
    // Others than its shim may work with the runtime's state at this moment.
    if (attempt < kAttempts) absl::SleepFor(kRetryDelay);
  }
  if (const absl::Status removed = RemoveDeadState(state); !removed.ok()) {
    base::LogWarn("the runtime's state stays", {{"error", removed}});
  }
}

// The server's socket, as the start call chose it.
std::string ServerSocket(const std::string& bundle, const Flags& flags) {
  char directory[PATH_MAX];
  const ssize_t size = ::readlink((bundle + "/s").c_str(), directory, sizeof(directory));
  return SocketAddress(
      size > 0 ? std::string(directory, static_cast<size_t>(size)) : std::string(kDefaultSocketDir),
      flags.address, flags.namespace_name, GroupOf(bundle, flags.id));
}

// A server that is there after all, and that a daemon lost or never came to know, lets go of the
// container; if that was all it had, it leaves.
void TellServer(const std::string& bundle, const Flags& flags) {
  const std::string address = ServerSocket(bundle, flags);
  if (!base::Exists(address.substr(std::string_view("unix://").size()))) return;
  const auto thread = base::EventLoopThread::Create();
  if (!thread.ok()) return;
  const auto client =
      ttrpc::Client::Connect((*thread)->loop(), address, absl::Now() + kServerLimit);
  if (!client.ok()) return;  // Nobody is there: the usual case.
  const std::string id = base::WireWriter().Bytes(1, flags.id).Take();
  for (const char* method : {"Wait", "Delete", "Shutdown"}) {
    const ttrpc::Response response = (*client)->CallAndWait(
        ttrpc::MakeRequest("containerd.task.v3.Task", method, id, flags.namespace_name),
        absl::Now() + kServerLimit);
    if (response.status().code() == absl::StatusCode::kDeadlineExceeded) {
      return base::LogWarn("the server does not answer", {{"method", std::string(method)}});
    }
  }
}

// A runtime that died with its shim may have made a cgroup and not have come to note its container.
// What it had in there ends by itself. One that others live in stays.
void RemoveCgroup(const std::string& bundle) {
  const absl::Time deadline = absl::Now() + kCgroupLimit;
  auto cgroup = cgroups::Cgroup::AtPath(CgroupsPath(bundle));
  while (cgroup.ok()) {
    cgroup->Remove();
    cgroup = cgroups::Cgroup::AtPath(CgroupsPath(bundle));
    if (!cgroup.ok() || absl::Now() > deadline) return;
    absl::SleepFor(absl::Milliseconds(5));
  }
}

// A shim that was killed could not remove its socket. One that others of the group use stays.
void RemoveSocket(const std::string& bundle, const Flags& flags) {
  const absl::Status removed = RemoveDeadSocket(ServerSocket(bundle, flags));
  if (!removed.ok()) base::LogWarn("failed to remove the shim's socket", {{"error", removed}});
}

}  // namespace

absl::StatusOr<std::string> DeleteCommand(const Flags& flags) {
  RETURN_IF_ERROR(base::ValidateIdentifier(flags.id));
  char cwd[PATH_MAX];
  if (::getcwd(cwd, sizeof(cwd)) == nullptr) return base::ErrnoStatus("getcwd", "");
  const std::string here = cwd;
  const std::string bundle = here.substr(0, here.rfind('/')) + "/" + flags.id;
  DeleteContainer(bundle, flags);
  TellServer(bundle, flags);
  if (const absl::Status unmounted = base::UnmountAll(bundle + "/rootfs"); !unmounted.ok()) {
    base::LogWarn("failed to cleanup rootfs mount", {{"error", unmounted}});
  }
  RemoveCgroup(bundle);
  RemoveSocket(bundle, flags);
  RemoveTemporaries(bundle);
  const std::optional<ExitRecord> exit = ReadExitRecord(bundle, "");
  return EncodeExit(
      exit.value_or(ExitRecord{.pid = InitPid(bundle), .status = kKilled, .at = absl::Now()}));
}

}  // namespace ctrd::runtime::shim
