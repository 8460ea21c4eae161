// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/relay.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "base/status.h"

namespace ctrd::runtime::shim {
namespace {

constexpr size_t kSpliceBytes = 64 << 10;
constexpr size_t kCopyBytes = 8 << 10;
constexpr int kStepsPerTurn = 16;

bool IsReadable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & POLLIN) != 0;
}

}  // namespace

Relay::Relay(base::EventLoop* loop, base::UniqueFd source, base::UniqueFd sink,
             BrokenSink broken_sink, std::function<void()> finished)
    : loop_(loop),
      source_(std::move(source)),
      sink_(std::move(sink)),
      broken_sink_(broken_sink),
      finished_(std::move(finished)) {
  WaitFor(Step::kWaitForSource);
}

void Relay::Close() {
  if (watched_ >= 0) loop_->Remove(std::exchange(watched_, -1));
  source_.Reset();
  sink_.Reset();
  buffer_ = {};
}

void Relay::Finish() {
  Close();
  if (finished_) std::exchange(finished_, nullptr)();  // May destroy us.
}

void Relay::WaitFor(Step side) {
  const int fd = side == Step::kWaitForSource ? source_.get() : sink_.get();
  if (watched_ == fd) return;
  if (watched_ >= 0) loop_->Remove(std::exchange(watched_, -1));
  const uint32_t events = side == Step::kWaitForSource ? EPOLLIN : EPOLLOUT;
  const absl::Status added = loop_->Add(fd, events, [this](uint32_t) { Pump(); });
  if (added.ok()) {
    watched_ = fd;
  } else {
    base::LogWarn("cannot watch a stream", {{"error", added}});
    loop_->Post([finished = std::exchange(finished_, nullptr)] {
      if (finished) finished();
    });
    Close();
  }
}

void Relay::Pump() {
  Step step = Step::kMore;
  for (int i = 0; i < kStepsPerTurn && step == Step::kMore; ++i) {
    if (!buffer_.empty()) {
      step = WriteBuffer();
    } else if (can_splice_ && sink_.valid()) {
      step = SpliceSome();
    } else {
      step = CopySome();
    }
  }
  if (step == Step::kFinished) return Finish();
  // With more to do right now the watch stays: its descriptor is still ready.
  if (step != Step::kMore) WaitFor(step);
}

Relay::Step Relay::SpliceSome() {
  const ssize_t count = ::splice(source_.get(), nullptr, sink_.get(), nullptr, kSpliceBytes,
                                 SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (count > 0 || (count < 0 && errno == EINTR)) return Step::kMore;
  if (count == 0) return Step::kFinished;
  if (errno == EAGAIN) return IsReadable(source_.get()) ? Step::kWaitForSink : Step::kWaitForSource;
  can_splice_ = false;  // These two cannot, or one is broken: reading and writing tells which.
  return Step::kMore;
}

Relay::Step Relay::CopySome() {
  char bytes[kCopyBytes];
  const ssize_t count = ::read(source_.get(), bytes, sizeof(bytes));
  if (count < 0 && errno == EINTR) return Step::kMore;
  if (count < 0 && errno == EAGAIN) return Step::kWaitForSource;
  if (count <= 0) return Step::kFinished;  // EIO: the last user of a terminal has gone.
  if (sink_.valid()) buffer_.assign(bytes, static_cast<size_t>(count));
  return Step::kMore;
}

Relay::Step Relay::WriteBuffer() {
  const ssize_t count = ::write(sink_.get(), buffer_.data(), buffer_.size());
  if (count < 0 && errno == EINTR) return Step::kMore;
  if (count < 0 && errno == EAGAIN) return Step::kWaitForSink;
  if (count < 0) {
    if (broken_sink_ == BrokenSink::kFinish) return Step::kFinished;
    base::LogWarn("output is lost from here on", {{"error", base::ErrnoStatus("write", "output")}});
    if (watched_ == sink_.get()) loop_->Remove(std::exchange(watched_, -1));
    sink_.Reset();
    buffer_ = {};
    // The loop must look at the source again, whatever it looked at.
    return Step::kWaitForSource;
  }
  buffer_.erase(0, static_cast<size_t>(count));
  if (buffer_.empty()) buffer_ = {};
  return Step::kMore;
}

}  // namespace ctrd::runtime::shim
