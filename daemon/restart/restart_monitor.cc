// SPDX-License-Identifier: Apache-2.0
#include "daemon/restart/restart_monitor.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <optional>

#include "base/log.h"
#include "base/status.h"
#include "daemon/restart/image_labels.h"
#include "nlohmann/json.hpp"

namespace ctrd::restart {
namespace {

using metadata::Container;

constexpr size_t kThreads = 8;
// How long a task is asked for its state; the runtime may have a shorter limit of its own.
constexpr absl::Duration kStateLimit = absl::Seconds(5);

// What a restarted task needs of its specification.
struct SpecParts {
  bool terminal = false;
  std::string mount_label;
};

SpecParts PartsOf(const base::Any& spec) {
  SpecParts parts;
  const auto json = nlohmann::json::parse(spec.value, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return parts;
  if (const auto process = json.find("process"); process != json.end() && process->is_object()) {
    const auto terminal = process->find("terminal");
    parts.terminal = terminal != process->end() && terminal->is_boolean() && terminal->get<bool>();
  }
  if (const auto linux_part = json.find("linux");
      linux_part != json.end() && linux_part->is_object()) {
    const auto label = linux_part->find("mountLabel");
    if (label != linux_part->end() && label->is_string()) {
      parts.mount_label = label->get<std::string>();
    }
  }
  return parts;
}

std::string LabelOf(const Container& container, const char* key) {
  const auto it = container.labels.find(key);
  return it == container.labels.end() ? "" : it->second;
}

}  // namespace

RestartMonitor::~RestartMonitor() {
  context_.Cancel();
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void RestartMonitor::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void RestartMonitor::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    RunPass();
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoNanoseconds(options_.interval),
                      [this] { return stopping_; });
  }
}

void RestartMonitor::RunPass() {
  const std::vector<Candidate> candidates = FindCandidates();
  ForgetGone(candidates);
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < candidates.size(); i = next++) {
      if (!context_.cancelled()) Check(candidates[i]);
    }
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(kThreads, candidates.size()); ++i) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
}

std::vector<RestartMonitor::Candidate> RestartMonitor::FindCandidates() {
  std::vector<Candidate> candidates;
  static const std::string kFilters[] = {fmt::format("labels.\"{}\"", kStatusLabel)};
  const auto filter = base::Filter::Parse(kFilters);
  const auto namespaces = metadata_.namespaces().List(context_);
  if (!filter.ok() || !namespaces.ok()) {
    base::LogError("restart monitor cannot list namespaces", {{"error", namespaces.status()}});
    return candidates;
  }
  for (const metadata::Namespace& name_space : *namespaces) {
    const base::Context context = context_.WithNamespace(name_space.name);
    auto containers = metadata_.containers().List(context, *filter);
    if (!containers.ok()) {
      // One that was removed meanwhile, most likely.
      base::LogWarn("restart monitor cannot list containers, leaving the namespace out",
                    {{"namespace", name_space.name}, {"error", containers.status()}});
      continue;
    }
    for (Container& container : *containers) candidates.push_back({context, std::move(container)});
  }
  return candidates;
}

void RestartMonitor::Check(const Candidate& candidate) {
  const base::Context& context = candidate.context;
  const std::string& id = candidate.container.id;
  const base::LogFields fields = {{"id", id}, {"namespace", context.namespace_name()}};
  std::optional<runtime::ProcessState> state;
  if (auto found = tasks_.State(context.WithTimeout(kStateLimit), id, ""); found.ok()) {
    state = *std::move(found);
  } else if (!absl::IsNotFound(found.status())) {
    // It may well run. A second one beside it would be worse than one that is down for longer.
    base::LogWarn("restart monitor cannot ask a task, leaving it",
                  {{"id", id}, {"error", found.status()}});
    return;
  }
  auto change = DecideChange(candidate.container.labels, state);
  if (!change.ok()) {
    base::LogError("restart monitor cannot read the labels of a container, leaving it",
                   {{"id", id}, {"error", change.status()}});
    return;
  }
  if (*change == Change::kNone) return;
  Candidate own = candidate;
  DropImageLabels(context, own.container);
  if (own.container.labels.size() != candidate.container.labels.size()) {
    change = DecideChange(own.container.labels, state);
    if (!change.ok() || *change == Change::kNone) return;
  }
  if (*change == Change::kStart && !MayTry(own)) return;
  const absl::Status status = Apply(own, *change);
  if (context_.cancelled()) return;
  Note(own, *change, status);
}

absl::Status RestartMonitor::Apply(const Candidate& candidate, Change change) {
  return change == Change::kStop
             ? StopTask(candidate.context.WithTimeout(options_.stop_limit), candidate.container.id)
             : StartTask(candidate.context.WithTimeout(options_.start_limit), candidate.container);
}

void RestartMonitor::DropImageLabels(const base::Context& context, Container& container) {
  if (container.image.empty()) return;
  const base::Labels of_image = LabelsOfImage(context, metadata_.images(), metadata_.content(),
                                              container.image, kLabelPrefix);
  for (const auto& [key, value] : of_image) {
    const auto it = container.labels.find(key);
    if (it == container.labels.end() || it->second != value) continue;
    base::LogWarn("restart label comes from the image, ignoring",
                  {{"id", container.id}, {"label", key}, {"image", container.image}});
    container.labels.erase(it);
  }
}

absl::StatusOr<base::Mounts> RestartMonitor::RootfsOf(const base::Context& context,
                                                      const Container& container) {
  if (container.snapshot_key.empty()) return base::Mounts();
  snapshots::Snapshotter* snapshotter = metadata_.snapshotter(container.snapshotter);
  if (snapshotter == nullptr) {
    return base::NotFound("snapshotter not loaded: {}", container.snapshotter);
  }
  return snapshotter->MountsOf(context, container.snapshot_key);
}

