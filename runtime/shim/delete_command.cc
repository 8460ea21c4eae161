// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <charconv>
#include <climits>
#include <cstdlib>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/log.h"
#include "base/mount.h"
#include "base/process.h"
#include "base/status.h"
#include "runtime/runc/invocation.h"
#include "runtime/runc/runc.h"
#include "runtime/shim/commands.h"
#include "runtime/shim/exit_record.h"
#include "runtime/shim/runc_options.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kRuntimeLimit = absl::Minutes(2);
constexpr uint32_t kKilled = 137;

uint32_t InitPid(const std::string& bundle) {
  const auto text = base::ReadFile(bundle + "/init.pid", 32);
  uint32_t pid = 0;
  if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), pid);
  return pid == 0 ? UINT32_MAX : pid;
}

// Failures are for the log: what can be cleaned up is.
void DeleteContainer(const std::string& bundle, const Flags& flags) {
  const RuncOptions options = LoadRuncOptions(bundle);
  runc::Program program;
  if (!options.binary_name.empty()) program.binary = options.binary_name;
  if (!options.root.empty()) program.root = options.root;
  program.namespace_name = flags.namespace_name;
  program.log_path = bundle + "/log.json";
  // The usual end: the container was deleted, and the runtime knows nothing of it any more.
  if (!base::Exists(program.StateDirectory() + "/" + flags.id)) return;
  const auto result = base::Run({.argv = runc::DeleteArguments(program, flags.id, /*force=*/true),
                                 .environment = runc::RuntimeEnvironment()},
                                "", absl::Now() + kRuntimeLimit);
  if (!result.ok()) {
    base::LogWarn("failed to remove runc container", {{"error", result.status()}});
  } else if (result->exit_code != 0) {
    base::LogWarn("failed to remove runc container", {{"output", result->output}});
  }
}

}  // namespace

absl::StatusOr<std::string> DeleteCommand(const Flags& flags) {
  RETURN_IF_ERROR(base::ValidateIdentifier(flags.id));
  char cwd[PATH_MAX];
  if (::getcwd(cwd, sizeof(cwd)) == nullptr) return base::ErrnoStatus("getcwd", "");
  const std::string here = cwd;
  const std::string bundle = here.substr(0, here.rfind('/')) + "/" + flags.id;
  DeleteContainer(bundle, flags);
  if (const absl::Status unmounted = base::UnmountAll(bundle + "/rootfs"); !unmounted.ok()) {
    base::LogWarn("failed to cleanup rootfs mount", {{"error", unmounted}});
  }
  const std::optional<ExitRecord> exit = ReadExitRecord(bundle, "");
  return EncodeExit(
      exit.value_or(ExitRecord{.pid = InitPid(bundle), .status = kKilled, .at = absl::Now()}));
}

}  // namespace ctrd::runtime::shim
