// SPDX-License-Identifier: Apache-2.0

// Who is told how far a transfer is.
#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "images/transfer/transfer.h"

namespace ctrd::transfer {

// Gathers what the threads of one transfer do, and tells it every 300 ms. Thread-safe.
class ProgressTracker {
 public:
  // `moving` is the event of bytes on their way: "downloading" or "uploading".
  ProgressTracker(ProgressSink sink, std::string moving);
  ~ProgressTracker();

  // One descriptor on its way. Lives as long as the tracker.
  class Item {
   public:
    void Moved(int64_t offset) { offset_.store(offset, std::memory_order_relaxed); }
    void Extracted(int64_t bytes) { extracted_.store(bytes, std::memory_order_relaxed); }
    void Existed() { state_.store(State::kExisted); }
    void Complete() { state_.store(State::kComplete); }
    void ExtractionDone() { extraction_done_.store(true); }

   private:
    friend class ProgressTracker;
    enum class State { kWaiting, kExisted, kComplete };
    Descriptor descriptor_;
    std::string name_;
    std::vector<std::string> parents_;
    std::atomic<int64_t> offset_ = 0;
    std::atomic<int64_t> extracted_ = 0;
    std::atomic<State> state_ = State::kWaiting;
    std::atomic<bool> extraction_done_ = false;
    // What has been told. Of the teller alone.
    bool announced_ = false;
    bool finished_ = false;
    bool told_extracted_ = false;
    int64_t told_offset_ = 0;
    int64_t told_extraction_ = 0;
  };

  // The item of `descriptor`, announced at the first call; `parent` is added to those that list it.
  Item* Add(const Descriptor& descriptor, const std::string& parent);
  // An event of the transfer as a whole, at once.
  void Tell(std::string event, std::string name = "",
            std::optional<Descriptor> descriptor = std::nullopt);
  // Tells all that happened so far.
  void Flush();

 private:
  void Run();
  void TellItem(Item& item);
  void TellItem(const Item& item, std::string event, int64_t progress);

  const ProgressSink sink_;
  const std::string moving_;
  std::mutex mutex_;  // Guards the items' list and parents.
  std::list<Item> items_;
  std::map<std::string, Item*> by_name_;
  std::mutex telling_;  // Held while the sink is called; before `mutex_`.
  std::condition_variable stop_changed_;
  bool stopping_ = false;  // Guarded by `mutex_`.
  std::thread thread_;     // Last: it uses all of the above.
};

}  // namespace ctrd::transfer
