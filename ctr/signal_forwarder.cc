// SPDX-License-Identifier: Apache-2.0
#include "ctr/signal_forwarder.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>

#include "ctr/task.h"

namespace ctrd::ctr {
namespace {

// What the handler writes to. A handler can reach nothing but globals.
std::atomic<int> signal_pipe{-1};

void WriteSignal(int number) {
  const int saved_errno = errno;
  const int fd = signal_pipe.load(std::memory_order_relaxed);
  const auto byte = static_cast<unsigned char>(number);
  if (fd >= 0) (void)!::write(fd, &byte, 1);  // A full pipe has signals enough to forward.
  errno = saved_errno;
}

// Signals that are ours: they say that this program itself is broken, or cannot be caught.
bool IsForwarded(int number) {
  static constexpr std::array kOurs = {SIGKILL, SIGSTOP, SIGURG,  SIGPIPE, SIGSEGV,
                                       SIGBUS,  SIGFPE,  SIGILL,  SIGABRT, SIGTRAP,
                                       SIGSYS,  SIGCHLD, SIGPROF, SIGTTOU};
  return std::find(kOurs.begin(), kOurs.end(), number) == kOurs.end();
}

void ForEachSignal(bool terminal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigfillset(&action.sa_mask);
  for (int number = 1; number < NSIG; ++number) {
    if (terminal ? number == SIGWINCH : IsForwarded(number)) {
      (void)::sigaction(number, &action, nullptr);  // The C library keeps two for itself.
    }
  }
}

void Resize(const Client& client, const ProcessId& id) {
  winsize size{};
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0 &&
      ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) {
    return;
  }
  containerd::services::tasks::v1::ResizePtyRequest request;
  request.set_container_id(id.container_id);
  request.set_exec_id(id.exec_id);
  request.set_width(size.ws_col);
  request.set_height(size.ws_row);
  (void)client.Call(&TasksStub::ResizePty, request);  // A wrong size is no reason to end.
}

void Forward(const Client& client, const ProcessId& id, bool terminal, int pipe) {
  if (terminal) Resize(client, id);
  unsigned char number = 0;
  while (true) {
    const ssize_t count = ::read(pipe, &number, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0 || number == 0) return;
    if (terminal) {
      Resize(client, id);
    } else if (absl::IsNotFound(KillProcess(client, id, number, false))) {
      return;
    }
  }
}

}  // namespace

SignalForwarder::SignalForwarder(const Client& client, const ProcessId& id, bool terminal)
    : terminal_(terminal) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;  // Signals keep their usual effect then.
  read_end_.Reset(ends[0]);
  write_end_.Reset(ends[1]);
  signal_pipe.store(write_end_.get());
  ForEachSignal(terminal_, WriteSignal);
  thread_ = std::thread(
      [&client, id, terminal, pipe = read_end_.get()] { Forward(client, id, terminal, pipe); });
}

SignalForwarder::~SignalForwarder() {
  if (!thread_.joinable()) return;
  ForEachSignal(terminal_, SIG_DFL);
  signal_pipe.store(-1);
  const unsigned char end = 0;
  (void)!::write(write_end_.get(), &end, 1);
  thread_.join();
}

}  // namespace ctrd::ctr
