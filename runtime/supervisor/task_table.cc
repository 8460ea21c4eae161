// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/task_table.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "base/status.h"

namespace ctrd::runtime {
namespace {

// How long a list waits for the next shim to answer when others have.
constexpr absl::Duration kPatience = absl::Milliseconds(500);

}  // namespace

absl::Status TaskNotFound(std::string_view id) {
  return absl::NotFoundError(base::ToAbsl(fmt::format("task {} not found", id)));
}

template <typename Predicate>
bool TaskTable::WaitUntil(std::unique_lock<std::mutex>& lock, absl::Time deadline,
                          Predicate predicate) {
  if (deadline == absl::InfiniteFuture()) {
    changed_.wait(lock, predicate);
    return true;
  }
  return changed_.wait_until(lock, absl::ToChronoTime(deadline), predicate);
}

bool TaskTable::HasStage(const Key& key, Stage stage) {
  const auto it = entries_.find(key);
  return it != entries_.end() && it->second.stage == stage;
}

bool TaskTable::IsPending(const Key& key) {
  return HasStage(key, Stage::kAdopting) || HasStage(key, Stage::kQuarantined);
}

absl::Status TaskTable::WhyPending(const Key& key) {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return TaskNotFound(key.second);
  const bool adopting = it->second.stage == Stage::kAdopting;
  return base::MakeError(absl::StatusCode::kDeadlineExceeded,
                         fmt::format("shim of task {} {}", key.second,
                                     adopting ? "is being looked for" : it->second.why));
}

void TaskTable::Enter(const TaskPtr& task, Stage stage) {
  const std::scoped_lock lock(mutex_);
  const bool adopted = stage == Stage::kLive && HasStage(KeyOf(*task), Stage::kAdopting);
  if (adopted) last_adopted_ = absl::Now();
  entries_[KeyOf(*task)] = {task, stage, ""};
  changed_.notify_all();
}

absl::Status TaskTable::Reserve(const TaskPtr& task, absl::Time deadline) {
  const Key key = KeyOf(*task);
  std::unique_lock lock(mutex_);
  (void)WaitUntil(lock, deadline, [&] {
    return !HasStage(key, Stage::kEnding) && !HasStage(key, Stage::kRetired) &&
           !HasStage(key, Stage::kAdopting);
  });
  const bool entered = entries_.try_emplace(key, Entry{task, Stage::kCreating, ""}).second;
  return entered ? absl::OkStatus() : base::AlreadyExists("task {}", task->bundle.id);
}

void TaskTable::AddAdopting(const TaskPtr& task) { Enter(task, Stage::kAdopting); }
void TaskTable::AdoptionBegins() {
  const std::scoped_lock lock(mutex_);
  last_adopted_ = absl::Now();
  changed_.notify_all();
}

void TaskTable::Publish(const TaskPtr& task) { Enter(task, Stage::kLive); }

bool TaskTable::Quarantine(const TaskPtr& task, Stage from, std::string why) {
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find(KeyOf(*task));
  if (it == entries_.end() || it->second.task != task || it->second.stage != from) return false;
  it->second.stage = Stage::kQuarantined;
  it->second.why = std::move(why);
  changed_.notify_all();
  return true;
}

std::optional<TaskTable::Stage> TaskTable::StageOf(const TaskPtr& task) const {
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find(KeyOf(*task));
  if (it == entries_.end() || it->second.task != task) return std::nullopt;
  return it->second.stage;
}

size_t TaskTable::CountQuarantined() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& entry) {
    return entry.second.stage == Stage::kQuarantined;
  }));
}

absl::StatusOr<TaskPtr> TaskTable::Find(const std::string& namespace_name, std::string_view id,
                                        absl::Time deadline) {
  const Key key{namespace_name, std::string(id)};
  std::unique_lock lock(mutex_);
  if (!WaitUntil(lock, deadline, [&] { return !IsPending(key); })) return WhyPending(key);
  const auto it = entries_.find(key);
  // One that is ending may still be asked: its Delete can fail because it runs.
  if (it == entries_.end() || !it->second.visible()) return TaskNotFound(id);
  return it->second.task;
}

