// SPDX-License-Identifier: Apache-2.0
#include "runtime/cgroups/attach_lead.h"

#include <unistd.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "base/files.h"
#include "runtime/cgroups/cgroup.h"
#include "runtime/cgroups/cgroup_file.h"

namespace ctrd::runtime::cgroups {
namespace {

// Less than any grace period.
constexpr absl::Duration kPause = absl::Milliseconds(3);
constexpr char kMembership[] = "/proc/self/cgroup";

}  // namespace

AttachLead::~AttachLead() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void AttachLead::Take(absl::Duration time) {
  const std::scoped_lock lock(mutex_);
  until_ = std::max(until_, absl::Now() + time);
  asked_ = true;
  if (!thread_.joinable()) thread_ = std::thread([this] { Work(); });
  changed_.notify_all();
}

int64_t AttachLead::moves() const {
  const std::scoped_lock lock(mutex_);
  return moves_;
}

void AttachLead::Work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!asked_ && absl::Now() >= until_) {
      changed_.wait(lock);
      continue;
    }
    asked_ = false;
    lock.unlock();
    Move();
    lock.lock();
    ++moves_;
    changed_.wait_for(lock, absl::ToChronoMilliseconds(kPause), [this] { return stopping_; });
  }
}

// Looked at each time: somebody may have moved us, and must not find us moved back.
void AttachLead::Move() {
  if (std::string now = ReadText(kMembership); now != membership_) {
    membership_ = std::move(now);
    Locate();
  }
  // A threaded group, say, refuses: then the runtime waits, as it does without us.
  if (!file_.empty()) (void)WriteText(file_, std::to_string(::getpid()));
}

// Any hierarchy will do: they share the lock.
void AttachLead::Locate() {
  file_.clear();
  const auto own = Cgroup::OfProcess(::getpid());
  if (!own.ok()) return;
  for (const char* controller : {"pids", "freezer", "memory", "cpu"}) {
    const std::string directory = own->DirectoryOf(controller);
    if (directory.empty()) continue;
    file_ = directory + "/cgroup.procs";
    return;
  }
}

}  // namespace ctrd::runtime::cgroups
