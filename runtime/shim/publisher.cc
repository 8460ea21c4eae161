// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/publisher.h"

#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/wire.h"

namespace ctrd::runtime::shim {
namespace {

constexpr size_t kMostQueued = 1024;
constexpr int kTries = 6;  // The first and five more.
constexpr absl::Duration kCallTimeout = absl::Seconds(5);

}  // namespace

void Publisher::Publish(std::string topic, std::string type, std::string value) {
  if (address_.empty()) return;
  base::WireWriter envelope;
  envelope.Time(1, absl::Now()).Bytes(2, namespace_).Bytes(3, topic);
  envelope.Any(4, {.type_url = std::move(type), .value = std::move(value)});
  if (queue_.size() >= kMostQueued) {
    base::LogWarn("event dropped, the queue is full", {{"topic", topic}});
    return;
  }
  queue_.push_back(
      {std::move(topic), base::WireWriter().Message(1, envelope.Take()).Take(), /*failures=*/0});
  if (!busy_) Next();
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
    if (!client.ok()) return Sent(client.status(), /*reconnected=*/true);
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
    queue_.pop_front();
    return Next();
  }
  // The daemon was restarted since the last event: it may be back already.
  if (ttrpc::IsClosedError(status) && !reconnected) return SendFirst(/*reconnected=*/true);
  Entry& entry = queue_.front();
  if (++entry.failures >= kTries) {
    base::LogWarn("event dropped", {{"topic", entry.topic}, {"error", status}});
    queue_.pop_front();
    return Next();
  }
  loop_->After(absl::Seconds(entry.failures), [this] { SendFirst(/*reconnected=*/false); });
}

}  // namespace ctrd::runtime::shim
