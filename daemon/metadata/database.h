// SPDX-License-Identifier: Apache-2.0

// Database: the store of all namespaced records, and what every change to it has in common: the
// collector hears of it, and its event goes out after the commit.
//
// Source document: docs/formats/metadata.md (keys and records).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/event.h"
#include "base/store/store.h"

namespace ctrd::metadata {

using store::ReadTransaction;
using store::WriteTransaction;

// What a committed update means to the collector.
enum class Change {
  kWrite,
  kDeletion,  // Something may have become garbage.
};

// Thread-safe.
class Database {
 public:
  // `events` may be null: nobody is told then.
  Database(std::unique_ptr<store::Store> store, base::EventSink* events)
      : store_(std::move(store)), events_(events) {}

  absl::Status View(const std::function<absl::Status(ReadTransaction&)>& fn) {
    return store_->View(fn);
  }
  // See Store::Update. The observer hears of it unless it failed.
  absl::Status Update(const std::function<absl::Status(WriteTransaction&)>& fn,
                      Change change = Change::kWrite);
  // The same without telling the observer: for the collector itself.
  absl::Status UpdateUnobserved(const std::function<absl::Status(WriteTransaction&)>& fn) {
    return store_->Update(fn);
  }

  // `type` is the full name of the payload's message. Stamps the time.
  absl::Status Publish(std::string_view namespace_name, std::string_view topic,
                       std::string_view type, std::string payload);

  // Call it before threads start.
  void SetObserver(std::function<void(Change)> observer) { observer_ = std::move(observer); }
  store::Statistics statistics() const { return store_->statistics(); }

 private:
  std::unique_ptr<store::Store> store_;
  base::EventSink* const events_;
  std::function<void(Change)> observer_;
};

}  // namespace ctrd::metadata
