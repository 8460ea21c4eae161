// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/event_replay_service.h"

#include <charconv>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "daemon/server/serve.h"
#include "daemon/services/event_envelope.h"
#include "daemon/services/event_payload.h"

namespace ctrd::services {
namespace {

using events::EventLog;
using replay_v1::ReadResponse;

// A cursor is "<id of the log>-<number>".
std::string CursorOf(const EventLog& log, uint64_t sequence) {
  return fmt::format("{}-{}", log.id(), sequence);
}

struct Start {
  uint64_t after = 0;
  bool other_log = false;  // The cursor is of a log that is no more.
};

absl::StatusOr<Start> StartOf(const std::string& cursor, const EventLog& log) {
  if (cursor.empty()) return Start{.after = log.oldest_sequence() - 1};
  if (cursor == "end") return Start{.after = log.last_sequence()};
  const size_t dash = cursor.rfind('-');
  uint64_t sequence = 0;
  const char* const end = cursor.data() + cursor.size();
  const char* const begin = dash == cursor.npos ? end : cursor.data() + dash + 1;
  const auto [rest, error] = std::from_chars(begin, end, sequence);
  if (error != std::errc() || rest != end) {
    return base::InvalidArgument("'{}' is no cursor", cursor.substr(0, 128));
  }
  if (std::string_view(cursor).substr(0, dash) != log.id()) {
    return Start{.after = log.oldest_sequence() - 1, .other_log = true};
  }
  if (sequence > log.last_sequence()) {
    return base::OutOfRange("cursor '{}' is beyond the last event", cursor);
  }
  return Start{.after = sequence};
}

// Writes one response at a time, and reads the next from the log when the stream has taken it.
class ReadReactor final : public grpc::ServerWriteReactor<ReadResponse> {
 public:
  ReadReactor(events::Exchange& exchange, const Start& start, base::Filter filter, absl::Time since,
              bool follow)
      : log_(*exchange.log()), since_(since), follow_(follow), gap_first_(start.other_log) {
    const std::scoped_lock lock(mutex_);
    end_ = log_.last_sequence();
    replay_ = exchange.ReadAfter(start.after, std::move(filter), EventPayloadField,
                                 [this] { WriteNext(); });
    response_.set_cursor(CursorOf(log_, start.after));
    writing_ = true;
    StartWrite(&response_);
  }

  void OnWriteDone(bool ok) override {
    {
      const std::scoped_lock lock(mutex_);
      writing_ = false;
      if (!ok) return FinishLocked(grpc::Status::OK);
    }
    WriteNext();
  }
  void OnCancel() override {
    const std::scoped_lock lock(mutex_);
    FinishLocked(grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  void WriteNext() {
    const std::scoped_lock lock(mutex_);
    if (writing_ || finished_ || replay_ == nullptr) return;
    const auto filled = Fill();
    if (!filled.ok()) return FinishLocked(server::ToGrpc(filled.status()));
    if (!*filled) {
      if (!follow_) FinishLocked(grpc::Status::OK);
      return;
    }
    writing_ = true;
    StartWrite(&response_);
  }

  // False: there is nothing to send now.
  absl::StatusOr<bool> Fill() {
    response_.Clear();
    if (std::exchange(gap_first_, false)) {
      response_.set_cursor(CursorOf(log_, replay_->position()));
      response_.mutable_gap();
      return true;
    }
    while (follow_ || replay_->position() < end_) {
      ASSIGN_OR_RETURN(const EventLog::Item item, replay_->Next());
      if (std::holds_alternative<EventLog::End>(item)) return false;
      response_.set_cursor(CursorOf(log_, replay_->position()));
      if (const auto* gap = std::get_if<EventLog::Gap>(&item)) {
        response_.mutable_gap()->set_events(gap->events);
        return true;
      }
      const auto& record = *std::get<std::shared_ptr<const events::Record>>(item);
      if (record.event.timestamp < since_) continue;
      ToProto(record.event, response_.mutable_envelope());
      return true;
    }
    return false;
  }

  void FinishLocked(const grpc::Status& status) {
    if (std::exchange(finished_, true)) return;
    Finish(status);
  }

  const EventLog& log_;
  const absl::Time since_;
  const bool follow_;
  std::mutex mutex_;
  bool gap_first_;
  bool writing_ = false;
  bool finished_ = false;
  uint64_t end_ = 0;       // Where one that does not follow stops.
  ReadResponse response_;  // Belongs to the write in flight.
  // Last: goes first, and with it the last call of WriteNext.
  std::unique_ptr<events::Replay> replay_;
};

class FailedReactor final : public grpc::ServerWriteReactor<ReadResponse> {
 public:
  explicit FailedReactor(const absl::Status& status) { Finish(server::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<ReadResponse>* EventReplayService::Read(
    grpc::CallbackServerContext*, const replay_v1::ReadRequest* request) {
  const auto start = StartOf(request->after(), *exchange_.log());
  if (!start.ok()) return new FailedReactor(start.status());
  const std::vector<std::string> texts(request->filters().begin(), request->filters().end());
  auto filter = base::Filter::Parse(texts);
  if (!filter.ok()) return new FailedReactor(filter.status());
  const absl::Time since = request->has_since()
                               ? absl::FromUnixSeconds(request->since().seconds()) +
                                     absl::Nanoseconds(request->since().nanos())
                               : absl::InfinitePast();
  return new ReadReactor(exchange_, *start, *std::move(filter), since, request->follow());
}

}  // namespace ctrd::services
