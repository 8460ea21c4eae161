// SPDX-License-Identifier: Apache-2.0

// GarbageCollector removes what nobody refers to: first records, in one transaction, then what the
// back ends hold without a record.
//
//   Start --> runs after startup_delay, then whenever enough has changed --> destructor stops it
//
// Before Start nothing runs by itself, and RunNow runs in the calling thread.
//
// Thread-safe. Source document: docs/operations/garbage-collection.md.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/context.h"
#include "base/metric.h"
#include "daemon/metadata/database.h"

namespace ctrd::metadata {

class Collection;

// The keys of the plugin io.containerd.gc.v1.scheduler; negative numbers count as 0.
struct GcOptions {
  double pause_threshold = 0.02;  // Share of time for marking and sweeping; at most 0.5.
  int deletion_threshold = 0;     // So many deletions make it run at once; 0: at the next tick.
  int mutation_threshold = 100;   // So many writes make the next tick run; 0: never.
  absl::Duration schedule_delay = absl::ZeroDuration();
  absl::Duration startup_delay = absl::Milliseconds(100);  // 0: no first run.
};

class GarbageCollector {
 public:
  // `collection` does the work; borrowed.
  explicit GarbageCollector(Collection& collection);
  ~GarbageCollector();

  void Start(const GcOptions& options);
  // Ends the scheduler; a run in progress is finished. Safe to call twice.
  void Stop();

  // Waits for a complete run, back ends included, that began after the call.
  //   kUnknown "gc failed"; kCancelled, kDeadlineExceeded: the caller stopped waiting
  absl::Status RunNow(const base::Context& context);

  // How many runs there were, and how long writers waited for them.
  void Report(base::MetricSink& sink) const;

  // A committed change to the store.
  void Observe(Change change);

 private:
  struct Scheduler;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace ctrd::metadata
