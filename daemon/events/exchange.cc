// SPDX-License-Identifier: Apache-2.0
#include "daemon/events/exchange.h"

#include <utility>

#include "base/identifiers.h"
#include "base/log.h"
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

std::optional<std::string> FieldOf(const base::Event& event, const base::FieldPath& path,
                                   const PayloadField& payload_field) {
  const auto present = [](const std::string& value) {
    return value.empty() ? std::nullopt : std::optional<std::string>(value);
  };
  if (path.empty()) return std::nullopt;
  if (path.size() == 1 && path[0] == "namespace") return present(event.namespace_name);
  if (path.size() == 1 && path[0] == "topic") return present(event.topic);
  if (path.size() > 1 && path[0] == "event" && payload_field) {
    return payload_field(event.payload, base::FieldPath(path.begin() + 1, path.end()));
  }
  return std::nullopt;
}

// A filter, and how it sees payloads.
class Selection {
 public:
  Selection(base::Filter filter, PayloadField payload_field)
      : filter_(std::move(filter)), payload_field_(std::move(payload_field)) {}
  bool Wants(const base::Event& event) const {
    return filter_.Matches(
        [&](const base::FieldPath& path) { return FieldOf(event, path, payload_field_); });
  }

 private:
  const base::Filter filter_;
  const PayloadField payload_field_;
};

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

// Wakes a subscriber, until it is gone.
class Exchange::Bell {
 public:
  explicit Bell(std::function<void()> ready) : ready_(std::move(ready)) {}

  void Ring() {
    const std::scoped_lock lock(mutex_);
    if (ready_) ready_();
  }
  void Close() {
    const std::scoped_lock lock(mutex_);
    ready_ = nullptr;
  }

 private:
  std::mutex mutex_;  // Held while `ready_` runs, so that Close can wait for it.
  std::function<void()> ready_;
};

class Exchange::Queue {
 public:
  Queue(QueueLimits limits, Selection selection, std::function<void()> ready)
      : bell(std::move(ready)), limits_(limits), selection_(std::move(selection)) {}

  bool Wants(const base::Event& event) const { return selection_.Wants(event); }

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

  Bell bell;

 private:
  const QueueLimits limits_;
  const Selection selection_;
  std::mutex mutex_;
  std::deque<std::shared_ptr<const Record>> records_;
  size_t bytes_ = 0;
  bool overflowed_ = false;
};

class Exchange::Handle : public Subscription {
 public:
  explicit Handle(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}
  ~Handle() override { queue_->bell.Close(); }
  absl::StatusOr<std::shared_ptr<const Record>> Next() override { return queue_->Next(); }

 private:
  const std::shared_ptr<Queue> queue_;
};

class Exchange::LogReader : public Replay {
 public:
  LogReader(std::unique_ptr<EventLog::Reader> reader, Selection selection,
            std::shared_ptr<Bell> bell)
      : reader_(std::move(reader)), selection_(std::move(selection)), bell_(std::move(bell)) {}
  ~LogReader() override { bell_->Close(); }

  absl::StatusOr<EventLog::Item> Next() override {
    while (true) {
      ASSIGN_OR_RETURN(EventLog::Item item, reader_->Next());
      const auto* record = std::get_if<std::shared_ptr<const Record>>(&item);
      if (record == nullptr || selection_.Wants((*record)->event)) return item;
    }
  }
  uint64_t position() const override { return reader_->position(); }

 private:
  const std::unique_ptr<EventLog::Reader> reader_;
  const Selection selection_;
  const std::shared_ptr<Bell> bell_;
};

Exchange::Exchange(QueueLimits limits, std::unique_ptr<EventLog> log)
    : limits_(limits), log_(std::move(log)) {
  if (log_ != nullptr) last_sequence_ = log_->last_sequence();
}
Exchange::~Exchange() = default;

absl::Status Exchange::Publish(const base::Event& event) {
  RETURN_IF_ERROR(Validate(event));
  auto record = std::make_shared<Record>(Record{.sequence = 0, .event = event});
  std::vector<std::shared_ptr<Queue>> reached;
  std::vector<std::shared_ptr<Bell>> readers;
  {
    const std::scoped_lock lock(mutex_);
    record->sequence = last_sequence_.fetch_add(1, std::memory_order_relaxed) + 1;
    // First: a number that somebody has seen must not be used again after a restart.
    if (log_ != nullptr) Keep(*record);
    std::erase_if(queues_, [&](const std::weak_ptr<Queue>& weak) {
      std::shared_ptr<Queue> queue = weak.lock();
      if (queue == nullptr) return true;
      if (!queue->Wants(event)) return false;
      queue->Push(record);
      reached.push_back(std::move(queue));
      return false;
    });
    std::erase_if(readers_, [&](const std::weak_ptr<Bell>& weak) {
      readers.push_back(weak.lock());
      return readers.back() == nullptr;
    });
  }
  accepted_.Add();
  // Outside of the lock: a subscriber that is being told must not hold up the next publisher.
  for (const auto& queue : reached) queue->bell.Ring();
  for (const auto& reader : readers) {
    if (reader != nullptr) reader->Ring();
  }
  return absl::OkStatus();
}

void Exchange::Keep(const Record& record) {
  const absl::Status kept = log_->Append(record);
  if (kept.ok()) return;
  // The event is told all the same; who replays sees a gap.
  if (unlogged_.value() == 0) base::LogError("event log does not take events", {{"error", kept}});
  unlogged_.Add();
}

std::unique_ptr<Subscription> Exchange::Subscribe(base::Filter filter, PayloadField payload_field,
                                                  std::function<void()> ready) {
  auto queue = std::make_shared<Queue>(
      limits_, Selection(std::move(filter), std::move(payload_field)), std::move(ready));
  const std::scoped_lock lock(mutex_);
  queues_.push_back(queue);
  return std::make_unique<Handle>(std::move(queue));
}

std::unique_ptr<Replay> Exchange::ReadAfter(uint64_t after, base::Filter filter,
                                            PayloadField payload_field,
                                            std::function<void()> ready) {
  auto bell = std::make_shared<Bell>(std::move(ready));
  {
    const std::scoped_lock lock(mutex_);
    readers_.push_back(bell);
  }
  return std::make_unique<LogReader>(log_->ReadAfter(after),
                                     Selection(std::move(filter), std::move(payload_field)),
                                     std::move(bell));
}

void Exchange::Report(base::MetricSink& sink) const {
  sink.AddCounter("containerd_events_accepted_total", "Events accepted.", accepted_.value());
  sink.AddCounter("containerd_events_unlogged_total", "Events that the log did not take.",
                  unlogged_.value());
  const std::scoped_lock lock(mutex_);
  sink.AddGauge("containerd_events_subscribers", "Subscribers, and those just gone.",
                static_cast<int64_t>(queues_.size() + readers_.size()));
}

}  // namespace ctrd::events
