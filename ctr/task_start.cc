// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "base/files.h"
#include "ctr/output.h"
#include "ctr/task.h"
#include "ctr/task_flags.h"
#include "runtime/spec/spec.h"

namespace ctrd::ctr {
namespace {

using containerd::services::containers::v1::Container;

// `run` has the flag --tty; a container that exists already has it in its specification.
bool WantsTerminal(const Invocation& invocation, const Container& container) {
  if (invocation.Declares("tty")) return invocation.Switch("tty");
  const auto spec = runtime::Spec::Parse(container.spec().value());
  return spec.ok() && spec->HasTerminal();
}

absl::Status Attach(Invocation& invocation, const Client& client, const ProcessId& id, TaskIo& io) {
  ASSIGN_OR_RETURN(const uint32_t code, RunAttached(client, id, io, /*start=*/true));
  RETURN_IF_ERROR(DeleteProcess(client, id).status());
  invocation.ExitWith(static_cast<int>(code));
  return absl::OkStatus();
}

}  // namespace

std::vector<Flag> StartFlags() {
  return {{FlagKind::kSwitch, "null-io", "connect the process to nothing"},
          {FlagKind::kText, "log-uri", "where the shim writes the output"},
          {FlagKind::kText, "fifo-dir", "directory for FIFOs"},
          {FlagKind::kSwitch, "detach,d", "do not wait for the end"}};
}

absl::Status StartTask(Invocation& invocation, const Client& client, const Container& container,
                       const containerd::runc::v1::Options* options) {
  const bool detached = invocation.Switch("detach");
  const bool terminal = WantsTerminal(invocation, container);
  std::optional<RawTerminal> raw;
  if (terminal && !detached) {
    ASSIGN_OR_RETURN(RawTerminal entered, RawTerminal::Enter());
    raw.emplace(std::move(entered));
  }
  ASSIGN_OR_RETURN(const auto io,
                   TaskIo::Create(container.id(), {.terminal = terminal,
                                                   .null_io = invocation.Switch("null-io"),
                                                   .log_uri = invocation.Text("log-uri"),
                                                   .fifo_directory = invocation.Text("fifo-dir")}));
  ASSIGN_OR_RETURN(const uint32_t pid, CreateTask(client, container, *io, options));
  const ProcessId id{container.id(), ""};
  absl::Status status;
  if (const std::string file = invocation.Text("pid-file"); !file.empty()) {
    status = base::WriteFileAtomically(file, std::to_string(pid), 0666);
  }
  if (status.ok()) {
    status = detached ? StartProcess(client, id).status() : Attach(invocation, client, id, *io);
  }
  if (!status.ok()) {
    (void)DeleteTask(client, container.id(), /*force=*/true);  // What went wrong first counts.
  } else if (detached) {
    io->Keep();
  }
  return status;
}

}  // namespace ctrd::ctr
