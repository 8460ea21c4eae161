// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/progress.h"

#include <algorithm>
#include <chrono>

#include "images/spec/documents.h"

namespace ctrd::transfer {
namespace {

constexpr auto kTick = std::chrono::milliseconds(300);

}  // namespace

ProgressTracker::ProgressTracker(ProgressSink sink, std::string moving)
    : sink_(std::move(sink)), moving_(std::move(moving)) {
  if (sink_) thread_ = std::thread([this] { Run(); });
}

ProgressTracker::~ProgressTracker() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_changed_.notify_all();
  thread_.join();
}

void ProgressTracker::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_changed_.wait_for(lock, kTick, [this] { return stopping_; })) {
    lock.unlock();
    Flush();
    lock.lock();
  }
}

ProgressTracker::Item* ProgressTracker::Add(const Descriptor& descriptor,
                                            const std::string& parent) {
  const std::string name = images::IngestRef(descriptor);
  const std::lock_guard lock(mutex_);
  Item*& item = by_name_[name];
  if (item == nullptr) {
    item = &items_.emplace_back();
    item->descriptor_ = descriptor;
    item->descriptor_.data.clear();
    item->name_ = name;
  }
  auto& parents = item->parents_;
  if (std::find(parents.begin(), parents.end(), parent) == parents.end()) {
    parents.push_back(parent);
  }
  return item;
}

void ProgressTracker::Tell(std::string event, std::string name,
                           std::optional<Descriptor> descriptor) {
  if (!sink_) return;
  const std::lock_guard telling(telling_);
  sink_({.event = std::move(event), .name = std::move(name), .descriptor = std::move(descriptor)});
}

void ProgressTracker::Flush() {
  if (!sink_) return;
  const std::lock_guard telling(telling_);
  std::vector<Item*> items;
  {
    const std::lock_guard lock(mutex_);
    for (Item& item : items_) items.push_back(&item);
  }
  for (Item* item : items) TellItem(*item);
}

void ProgressTracker::TellItem(Item& item) {
  const int64_t size = item.descriptor_.size_bytes;
  if (!item.announced_) TellItem(item, "waiting", 0);
  item.announced_ = true;
  const Item::State state = item.state_.load();
  if (!item.finished_) {
    const int64_t offset = item.offset_.load(std::memory_order_relaxed);
    if (state == Item::State::kWaiting && offset > item.told_offset_) {
      item.told_offset_ = offset;
      TellItem(item, moving_, offset);
    }
    if (state != Item::State::kWaiting) {
      item.finished_ = true;
      TellItem(item, state == Item::State::kExisted ? "already exists" : "complete", size);
    }
  }
  const int64_t extracted = item.extracted_.load(std::memory_order_relaxed);
  const bool done = item.extraction_done_.load();
  if (extracted > item.told_extraction_ && !done) {
    item.told_extraction_ = extracted;
    TellItem(item, "extracting", extracted);
  }
  if (done && !item.told_extracted_) {
    item.told_extracted_ = true;
    TellItem(item, "extracted", size);
  }
}

void ProgressTracker::TellItem(const Item& item, std::string event, int64_t progress) {
  Progress out{.event = std::move(event),
               .name = item.name_,
               .progress = progress,
               .total = item.descriptor_.size_bytes,
               .descriptor = item.descriptor_};
  if (out.event != "already exists") {
    const std::lock_guard lock(mutex_);
    out.parents = item.parents_;
  }
  sink_(out);
}

}  // namespace ctrd::transfer
