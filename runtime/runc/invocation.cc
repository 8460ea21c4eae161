// SPDX-License-Identifier: Apache-2.0
#include "runtime/runc/invocation.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "base/process.h"
#include "base/status.h"

namespace ctrd::runtime::runc {
namespace {

constexpr size_t kMostOutputBytes = 4 << 20;
// A process that the runtime left behind may hold its output open: no longer than this.
constexpr absl::Duration kOutputGrace = absl::Seconds(2);

// What must come together before the caller hears of it: the exit and the end of the output.
struct Running : std::enable_shared_from_this<Running> {
  base::EventLoop* loop;
  InvocationDone done;
  base::UniqueFd output;
  InvocationResult result;
  bool exited = false;
  std::optional<base::EventLoop::TimerId> grace;

  void Read() {
    char buffer[4096];
    const ssize_t count = ::read(output.get(), buffer, sizeof(buffer));
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count > 0) {
      result.output.append(
          buffer, std::min(static_cast<size_t>(count), kMostOutputBytes - result.output.size()));
      return;
    }
    CloseOutput();
  }
  void CloseOutput() {
    if (output.valid()) loop->Remove(output.get());
    output.Reset();
    FinishIfComplete();
  }
  void Exited(int code) {
    result.exit_code = code;
    exited = true;
    if (output.valid()) {
      grace = loop->After(kOutputGrace, [self = shared_from_this()] {
        self->grace.reset();
        self->CloseOutput();
      });
    }
    FinishIfComplete();
  }
  void FinishIfComplete() {
    if (!exited || output.valid()) return;
    if (grace) loop->Cancel(*grace);
    if (done) std::exchange(done, nullptr)(std::move(result));
  }
};

// A file of memory that holds `input`, to be read from its start.
absl::StatusOr<base::UniqueFd> InputFile(std::string_view input) {
  base::UniqueFd file(::memfd_create("runtime-input", MFD_CLOEXEC));
  if (!file.valid()) return base::ErrnoStatus("memfd_create", "runtime input");
  if (::write(file.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size()) ||
      ::lseek(file.get(), 0, SEEK_SET) != 0) {
    return base::ErrnoStatus("write", "runtime input");
  }
  return file;
}

absl::Status Begin(Reaper* reaper, const Invocation& invocation,
                   const std::shared_ptr<Running>& running) {
  base::SpawnOptions options{.argv = invocation.arguments,
                             .environment = RuntimeEnvironment(),
                             .descriptors = invocation.stdio,
                             .parent_death_signal = SIGKILL};
  base::UniqueFd input, writing;
  if (!invocation.input.empty()) {
    ASSIGN_OR_RETURN(input, InputFile(invocation.input));
    options.descriptors.emplace_back(input.get(), 0);
  }
  if (invocation.stdio.empty()) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return base::ErrnoStatus("pipe2", "runtime output");
    running->output.Reset(ends[0]);
    writing.Reset(ends[1]);
    (void)::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    options.descriptors.emplace_back(ends[1], 1);
    options.descriptors.emplace_back(ends[1], 2);
    RETURN_IF_ERROR(running->loop->Add(ends[0], EPOLLIN, [running](uint32_t) { running->Read(); }));
  }
  ASSIGN_OR_RETURN(const base::Child child, base::Spawn(options));
  reaper->Watch(child.pid, [running](Exit exit) { running->Exited(exit.status); });
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> RuntimeEnvironment() {
  std::vector<std::string> environment = base::CurrentEnvironment();
  std::erase_if(environment,
                [](const std::string& entry) { return entry.starts_with("NOTIFY_SOCKET="); });
  return environment;
}

void Invoke(base::EventLoop* loop, Reaper* reaper, const Invocation& invocation,
            InvocationDone done) {
  auto running = std::make_shared<Running>();
  running->loop = loop;
  running->done = std::move(done);
  const absl::Status status = Begin(reaper, invocation, running);
  if (status.ok()) return;
  if (running->output.valid()) loop->Remove(running->output.get());
  loop->Post([running, status] { running->done(status); });
}

}  // namespace ctrd::runtime::runc
