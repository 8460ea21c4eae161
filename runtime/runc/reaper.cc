// SPDX-License-Identifier: Apache-2.0
#include "runtime/runc/reaper.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/status.h"

namespace ctrd::runtime::runc {
namespace {

// Whether `pid` is a child of ours, running or not yet reaped.
bool IsChild(pid_t pid) {
  siginfo_t info;
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Reaper>> Reaper::Create(base::EventLoop* loop) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return base::ErrnoStatus("sigprocmask", "");
  base::UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) return base::ErrnoStatus("signalfd", "SIGCHLD");
  std::unique_ptr<Reaper> reaper(new Reaper(loop, std::move(signals)));
  RETURN_IF_ERROR(
      loop->Add(reaper->signals_.get(), EPOLLIN, [raw = reaper.get()](uint32_t) { raw->Reap(); }));
  return reaper;
}

Reaper::~Reaper() { loop_->Remove(signals_.get()); }

Reaper::Attention Reaper::PayAttention() {
  Attention attention = attention_.lock();
  if (attention == nullptr) {
    attention =
        Attention(this, [](void* reaper) { static_cast<Reaper*>(reaper)->unknown_.clear(); });
    attention_ = attention;
  }
  return attention;
}

void Reaper::Watch(pid_t pid, OnExit on_exit) {
  const auto over = unknown_.find(pid);
  // A child of that number that is still there is the one meant; what is kept is an older one.
  if (over == unknown_.end() || IsChild(pid)) {
    watches_[pid] = std::move(on_exit);
    return;
  }
  loop_->Post([on_exit = std::move(on_exit), exit = over->second] { on_exit(exit); });
  unknown_.erase(over);
}

bool Reaper::IsOrphan(pid_t pid) const { return IsChild(pid) && !watches_.contains(pid); }

void Reaper::Reap() {
  signalfd_siginfo ignored[8];  // Signals merge: only that there was one counts.
  while (::read(signals_.get(), ignored, sizeof(ignored)) == sizeof(ignored)) {
  }
  std::vector<std::pair<OnExit, Exit>> ended;
  while (true) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG | __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) break;
    const Exit exit{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), absl::Now()};
    if (auto watch = watches_.extract(pid)) {
      ended.emplace_back(std::move(watch.mapped()), exit);
    } else if (!attention_.expired()) {
      unknown_[pid] = exit;
    }
  }
  for (const auto& [on_exit, exit] : ended) on_exit(exit);
}

}  // namespace ctrd::runtime::runc
