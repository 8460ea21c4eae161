// SPDX-License-Identifier: Apache-2.0

// RestartMonitor brings containers into the state that their labels ask for: the label
// containerd.io/restart.status puts a container under it.
//
//   Start --> pass, interval, pass, … --> destructor ends it
//
// A pass looks at all labelled containers of all namespaces and changes those that are not as they
// should be, several at a time; no container is changed twice in a pass, and none holds up others
// for longer than its own limits. Output of a restarted task goes to its log URI or nowhere.
//
// Only what the user of a container asked for counts: a label that its image carries with the same
// value is none. A container whose start fails is tried again after one interval, then two, four,
// … (at most kMaxBackoff), until its record changes. A task whose shim does not answer is left as
// it is.
//
// Thread-safe. Source document: docs/operations/restart.md.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/context.h"
#include "base/metric.h"
#include "daemon/metadata/metadata.h"
#include "daemon/restart/restart_policy.h"
#include "runtime/sandbox_runtime.h"
#include "runtime/task_runtime.h"

namespace ctrd::restart {

inline constexpr absl::Duration kMaxBackoff = absl::Minutes(5);

struct MonitorOptions {
  absl::Duration interval = absl::Seconds(10);  // From the end of a pass to the next one.
  absl::Duration stop_limit = absl::Seconds(10);
  absl::Duration start_limit = absl::Minutes(2);
  std::function<absl::Time()> now = absl::Now;
  runtime::SandboxRuntime* sandboxes = nullptr;  // Where containers of sandboxes go. Borrowed.
};

class RestartMonitor final : public base::MetricSource {
 public:
  // Both are borrowed.
  RestartMonitor(metadata::Metadata& metadata, runtime::TaskRuntime& tasks, MonitorOptions options)
      : metadata_(metadata), tasks_(tasks), options_(std::move(options)) {}
  ~RestartMonitor() override;

  // Begins the passes. Call it once.
  void Start();
  // One pass, in the calling thread; not while another one runs.
  void RunPass();

  void Report(base::MetricSink& sink) const override;

 private:
  struct Candidate {
    base::Context context;
    metadata::Container container;
  };
  using Key = std::pair<std::string, std::string>;  // {namespace, id}
  struct Failure {
    int count = 0;
    absl::Time retry_at;
    absl::Time record_updated;
  };

  void Loop();
  std::vector<Candidate> FindCandidates();
  void Check(const Candidate& candidate);
  absl::Status Apply(const Candidate& candidate, Change change);
  void DropImageLabels(const base::Context& context, metadata::Container& container);
  absl::Status StartTask(const base::Context& context, const metadata::Container& container);
  absl::Status StopTask(const base::Context& context, const std::string& id);
  absl::StatusOr<base::Mounts> RootfsOf(const base::Context& context,
                                        const metadata::Container& container);
  bool MayTry(const Candidate& candidate);
  void Note(const Candidate& candidate, Change change, const absl::Status& status);
  void ForgetGone(const std::vector<Candidate>& candidates);

  metadata::Metadata& metadata_;
  runtime::TaskRuntime& tasks_;
  const MonitorOptions options_;
  const base::Context context_;  // Cancelled when the monitor ends.

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::map<Key, Failure> failures_;

  base::Counter started_, start_failed_, stopped_, stop_failed_;
  std::thread thread_;
};

}  // namespace ctrd::restart
