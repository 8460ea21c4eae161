// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/publisher.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/wire.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(5);
constexpr std::string_view kExitTopic = "/tasks/exit";

// Whether `status` says that nobody is there, and not that the event is not wanted.
bool IsAbsence(const absl::Status& status) {
  return ttrpc::IsClosedError(status) || status.code() == absl::StatusCode::kDeadlineExceeded ||
         status.code() == absl::StatusCode::kUnavailable;
}

}  // namespace

void Publisher::Publish(std::string topic, std::string type, std::string value) {
  if (address_.empty()) return;
  base::WireWriter envelope;
  envelope.Time(1, absl::Now()).Bytes(2, namespace_).Bytes(3, topic);
  envelope.Any(4, {.type_url = std::move(type), .value = std::move(value)});
  MakeRoom();
  queue_.push_back({std::move(topic), base::WireWriter().Message(1, envelope.Take()).Take()});
  if (!busy_) Next();
}

void Publisher::MakeRoom() {
  if (queue_.size() < limits_.most_queued) return;
  // The first one is on its way.
  const auto waiting = queue_.begin() + 1;
  auto least = std::find_if(waiting, queue_.end(),
                            [](const Entry& entry) { return entry.topic != kExitTopic; });
  if (least == queue_.end()) least = waiting;
  base::LogWarn("event dropped, the queue is full", {{"topic", least->topic}});
  queue_.erase(least);
}

void Publisher::DaemonIsThere() {
  if (!pause_) return;
  loop_->Cancel(*std::exchange(pause_, std::nullopt));
  failures_ = 0;
  SendFirst(/*reconnected=*/false);
}

void Publisher::Flush(std::function<void()> done) {
  if (queue_.empty()) return done();
  flushed_ = std::move(done);
}

void Publisher::Next() {
  busy_ = !queue_.empty();
  if (busy_) return SendFirst(/*reconnected=*/false);
  if (flushed_) std::exchange(flushed_, nullptr)();
}

void Publisher::SendFirst(bool reconnected) {
  if (client_ == nullptr || client_->closed()) {
    auto client = ttrpc::Client::Connect(loop_, address_, absl::InfinitePast());
    if (!client.ok()) return Sent(ttrpc::ClosedError(), /*reconnected=*/true);
    client_ = *std::move(client);
    reconnected = true;
  }
  client_->Call(ttrpc::MakeRequest("containerd.services.events.ttrpc.v1.Events", "Forward",
                                   queue_.front().request, namespace_),
                absl::Now() + kCallTimeout, [this, reconnected](ttrpc::Response response) {
                  Sent(response.status(), reconnected);
                });
}

void Publisher::Sent(const absl::Status& status, bool reconnected) {
  if (status.ok()) {
    failures_ = 0;
    queue_.pop_front();
    return Next();
  }
  // The daemon was restarted since the last event: it may be back already.
  if (ttrpc::IsClosedError(status) && !reconnected) return SendFirst(/*reconnected=*/true);
  Entry& entry = queue_.front();
  if (!IsAbsence(status) && ++entry.refusals >= limits_.most_refusals) {
    base::LogWarn("event dropped", {{"topic", entry.topic}, {"error", status}});
    failures_ = 0;
    queue_.pop_front();
    return Next();
  }
  pause_ = loop_->After(std::min(++failures_ * limits_.first_pause, limits_.longest_pause), [this] {
    pause_.reset();
    SendFirst(/*reconnected=*/false);
  });
}

}  // namespace ctrd::runtime::shim
