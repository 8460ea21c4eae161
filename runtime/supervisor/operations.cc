// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/operations.h"

#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"

namespace ctrd::runtime {
namespace {

// How often a waiting caller looks whether it is still wanted.
constexpr absl::Duration kCancelCheckInterval = absl::Milliseconds(250);

}  // namespace

struct Operations::Record {
  OperationName name;
  std::string request;
  std::string stage;
  absl::Time since = absl::Now();
  absl::Duration told;  // Of which duration LogSlow has spoken.
  bool joinable = false;
  size_t callers = 0;
  Work rest;
  std::optional<Answer> answer;
  bool given_up = false;
};

// Ends the operation when the last handle goes.
struct Operations::Handle::Life {
  Life(Operations& owner, std::list<std::shared_ptr<Record>>::iterator in_list)
      : operations(owner), place(in_list), record(*in_list) {}
  ~Life() { End(base::MakeError(absl::StatusCode::kCancelled, ""), false); }

  void End(Answer answer, bool given_up) {
    const std::scoped_lock lock(operations.mutex_);
    if (record->answer) return;
    record->answer = std::move(answer);
    record->given_up = given_up;
    operations.running_.erase(place);
    operations.changed_.notify_all();
  }

  Operations& operations;
  const std::list<std::shared_ptr<Record>>::iterator place;
  const std::shared_ptr<Record> record;
};

void Operations::Handle::Stage(std::string_view stage) const {
  const std::scoped_lock lock(life_->operations.mutex_);
  life_->record->stage = stage;
}

void Operations::Handle::Continue(Work rest) const {
  Operations& operations = life_->operations;
  {
    const std::scoped_lock lock(operations.mutex_);
    if (life_->record->callers > 0) {
      life_->record->rest = std::move(rest);
      operations.changed_.notify_all();
      return;
    }
  }
  operations.spare_(std::move(rest));
}

void Operations::Handle::End(Answer answer, bool given_up) const {
  life_->End(std::move(answer), given_up);
}

std::shared_ptr<Operations::Record> Operations::FindRunning(const OperationName& name,
                                                            const std::string& request) const {
  for (const auto& record : running_) {
    if (record->joinable && record->name == name && record->request == request) return record;
  }
  return nullptr;
}

std::list<std::shared_ptr<Operations::Record>>::iterator Operations::Enter(
    std::shared_ptr<Record> record) {
  if (wake_ != nullptr && !std::exchange(watched_, true)) wake_();
  return running_.insert(running_.end(), std::move(record));
}

Operations::Answer Operations::Join(const base::Context& context, const OperationName& name,
                                    const std::string& request,
                                    const std::function<void(const Handle&)>& work) {
  while (true) {
    RETURN_IF_ERROR(context.Check());
    std::unique_lock lock(mutex_);
    std::shared_ptr<Record> record = FindRunning(name, request);
    const bool first = record == nullptr;
    if (first) {
      record = std::make_shared<Record>(Record{.name = name, .request = request, .joinable = true});
      Handle handle;
      handle.life_ = std::make_shared<Handle::Life>(*this, Enter(record));
      ++record->callers;
      lock.unlock();
      work(handle);
      handle.life_.reset();
      lock.lock();
    } else {
      ++record->callers;
    }
    Answer answer = Await(context, record, lock);
    if (first || !record->answer || !record->given_up) return answer;
  }
}

Operations::Answer Operations::Await(const base::Context& context,
                                     const std::shared_ptr<Record>& record,
                                     std::unique_lock<std::mutex>& lock) {
  while (!record->answer) {
    if (Work rest = std::exchange(record->rest, nullptr)) {
      lock.unlock();
      rest();
      rest = nullptr;  // It may hold the last handle, whose end takes the lock.
      lock.lock();
      continue;
    }
    const absl::Time wake = std::min(context.deadline(), absl::Now() + kCancelCheckInterval);
    changed_.wait_until(lock, absl::ToChronoTime(wake));
    if (record->answer || record->rest) continue;
    if (absl::Status status = context.Check(); !status.ok()) {
      --record->callers;
      return status;
    }
  }
  --record->callers;
  return *record->answer;
}

Operations::Watch::Watch(Operations& operations, OperationName name, std::string_view stage)
    : operations_(operations) {
  auto record = std::make_shared<Record>(
      Record{.name = std::move(name), .stage = std::string(stage), .callers = 1});
  const std::scoped_lock lock(operations_.mutex_);
  place_ = operations_.Enter(std::move(record));
}

Operations::Watch::~Watch() {
  const std::scoped_lock lock(operations_.mutex_);
  operations_.running_.erase(place_);
}

std::vector<RunningOperation> Operations::List() const {
  const std::scoped_lock lock(mutex_);
  std::vector<RunningOperation> list;
  for (const auto& record : running_) {
    list.push_back({record->name, record->stage, record->since, record->callers});
  }
  return list;
}

bool Operations::LogSlow(absl::Duration patience) {
  std::vector<RunningOperation> slow;
  {
    const std::scoped_lock lock(mutex_);
    watched_ = !running_.empty();
    const absl::Time now = absl::Now();
    for (const auto& record : running_) {
      const absl::Duration time = now - record->since;
      if (time < std::max(patience, 2 * record->told)) continue;
      record->told = time;
      slow.push_back({record->name, record->stage, record->since, record->callers});
    }
  }
  for (const RunningOperation& operation : slow) {
    base::LogWarn("operation takes long",
                  {{"method", operation.name.method},
                   {"namespace", operation.name.namespace_name},
                   {"id", operation.name.id},
                   {"exec", operation.name.exec_id},
                   {"waits for", operation.stage},
                   {"seconds", absl::ToInt64Seconds(absl::Now() - operation.since)},
                   {"callers", operation.callers}});
  }
  const std::scoped_lock lock(mutex_);
  return watched_;
}

void Operations::OnBusy(std::function<void()> wake) {
  const std::scoped_lock lock(mutex_);
  wake_ = std::move(wake);
}

}  // namespace ctrd::runtime