absl::Status RestartMonitor::StartTask(const base::Context& context, const Container& container) {
  Container counted{.id = container.id};
  counted.labels[kCountLabel] = fmt::format("{}", RestartCount(container.labels) + 1);
  RETURN_IF_ERROR(metadata_.containers()
                      .Update(context, counted, {fmt::format("labels.{}", kCountLabel)})
                      .status());
  if (!LabelOf(container, kLogPathLabel).empty()) {
    base::LogWarn("label containerd.io/restart.logpath is no longer obeyed, ignoring",
                  {{"id", container.id}});
  }
  // There may be none; and if it cannot be removed, Create says so.
  (void)StopTask(context.WithTimeout(options_.stop_limit), container.id);
  const SpecParts spec = PartsOf(container.spec);
  ASSIGN_OR_RETURN(base::Mounts rootfs, RootfsOf(context, container));
  if (!spec.mount_label.empty()) {
    for (base::Mount& mount : rootfs) {
      mount.options.push_back(fmt::format("context=\"{}\"", spec.mount_label));
    }
  }
  const std::string log_uri = LabelOf(container, kLogUriLabel);
  runtime::CreateTask task{.id = container.id,
                           .runtime = container.runtime.name,
                           .spec = container.spec,
                           .options = container.runtime.options,
                           .rootfs = std::move(rootfs),
                           .stdio = {.stdout_path = log_uri,
                                     .stderr_path = log_uri,
                                     .terminal = spec.terminal && !log_uri.empty()},
                           .sandbox = container.sandbox};
  runtime::AimAtSandbox(context, options_.sandboxes, task);
  RETURN_IF_ERROR(tasks_.Create(context, task).status());
  return tasks_.Start(context, container.id, "").status();
}

absl::Status RestartMonitor::StopTask(const base::Context& context, const std::string& id) {
  bool ended = false;  // With the mutex held.
  const auto wait = tasks_.Wait(context, id, "", [&](const absl::StatusOr<runtime::Exit>&) {
    const std::scoped_lock lock(mutex_);
    ended = true;
    changed_.notify_all();
  });
  const absl::Status killed = tasks_.Kill(context, id, "", SIGKILL, /*all=*/true);
  if (killed.ok()) {
    // A frozen process does not die.
    (void)tasks_.Resume(context, id);
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, absl::ToChronoTime(context.deadline()),
                        [&] { return ended || stopping_; });
  }
  return tasks_.Delete(context, id).status();
}

bool RestartMonitor::MayTry(const Candidate& candidate) {
  const std::scoped_lock lock(mutex_);
  const auto it = failures_.find({candidate.context.namespace_name(), candidate.container.id});
  if (it == failures_.end()) return true;
  if (it->second.record_updated != candidate.container.updated) {
    failures_.erase(it);
    return true;
  }
  return options_.now() >= it->second.retry_at;
}

void RestartMonitor::Note(const Candidate& candidate, Change change, const absl::Status& status) {
  const base::LogFields fields = {{"id", candidate.container.id},
                                  {"namespace", candidate.context.namespace_name()},
                                  {"error", status}};
  if (change == Change::kStop) {
    (status.ok() ? stopped_ : stop_failed_).Add();
    if (!status.ok()) base::LogError("restart monitor cannot stop a container", fields);
    return;
  }
  (status.ok() ? started_ : start_failed_).Add();
  const Key key{candidate.context.namespace_name(), candidate.container.id};
  if (status.ok()) {
    base::LogInfo("container restarted", {{"id", candidate.container.id},
                                          {"namespace", candidate.context.namespace_name()}});
    const std::scoped_lock lock(mutex_);
    failures_.erase(key);
    return;
  }
  base::LogError("restart monitor cannot start a container", fields);
  // Our own change of the count is no reason to try sooner.
  const auto now_stored = metadata_.containers().Get(candidate.context, candidate.container.id);
  const std::scoped_lock lock(mutex_);
  Failure& failure = failures_[key];
  const int doublings = std::min(failure.count++, 16);
  failure.retry_at =
      options_.now() + std::min(kMaxBackoff, options_.interval * (int64_t{1} << doublings));
  failure.record_updated = now_stored.ok() ? now_stored->updated : candidate.container.updated;
}

void RestartMonitor::ForgetGone(const std::vector<Candidate>& candidates) {
  std::map<Key, Failure> kept;
  const std::scoped_lock lock(mutex_);
  for (const Candidate& candidate : candidates) {
    const Key key{candidate.context.namespace_name(), candidate.container.id};
    if (const auto it = failures_.find(key); it != failures_.end()) kept.insert(*it);
  }
  failures_ = std::move(kept);
}

void RestartMonitor::Report(base::MetricSink& sink) const {
  constexpr char kName[] = "containerd_restart_monitor_changes_total";
  constexpr char kHelp[] = "Containers that the restart monitor started or stopped.";
  sink.AddCounter(kName, kHelp, started_.value(), {{"action", "start"}, {"status", "success"}});
  sink.AddCounter(kName, kHelp, start_failed_.value(), {{"action", "start"}, {"status", "fail"}});
  sink.AddCounter(kName, kHelp, stopped_.value(), {{"action", "stop"}, {"status", "success"}});
  sink.AddCounter(kName, kHelp, stop_failed_.value(), {{"action", "stop"}, {"status", "fail"}});
}

}  // namespace ctrd::restart