TaskPtr TaskTable::Peek(const std::string& namespace_name, std::string_view id) {
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find({namespace_name, std::string(id)});
  if (it == entries_.end() || !it->second.visible()) return nullptr;
  return it->second.task;
}

absl::StatusOr<TaskPtr> TaskTable::BeginEnd(const std::string& namespace_name, std::string_view id,
                                            absl::Time deadline) {
  const Key key{namespace_name, std::string(id)};
  std::unique_lock lock(mutex_);
  if (!WaitUntil(lock, deadline,
                 [&] { return !IsPending(key) && !HasStage(key, Stage::kEnding); })) {
    return IsPending(key) ? WhyPending(key)
                          : base::MakeError(absl::StatusCode::kDeadlineExceeded, "");
  }
  const auto it = entries_.find(key);
  if (it == entries_.end() || it->second.stage != Stage::kLive) return TaskNotFound(id);
  it->second.stage = Stage::kEnding;
  return it->second.task;
}

std::optional<TaskTable::Stage> TaskTable::TryBeginEnd(const TaskPtr& task) {
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find(KeyOf(*task));
  if (it == entries_.end() || it->second.task != task) return std::nullopt;
  const Stage was = it->second.stage;
  if (was != Stage::kLive && was != Stage::kQuarantined) return std::nullopt;
  // One in quarantine stays out of reach for callers, as when it was first looked for.
  it->second.stage = was == Stage::kLive ? Stage::kEnding : Stage::kAdopting;
  changed_.notify_all();
  return was;
}

void TaskTable::Retire(const TaskPtr& task) {
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find(KeyOf(*task));
  if (it != entries_.end() && it->second.task == task) it->second.stage = Stage::kRetired;
  changed_.notify_all();
}

void TaskTable::Erase(const TaskPtr& task) {
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find(KeyOf(*task));
  if (it != entries_.end() && it->second.task == task) entries_.erase(it);
  changed_.notify_all();
}

std::vector<TaskPtr> TaskTable::List(const std::string& namespace_name, absl::Time deadline) {
  std::unique_lock lock(mutex_);
  const auto each = [&](auto&& visit) {
    for (auto it = entries_.lower_bound({namespace_name, ""});
         it != entries_.end() && it->first.first == namespace_name; ++it) {
      visit(it->second);
    }
  };
  const auto adopting = [&] {
    bool some = false;
    each([&](const Entry& entry) { some |= entry.stage == Stage::kAdopting; });
    return some;
  };
  while (adopting()) {
    const absl::Time until = std::min(deadline, last_adopted_ + kPatience);
    if (absl::Now() >= until) break;
    changed_.wait_until(lock, absl::ToChronoTime(until));
  }
  std::vector<TaskPtr> tasks;
  each([&](const Entry& entry) {
    if (entry.stage == Stage::kLive || entry.stage == Stage::kEnding) tasks.push_back(entry.task);
  });
  return tasks;
}

void TaskTable::SetEndpoint(Task& task, ShimEndpoint endpoint) {
  const std::scoped_lock lock(mutex_);
  task.endpoint = std::move(endpoint);
}

bool TaskTable::SharesShim(const Task& task) {
  const std::scoped_lock lock(mutex_);
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) {
    const Task& other = *entry.second.task;
    return &other != &task && entry.second.stage != Stage::kRetired &&
           other.endpoint.address == task.endpoint.address;
  });
}

bool TaskTable::WaitAdopted(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  return WaitUntil(lock, deadline, [&] {
    for (const auto& [key, entry] : entries_) {
      if (entry.stage == Stage::kAdopting) return false;
    }
    return true;
  });
}

std::vector<TaskPtr> TaskTable::TakeAll() {
  const std::scoped_lock lock(mutex_);
  std::vector<TaskPtr> tasks;
  for (auto& [key, entry] : entries_) tasks.push_back(std::move(entry.task));
  entries_.clear();
  changed_.notify_all();
  return tasks;
}

}  // namespace ctrd::runtime
