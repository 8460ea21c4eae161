// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "absl/time/clock.h"
#include "base/status.h"

namespace ctrd::base {
namespace {

// For what runs in a child that still shares our memory. A sanitizer keeps notes there: of stacks,
// which such a child leaves without a return, and of signals and descriptors, whose library
// functions it replaces. They would be taken for our own. Hence no instrumentation, and plain
// system calls.
#define IN_CHILD __attribute__((no_sanitize("address,thread,undefined")))

constexpr size_t kStackBytes = 64 << 10;
constexpr int kMostDescriptors = 64;

// All that the child needs, made before it exists: it shares our memory until it executes.
struct Plan {
  const char* path = nullptr;
  std::vector<char*> argv;
  std::vector<char*> environment;
  const char* directory = nullptr;
  std::vector<std::pair<int, int>> descriptors;
  bool new_process_group = false;
  bool new_session = false;
  int parent_death_signal = 0;
  pid_t parent = 0;
  // Written by the child.
  int error_number = 0;
  bool in_directory = false;  // The error is about the working directory.
};

// A copy of `text` as Go programs print an errno: "no such file or directory".
std::string LowerReason(int error_number) {
  char buffer[128];
  std::string text = ::strerror_r(error_number, buffer, sizeof(buffer));
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

// A handler of ours must not run in the child, which shares our memory; SIGPIPE is ignored here and
// must not be there.
IN_CHILD void ResetSignals() {
  constexpr size_t kMaskBytes = NSIG / 8;
  for (int number = 1; number < NSIG; ++number) {
    // As the kernel has it: the handler comes first, then flags and a mask.
    intptr_t action[8] = {};
    const intptr_t ignored = reinterpret_cast<intptr_t>(SIG_IGN);
    if (::syscall(SYS_rt_sigaction, number, nullptr, action, kMaskBytes) != 0) continue;
    const bool handled = action[0] != reinterpret_cast<intptr_t>(SIG_DFL) && action[0] != ignored;
    if (!handled && !(number == SIGPIPE && action[0] == ignored)) continue;
    for (intptr_t& word : action) word = 0;
    (void)::syscall(SYS_rt_sigaction, number, action, nullptr, kMaskBytes);
  }
}

// Puts each descriptor at its number and marks all others to be closed by exec.
IN_CHILD bool PlaceDescriptors(const Plan& plan) {
  int highest = 2;
  for (const auto& [from, to] : plan.descriptors) highest = std::max(highest, to);
  int moved[kMostDescriptors];
  size_t index = 0;
  for (const auto& [from, to] : plan.descriptors) {
    moved[index] = ::fcntl(from, F_DUPFD_CLOEXEC, highest + 1);
    if (moved[index++] < 0) return false;
  }
  if (::syscall(SYS_close_range, 0u, ~0u, CLOSE_RANGE_CLOEXEC) != 0) return false;
  index = 0;
  for (const auto& [from, to] : plan.descriptors) {
    if (::syscall(SYS_dup3, moved[index++], to, 0) < 0) return false;
  }
  return true;
}

[[noreturn]] IN_CHILD void EndChild() {
  for (;;) ::syscall(SYS_exit_group, 127);
}

// Runs in the child, on its own stack in our memory: system calls only.
IN_CHILD int RunChild(void* argument) {
  Plan& plan = *static_cast<Plan*>(argument);
  ResetSignals();
  bool good = true;
  if (plan.new_session) good = ::setsid() >= 0;
  if (good && plan.new_process_group && !plan.new_session) good = ::setpgid(0, 0) == 0;
  if (good && plan.parent_death_signal != 0) {
    good = ::prctl(PR_SET_PDEATHSIG, plan.parent_death_signal) == 0;
    if (good && ::getppid() != plan.parent) EndChild();  // It died before the line above.
  }
  if (good && plan.directory != nullptr && ::chdir(plan.directory) != 0) {
    plan.in_directory = true;
    good = false;
  }
  good = good && PlaceDescriptors(plan);
  if (good) {
    sigset_t none;
    sigemptyset(&none);
    (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(plan.path, plan.argv.data(), plan.environment.data());
  }
  plan.error_number = errno;
  EndChild();
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Starts the child and returns when it has executed or failed to (CLONE_VFORK).
absl::StatusOr<Child> Clone(Plan& plan) {
  void* stack = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return ErrnoStatus("mmap", "stack of a child");
  sigset_t all, old;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &old);
  int pidfd = -1;
  const pid_t pid = ::clone(&RunChild, static_cast<char*>(stack) + kStackBytes,
                            CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &pidfd);
  const int saved_errno = errno;
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  ::munmap(stack, kStackBytes);
  if (pid < 0) return ErrnoStatus(saved_errno, "clone", plan.path);
  return Child{.pid = pid, .pidfd = UniqueFd(pidfd)};
}

int PollTimeout(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return -1;
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now() + absl::Milliseconds(1));
  return static_cast<int>(std::clamp<int64_t>(left, 0, INT_MAX));
}

bool IsExecutable(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

absl::StatusOr<std::pair<UniqueFd, UniqueFd>> Pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe2", "");
  return std::make_pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

// The parent's side of a Run: writes the input, gathers the output.
class Conversation {
 public:
  Conversation(UniqueFd input, UniqueFd output, std::string_view text, size_t limit)
      : input_(std::move(input)), output_(std::move(output)), text_(text), limit_(limit) {
    if (text_.empty()) input_.Reset();
  }

  // One round of waiting. True once both directions are through; kDeadlineExceeded.
  absl::StatusOr<bool> Step(absl::Time deadline) {
    pollfd fds[2] = {{output_.get(), POLLIN, 0}, {input_.get(), POLLOUT, 0}};
    const int ready = ::poll(fds, 2, PollTimeout(deadline));
    if (ready < 0 && errno != EINTR) return ErrnoStatus("poll", "child");
    if (ready == 0 && absl::Now() >= deadline) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "");
    }
    if (fds[1].revents != 0) Write();
    if (fds[0].revents != 0) Read();
    return !output_.valid() && !input_.valid();
  }
  std::string TakeOutput() { return std::move(gathered_); }

 private:
  void Write() {
    const ssize_t count = ::write(input_.get(), text_.data(), text_.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count > 0) text_.remove_prefix(static_cast<size_t>(count));
    if (count < 0 || text_.empty()) input_.Reset();  // A child that does not read is no error.
  }
  void Read() {
    char buffer[8192];
    const ssize_t count = ::read(output_.get(), buffer, sizeof(buffer));
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return output_.Reset();
    gathered_.append(buffer, std::min(static_cast<size_t>(count), limit_ - gathered_.size()));
  }

  UniqueFd input_, output_;
  std::string_view text_;
  size_t limit_;
  std::string gathered_;
};

}  // namespace

absl::StatusOr<Child> Spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return InvalidArgument("no command to run");
  ASSIGN_OR_RETURN(const std::string path, FindExecutable(options.argv[0]));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return ErrnoStatus("open", "/dev/null");

