// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "base/log.h"
#include "base/status.h"
#include "runtime/shim/commands.h"
#include "runtime/shim/publisher.h"
#include "runtime/shim/sandbox_service.h"
#include "runtime/shim/task_service.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime::shim {
namespace {

constexpr int kListenerNumber = 3;
constexpr absl::Duration kShutdownLimit = absl::Seconds(5);

// The daemon reads our log from a pipe in the bundle. A write never waits for it, and fails
// without harm when it is gone.
void OpenLog() {
  const base::UniqueFd log(::open("log", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (log.valid()) (void)::dup2(log.get(), STDERR_FILENO);
}

std::string PathOf(int listener) {
  sockaddr_un address = {};
  socklen_t size = sizeof(address);
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  return std::string(address.sun_path, ::strnlen(address.sun_path, sizeof(address.sun_path)));
}

absl::StatusOr<base::UniqueFd> TakeListener(const Flags& flags) {
  if (!flags.socket.empty()) return ttrpc::ListenUnix(flags.socket);
  if (::fcntl(kListenerNumber, F_SETFD, FD_CLOEXEC) != 0) {
    return base::ErrnoStatus("listener", std::to_string(kListenerNumber));
  }
  return base::UniqueFd(kListenerNumber);
}

absl::Status BecomeServer() {
  OpenLog();
  (void)::signal(SIGPIPE, SIG_IGN);
  // Large blocks go back to the system as soon as they are free.
  (void)::mallopt(M_MMAP_THRESHOLD, 64 << 10);
  (void)::mallopt(M_TRIM_THRESHOLD, 64 << 10);
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
    return base::ErrnoStatus("prctl", "PR_SET_CHILD_SUBREAPER");
  }
  return absl::OkStatus();
}

absl::StatusOr<base::UniqueFd> BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&set, number);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return base::ErrnoStatus("sigprocmask", "");
  base::UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) return base::ErrnoStatus("signalfd", "");
  return signals;
}

// Leaves in good order: no new connection, all events and answers sent.
class Departure {
 public:
  Departure(base::EventLoop* loop, ttrpc::Server* server, Publisher* publisher, std::string path)
      : loop_(loop), server_(server), publisher_(publisher), path_(std::move(path)) {}

  void Begin() {
    if (std::exchange(begun_, true)) return;
    // While we still listen: a socket found here later is another server's.
    (void)::unlink("address");
    if (!path_.empty()) (void)::unlink(path_.c_str());
    loop_->After(kShutdownLimit, [this] {
      base::LogError("shim shutdown timeout");
      loop_->Stop();
    });
    publisher_->Flush([this] { server_->Drain([this] { loop_->Stop(); }); });
  }

 private:
  base::EventLoop* const loop_;
  ttrpc::Server* const server_;
  Publisher* const publisher_;
  const std::string path_;
  bool begun_ = false;
};

}  // namespace

absl::Status ServeCommand(const Flags& flags) {
  ASSIGN_OR_RETURN(base::UniqueFd listener, TakeListener(flags));
  RETURN_IF_ERROR(BecomeServer());
  if (flags.debug) base::SetLogLevel(base::LogLevel::kDebug);
  ASSIGN_OR_RETURN(const base::UniqueFd signals, BlockSignals());
  ASSIGN_OR_RETURN(const std::unique_ptr<base::EventLoop> loop, base::EventLoop::Create());
  ASSIGN_OR_RETURN(const std::unique_ptr<runc::Reaper> reaper, runc::Reaper::Create(loop.get()));

  const char* daemon = std::getenv("TTRPC_ADDRESS");
  Publisher publisher(loop.get(), daemon == nullptr ? "" : daemon, flags.namespace_name);
  ttrpc::Server server(loop.get());
  Departure departure(loop.get(), &server, &publisher, PathOf(listener.get()));
  Rest rest(loop.get());
  TaskService tasks({loop.get(), reaper.get(), &publisher, &rest, flags.namespace_name},
                    [&departure] { departure.Begin(); });
  server.AddService("containerd.task.v2.Task", tasks.Methods());
  server.AddService("containerd.task.v3.Task", tasks.Methods());
  SandboxService sandboxes({loop.get(), reaper.get(), &publisher, &rest, flags.namespace_name},
                           &tasks);
  server.AddService("containerd.runtime.sandbox.v1.Sandbox", sandboxes.Methods());
  RETURN_IF_ERROR(server.Listen(std::move(listener)));
  RETURN_IF_ERROR(loop->Add(signals.get(), EPOLLIN, [&](uint32_t) {
    signalfd_siginfo info;
    while (::read(signals.get(), &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo == SIGUSR1) {
        tasks.LogState();
      } else {
        departure.Begin();
      }
    }
  }));
  loop->Run();
#ifdef __SANITIZE_ADDRESS__
  __lsan_do_leak_check();  // As at every other end of a program.
#endif
  // Calls that are under way end with the process: nothing is taken down one by one.
  ::_exit(0);
}

}  // namespace ctrd::runtime::shim
