// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/garbage_collector.h"

#include <algorithm>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/metadata/collection.h"

namespace ctrd::metadata {
namespace {

constexpr absl::Duration kShortestAverage = absl::Milliseconds(5);
constexpr absl::Duration kUnthrottledInterval = absl::Seconds(1);
constexpr absl::Duration kRetryDelay = absl::Seconds(1);
// A waiting caller looks this often whether it was cancelled: a context cannot wake anybody.
constexpr absl::Duration kCancelPoll = absl::Milliseconds(50);

}  // namespace

struct GarbageCollector::Scheduler {
  explicit Scheduler(Collection& work) : collection(work) {}

  void Loop();
  bool IsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Duration Interval() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void WakeBy(absl::Time time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status RunOnce() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  Collection& collection;
  absl::Mutex mutex;
  absl::CondVar wake;      // For the loop.
  absl::CondVar finished;  // A run ended, or the loop.
  GcOptions options ABSL_GUARDED_BY(mutex);
  bool started ABSL_GUARDED_BY(mutex) = false;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  bool triggered ABSL_GUARDED_BY(mutex) = false;
  bool running ABSL_GUARDED_BY(mutex) = false;
  int deletions ABSL_GUARDED_BY(mutex) = 0;
  int mutations ABSL_GUARDED_BY(mutex) = 0;
  absl::Time next ABSL_GUARDED_BY(mutex) = absl::InfiniteFuture();
  uint64_t runs_begun ABSL_GUARDED_BY(mutex) = 0;
  uint64_t runs_ended ABSL_GUARDED_BY(mutex) = 0;
  absl::Status last_status ABSL_GUARDED_BY(mutex);
  absl::Duration total_locked ABSL_GUARDED_BY(mutex);
  base::Counter succeeded, failed;
  base::Timer pauses;
  std::thread thread;
};

bool GarbageCollector::Scheduler::IsDue() const {
  return triggered || deletions > 0 ||
         (options.mutation_threshold > 0 && mutations >= options.mutation_threshold);
}

// So long that marking and sweeping take no more than the allowed share of time.
absl::Duration GarbageCollector::Scheduler::Interval() const {
  if (options.pause_threshold <= 0) return kUnthrottledInterval;
  const absl::Duration average =
      runs_ended == 0 ? absl::ZeroDuration() : total_locked / static_cast<double>(runs_ended);
  const absl::Duration counted = std::max(average, kShortestAverage);
  return counted / options.pause_threshold - counted;
}

void GarbageCollector::Scheduler::WakeBy(absl::Time time) {
  if (time >= next) return;
  next = time;
  wake.Signal();
}

absl::Status GarbageCollector::Scheduler::RunOnce() {
  running = true;
  triggered = false;
  deletions = mutations = 0;
  const uint64_t run = ++runs_begun;
  mutex.Unlock();
  const Collection::Result result = collection.Run();
  (result.status.ok() ? succeeded : failed).Add();
  pauses.Observe(result.locked);
  mutex.Lock();
  running = false;
  runs_ended = run;
  total_locked += result.locked;
  last_status = result.status;
  if (!result.status.ok()) base::LogError("garbage collection failed", {{"error", result.status}});
  finished.SignalAll();
  return result.status;
}

// Between runs nothing ticks: the change that makes a run due also sets its time.
void GarbageCollector::Scheduler::Loop() {
  absl::MutexLock lock(&mutex);
  while (!stopping) {
    if (absl::Now() < next) {
      wake.WaitWithDeadline(&mutex, next);
      continue;
    }
    next = absl::InfiniteFuture();
    if (!IsDue()) continue;
    if (RunOnce().ok()) {
      if (IsDue()) WakeBy(absl::Now() + Interval());
    } else {
      triggered = true;
      WakeBy(absl::Now() + Interval() + kRetryDelay);
    }
  }
  finished.SignalAll();
}

GarbageCollector::GarbageCollector(Collection& collection)
    : scheduler_(std::make_unique<Scheduler>(collection)) {}

GarbageCollector::~GarbageCollector() { Stop(); }

void GarbageCollector::Start(const GcOptions& options) {
  Scheduler& s = *scheduler_;
  absl::MutexLock lock(&s.mutex);
  if (s.started) return;
  s.started = true;
  s.options = options;
  s.options.pause_threshold = std::clamp(options.pause_threshold, 0.0, 0.5);
  s.options.schedule_delay = std::max(options.schedule_delay, absl::ZeroDuration());
  if (options.startup_delay > absl::ZeroDuration()) {
    s.triggered = true;
    s.next = absl::Now() + options.startup_delay;
  }
  s.thread = std::thread([&s] { s.Loop(); });
}

void GarbageCollector::Stop() {
  Scheduler& s = *scheduler_;
  {
    absl::MutexLock lock(&s.mutex);
    s.stopping = true;
    s.wake.SignalAll();
    s.finished.SignalAll();
  }
  if (s.thread.joinable()) s.thread.join();
}

void GarbageCollector::Observe(Change change) {
  Scheduler& s = *scheduler_;
  absl::MutexLock lock(&s.mutex);
  ++s.mutations;
  // After a first deletion everything that is written may turn out to belong to it.
  if (change == Change::kDeletion || s.deletions > 0) ++s.deletions;
  if (!s.started || s.running || !s.IsDue()) return;  // A run in progress looks again at its end.
  const bool at_once =
      s.options.deletion_threshold > 0 && s.deletions >= s.options.deletion_threshold;
  s.WakeBy(absl::Now() + (at_once ? s.options.schedule_delay : s.Interval()));
}

absl::Status GarbageCollector::RunNow(const base::Context& context) {
  Scheduler& s = *scheduler_;
  absl::MutexLock lock(&s.mutex);
  const uint64_t wanted = s.runs_begun + 1;  // One in progress may have looked too early.
  while (!s.started && s.running) s.finished.Wait(&s.mutex);
  if (!s.started) {
    return s.RunOnce().ok() ? absl::OkStatus() : absl::UnknownError("gc failed");
  }
  while (s.runs_ended < wanted) {
    if (s.stopping) return base::Unavailable("garbage collection has ended");
    RETURN_IF_ERROR(context.Check());
    if (s.runs_begun < wanted) {
      s.triggered = true;
      if (!s.running) s.WakeBy(absl::Now() + s.options.schedule_delay);
    }
    s.finished.WaitWithTimeout(&s.mutex, kCancelPoll);
  }
  return s.last_status.ok() ? absl::OkStatus() : absl::UnknownError("gc failed");
}

void GarbageCollector::Report(base::MetricSink& sink) const {
  constexpr char kRuns[] = "containerd_gc_collections_total";
  constexpr char kRunsHelp[] = "Runs of the garbage collector.";
  sink.AddCounter(kRuns, kRunsHelp, scheduler_->succeeded.value(), {{"status", "success"}});
  sink.AddCounter(kRuns, kRunsHelp, scheduler_->failed.value(), {{"status", "fail"}});
  sink.AddTimer("containerd_gc_gc_seconds",
                "How long the collector marked and swept, while changes waited.", {},
                scheduler_->pauses.snapshot());
}

}  // namespace ctrd::metadata
