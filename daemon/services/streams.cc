// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/streams.h"

#include <chrono>

#include "base/status.h"

namespace ctrd::services {
namespace {

constexpr size_t kInboxMessages = 8;   // Read ahead of the user.
constexpr size_t kOutboxMessages = 4;  // Sent ahead of the client.
constexpr size_t kPostedMessages = 4096;
constexpr auto kCheckInterval = std::chrono::milliseconds(100);

}  // namespace

absl::StatusOr<std::optional<Any>> Stream::Receive(const base::Context& context) {
  std::unique_lock lock(mutex_);
  while (inbox_.empty() && !read_ended_ && !left_) {
    changed_.wait_for(lock, kCheckInterval);
    RETURN_IF_ERROR(context.Check());
  }
  if (inbox_.empty()) return std::optional<Any>();
  Any message = std::move(inbox_.front());
  inbox_.pop_front();
  ReadMore();
  return std::optional<Any>(std::move(message));
}

std::optional<Any> Stream::TryReceive() {
  const std::lock_guard lock(mutex_);
  if (inbox_.empty()) return std::nullopt;
  Any message = std::move(inbox_.front());
  inbox_.pop_front();
  ReadMore();
  return message;
}

absl::Status Stream::Send(const base::Context& context, Any message) {
  std::unique_lock lock(mutex_);
  while (outbox_.size() >= kOutboxMessages && !left_) {
    changed_.wait_for(lock, kCheckInterval);
    RETURN_IF_ERROR(context.Check());
  }
  if (left_ || closing_) return absl::CancelledError("context canceled");
  outbox_.push_back(std::move(message));
  WriteMore();
  return absl::OkStatus();
}

void Stream::Post(Any message) {
  const std::lock_guard lock(mutex_);
  if (left_ || closing_ || outbox_.size() >= kPostedMessages) return;
  outbox_.push_back(std::move(message));
  WriteMore();
}

void Stream::Close() {
  const std::lock_guard lock(mutex_);
  closing_ = true;
  WriteMore();
}

void Stream::Attach(Transport transport) {
  const std::lock_guard lock(mutex_);
  transport_ = std::move(transport);
  ReadMore();
  WriteMore();
}

void Stream::Detach() {
  const std::lock_guard lock(mutex_);
  transport_.reset();
  Fail();
}

void Stream::Received(std::optional<Any> message) {
  const std::lock_guard lock(mutex_);
  reading_ = false;
  if (message) {
    inbox_.push_back(*std::move(message));
  } else {
    read_ended_ = true;
  }
  changed_.notify_all();
  ReadMore();
}

void Stream::Written(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  if (!ok) return Fail();
  outbox_.pop_front();
  changed_.notify_all();
  WriteMore();
}

void Stream::Left() {
  const std::lock_guard lock(mutex_);
  Fail();
}

void Stream::ReadMore() {
  if (!transport_ || reading_ || read_ended_ || finished_ || inbox_.size() >= kInboxMessages)
    return;
  reading_ = true;
  transport_->read();
}

void Stream::WriteMore() {
  if (!transport_ || writing_ || finished_) return;
  if (!outbox_.empty()) {
    writing_ = true;
    transport_->write(outbox_.front());
  } else if (closing_) {
    finished_ = true;
    transport_->finish();
  }
}

void Stream::Fail() {
  left_ = true;
  // The message in flight stays where it is until the transport says it is done with it.
  if (!writing_) outbox_.clear();
  changed_.notify_all();
  if (transport_ && !finished_) {
    finished_ = true;
    transport_->finish();
  }
}

absl::Status Streams::Add(const std::string& namespace_name, const std::string& id,
                          std::shared_ptr<Stream> stream) {
  const std::lock_guard lock(mutex_);
  if (!streams_.emplace(std::pair(namespace_name, id), std::move(stream)).second) {
    return base::Unknown("already exists");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Stream>> Streams::Find(const std::string& namespace_name,
                                                      const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto it = streams_.find(std::pair(namespace_name, id));
  if (it == streams_.end()) return base::NotFound("");
  return it->second;
}

void Streams::Remove(const std::string& namespace_name, const std::string& id) {
  const std::lock_guard lock(mutex_);
  streams_.erase(std::pair(namespace_name, id));
}

}  // namespace ctrd::services
