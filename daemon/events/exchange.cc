// SPDX-License-Identifier: Apache-2.0
#include "daemon/events/exchange.h"

#include <utility>

#include "base/identifiers.h"
#include "base/status.h"
#include "base/time.h"

namespace ctrd::events {
namespace {

size_t SizeOf(const base::Event& event) {
  return sizeof(Record) + event.namespace_name.size() + event.topic.size() +
         event.payload.type_url.size() + event.payload.value.size();
}

absl::Status Validate(const base::Event& event) {
  RETURN_IF_ERROR(base::Annotate(base::ValidateIdentifier(event.namespace_name),
                                 "event envelope has invalid namespace"));
  RETURN_IF_ERROR(base::Annotate(ValidateTopic(event.topic),
                                 fmt::format("envelope topic {}", base::Quote(event.topic))));
  if (event.timestamp == base::ZeroTime()) {
    return base::InvalidArgument("timestamp must be set on forwarded event");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateTopic(std::string_view topic) {
  if (topic.empty()) return base::InvalidArgument("must not be empty");
  if (topic[0] != '/') return base::InvalidArgument("must start with '/'");
  if (topic.size() == 1) return base::InvalidArgument("must have at least one component");
  for (size_t begin = 1; begin <= topic.size();) {
    const size_t end = std::min(topic.find('/', begin), topic.size());
    const std::string_view component = topic.substr(begin, end - begin);
    RETURN_IF_ERROR(
        base::Annotate(base::ValidateIdentifier(component),
                       fmt::format("failed validation on component {}", base::Quote(component))));
    begin = end + 1;
  }
  return absl::OkStatus();
}

class Exchange::Queue {
 public:
  Queue(QueueLimits limits, base::Filter filter, PayloadField payload_field,
        std::function<void()> ready)
      : limits_(limits),
        filter_(std::move(filter)),
        payload_field_(std::move(payload_field)),
        ready_(std::move(ready)) {}

  bool Wants(const base::Event& event) const {
    return filter_.Matches([&](const base::FieldPath& path) { return Field(event, path); });
  }

  void Push(const std::shared_ptr<const Record>& record) {
    const std::scoped_lock lock(mutex_);
    if (overflowed_) return;
    const size_t size = SizeOf(record->event);
    if (records_.size() >= limits_.events || bytes_ + size > limits_.bytes) {
      overflowed_ = true;
      records_.clear();
      return;
    }
    bytes_ += size;
    records_.push_back(record);
  }

  absl::StatusOr<std::shared_ptr<const Record>> Next() {
    const std::scoped_lock lock(mutex_);
    if (overflowed_) {
      return base::MakeError(absl::StatusCode::kResourceExhausted,
                             "subscriber does not keep up with events");
    }
    if (records_.empty()) return nullptr;
    std::shared_ptr<const Record> record = std::move(records_.front());
    records_.pop_front();
    bytes_ -= SizeOf(record->event);
    return record;
  }

  void Notify() {
    const std::scoped_lock lock(ready_mutex_);
    if (ready_) ready_();
  }

  void Close() {
    const std::scoped_lock lock(ready_mutex_);
    ready_ = nullptr;
  }

 private:
  std::optional<std::string> Field(const base::Event& event, const base::FieldPath& path) const {
    const auto present = [](const std::string& value) {
      return value.empty() ? std::nullopt : std::optional<std::string>(value);
    };
    if (path.empty()) return std::nullopt;
    if (path.size() == 1 && path[0] == "namespace") return present(event.namespace_name);
    if (path.size() == 1 && path[0] == "topic") return present(event.topic);
    if (path.size() > 1 && path[0] == "event" && payload_field_) {
      return payload_field_(event.payload, base::FieldPath(path.begin() + 1, path.end()));
    }
    return std::nullopt;
  }

  const QueueLimits limits_;
  const base::Filter filter_;
  const PayloadField payload_field_;

  std::mutex mutex_;
  std::deque<std::shared_ptr<const Record>> records_;
  size_t bytes_ = 0;
  bool overflowed_ = false;

  std::mutex ready_mutex_;  // Held while `ready_` runs, so that Close can wait for it.
  std::function<void()> ready_;
};

class Exchange::Handle : public Subscription {
 public:
  explicit Handle(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}
  ~Handle() override { queue_->Close(); }
  absl::StatusOr<std::shared_ptr<const Record>> Next() override { return queue_->Next(); }

 private:
  const std::shared_ptr<Queue> queue_;
};

Exchange::Exchange(QueueLimits limits) : limits_(limits) {}
Exchange::~Exchange() = default;

absl::Status Exchange::Publish(const base::Event& event) {
  RETURN_IF_ERROR(Validate(event));
  auto record = std::make_shared<Record>(Record{.sequence = 0, .event = event});
  std::vector<std::shared_ptr<Queue>> reached;
  {
    const std::scoped_lock lock(mutex_);
    record->sequence = last_sequence_.fetch_add(1, std::memory_order_relaxed) + 1;
    std::erase_if(queues_, [&](const std::weak_ptr<Queue>& weak) {
      std::shared_ptr<Queue> queue = weak.lock();
      if (queue == nullptr) return true;
      if (!queue->Wants(event)) return false;
      queue->Push(record);
      reached.push_back(std::move(queue));
      return false;
    });
  }
  // Outside of the lock: a subscriber that is being told must not hold up the next publisher.
  for (const auto& queue : reached) queue->Notify();
  return absl::OkStatus();
}

std::unique_ptr<Subscription> Exchange::Subscribe(base::Filter filter, PayloadField payload_field,
                                                  std::function<void()> ready) {
  auto queue = std::make_shared<Queue>(limits_, std::move(filter), std::move(payload_field),
                                       std::move(ready));
  const std::scoped_lock lock(mutex_);
  queues_.push_back(queue);
  return std::make_unique<Handle>(std::move(queue));
}

}  // namespace ctrd::events
