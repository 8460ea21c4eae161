// SPDX-License-Identifier: Apache-2.0
#include "runtime/runc/invocation.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "base/status.h"

namespace ctrd::runtime::runc {
namespace {

constexpr size_t kMostOutputBytes = 4 << 20;
// A process that the runtime left behind may hold its output open: no longer than this.
constexpr absl::Duration kOutputGrace = absl::Seconds(2);

constexpr absl::Duration kLong = absl::Seconds(10);

// The verb and what follows it: all before is the same for every call.
std::string NameOf(const std::vector<std::string>& arguments) {
  static constexpr std::string_view kVerbs[] = {"create",  "start", "exec",   "kill",
                                                "delete",  "pause", "resume", "checkpoint",
                                                "restore", "ps",    "update"};
  const auto verb =
      std::find_first_of(arguments.begin(), arguments.end(), std::begin(kVerbs), std::end(kVerbs));
  return verb == arguments.end() ? "" : fmt::format("{} {}", *verb, arguments.back());
}

}  // namespace

// What must come together before the caller hears of it: the exit and the end of the output.
struct RunningInvocation::State : std::enable_shared_from_this<RunningInvocation::State> {
  base::EventLoop* loop;
  InvocationDone done;
  base::UniqueFd output;
  InvocationResult result;
  bool exited = false;
  std::optional<base::EventLoop::TimerId> grace, long_call;
  base::UniqueFd pidfd;
  std::string name;
  absl::Time begun = absl::Now();

  void NoteLongCall(absl::Duration after) {
    long_call = loop->After(after, [self = shared_from_this(), after] {
      base::LogWarn(
          "the runtime takes long",
          {{"call", self->name}, {"for", absl::FormatDuration(absl::Now() - self->begun)}});
      self->NoteLongCall(2 * after);
    });
  }
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
    if (long_call) loop->Cancel(*long_call);
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

using Running = RunningInvocation::State;

namespace {

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
  ASSIGN_OR_RETURN(base::Child child, base::Spawn(options));
  running->pidfd = std::move(child.pidfd);
  running->name = NameOf(invocation.arguments);
  running->NoteLongCall(kLong);
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

bool RunningInvocation::running() const {
  const auto state = state_.lock();
  return state != nullptr && state->pidfd.valid() && !state->exited;
}

void RunningInvocation::Kill() const {
  if (!running()) return;
  // By its handle: the number may belong to somebody else by now.
  (void)::syscall(SYS_pidfd_send_signal, state_.lock()->pidfd.get(), SIGKILL, nullptr, 0);
}

std::string RunningInvocation::name() const {
  const auto state = state_.lock();
  return state == nullptr ? std::string() : state->name;
}

absl::Duration RunningInvocation::age() const {
  const auto state = state_.lock();
  return state == nullptr ? absl::ZeroDuration() : absl::Now() - state->begun;
}

RunningInvocation Invoke(base::EventLoop* loop, Reaper* reaper, const Invocation& invocation,
                         InvocationDone done) {
  auto running = std::make_shared<Running>();
  running->loop = loop;
  running->done = std::move(done);
  const absl::Status status = Begin(reaper, invocation, running);
  if (status.ok()) return RunningInvocation(running);
  if (running->output.valid()) loop->Remove(running->output.get());
  loop->Post([running, status] { running->done(status); });
  return {};
}

}  // namespace ctrd::runtime::runc