  Plan plan{
      .path = path.c_str(),
      .argv = Pointers(options.argv),
      .environment = Pointers(options.environment),
      .directory = options.working_directory.empty() ? nullptr : options.working_directory.c_str(),
      .descriptors = options.descriptors,
      .new_process_group = options.new_process_group,
      .new_session = options.new_session,
      .parent_death_signal = options.parent_death_signal.value_or(0),
      .parent = ::getpid()};
  for (int number = 0; number <= 2; ++number) {
    const bool named = std::any_of(plan.descriptors.begin(), plan.descriptors.end(),
                                   [&](const auto& pair) { return pair.second == number; });
    if (!named) plan.descriptors.emplace_back(null.get(), number);
  }
  if (plan.descriptors.size() > kMostDescriptors) return InvalidArgument("too many descriptors");

  ASSIGN_OR_RETURN(Child child, Clone(plan));
  if (plan.error_number == 0) return child;
  siginfo_t info;
  while (::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
  const std::string reason = LowerReason(plan.error_number);
  const std::string text = plan.in_directory
                               ? fmt::format("chdir {}: {}", options.working_directory, reason)
                               : fmt::format("fork/exec {}: {}", path, reason);
  return absl::Status(absl::ErrnoToStatusCode(plan.error_number), ToAbsl(text));
}

absl::StatusOr<int> WaitFor(const Child& child, absl::Time deadline) {
  pollfd entry{child.pidfd.get(), POLLIN, 0};
  while (true) {
    const int ready = ::poll(&entry, 1, PollTimeout(deadline));
    if (ready > 0) break;
    if (ready < 0 && errno != EINTR) return ErrnoStatus("poll", "pidfd");
    if (absl::Now() >= deadline) return MakeError(absl::StatusCode::kDeadlineExceeded, "");
  }
  siginfo_t info = {};
  while (::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED) != 0) {
    if (errno != EINTR) return ErrnoStatus("waitid", std::to_string(child.pid));
  }
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

absl::StatusOr<RunResult> Run(SpawnOptions options, std::string_view input, absl::Time deadline,
                              size_t limit_bytes) {
  ASSIGN_OR_RETURN(auto output_pipe, Pipe());
  ASSIGN_OR_RETURN(auto input_pipe, Pipe());
  options.descriptors.emplace_back(output_pipe.second.get(), 1);
  options.descriptors.emplace_back(output_pipe.second.get(), 2);
  if (!input.empty()) options.descriptors.emplace_back(input_pipe.first.get(), 0);
  options.new_process_group = true;
  ASSIGN_OR_RETURN(const Child child, Spawn(options));
  output_pipe.second.Reset();
  input_pipe.first.Reset();
  for (const UniqueFd* end : {&output_pipe.first, &input_pipe.second}) {
    (void)::fcntl(end->get(), F_SETFL, O_NONBLOCK | ::fcntl(end->get(), F_GETFL));
  }

  // A child may die without reading its input: the write must not end us.
  sigset_t pipe_signal, old;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &old);
  Conversation conversation(std::move(input_pipe.second), std::move(output_pipe.first), input,
                            limit_bytes);
  absl::StatusOr<bool> finished = false;
  while (finished.ok() && !*finished) finished = conversation.Step(deadline);
  absl::StatusOr<int> exit_code = -1;
  if (finished.ok()) exit_code = WaitFor(child, deadline);
  const timespec now = {};
  if (sigismember(&old, SIGPIPE) == 0) (void)::sigtimedwait(&pipe_signal, nullptr, &now);
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);

  if (finished.ok() && exit_code.ok()) {
    return RunResult{.exit_code = *exit_code, .output = conversation.TakeOutput()};
  }
  (void)::kill(-child.pid, SIGKILL);
  (void)WaitFor(child, absl::InfiniteFuture());  // Reaped: it was killed.
  return finished.ok() ? exit_code.status() : finished.status();
}

std::vector<std::string> CurrentEnvironment() {
  std::vector<std::string> entries;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    entries.emplace_back(*entry);
  }
  return entries;
}

absl::StatusOr<std::string> FindExecutable(const std::string& name,
                                           const std::vector<std::string>& extra_directories) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? std::string_view() : path;
  while (!name.empty() && !rest.empty()) {
    const std::string_view directory = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    // An empty or relative entry would run what lies in the working directory.
    if (directory.empty() || directory.front() != '/') continue;
    if (std::string file = fmt::format("{}/{}", directory, name); IsExecutable(file)) return file;
  }
  for (const std::string& directory : extra_directories) {
    if (std::string file = directory + "/" + name; IsExecutable(file)) return file;
  }
  return absl::NotFoundError(
      ToAbsl(fmt::format("exec: \"{}\": executable file not found in $PATH", name)));
}

}  // namespace ctrd::base
