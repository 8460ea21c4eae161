// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/status.h"
#include "base/time.h"
#include "daemon/builtins/builtins.h"
#include "daemon/events/exchange.h"
#include "daemon/metadata/metadata.h"

namespace ctrd::builtins {
namespace {

using metadata::Metadata;

absl::StatusOr<plugin::Instance> OpenExchange(plugin::InitContext& init) {
  auto log = events::EventLog::Open(init.root_dir, {});
  // Who cannot look back can still be told what comes.
  if (!log.ok()) base::LogError("events cannot be replayed", {{"error", log.status()}});
  auto exchange = std::make_unique<events::Exchange>(events::QueueLimits{},
                                                     log.ok() ? *std::move(log) : nullptr);
  events::Exchange* borrowed = exchange.get();
  return plugin::Instance::Of<events::Exchange>(std::move(exchange))
      .AlsoAs<base::EventSink>(borrowed)
      .AlsoAs<base::MetricSource>(borrowed);
}

absl::StatusOr<plugin::Instance> OpenMetadata(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* backend,
                   init.registry.Get<content::ContentStore>(plugin::kContent, "content"));
  ASSIGN_OR_RETURN(auto* events, init.registry.Get<base::EventSink>(plugin::kEvent, "exchange"));
  const std::string& policy = init.section.String("content_sharing_policy");
  metadata::MetadataOptions options;
  ASSIGN_OR_RETURN(options.sharing, metadata::ParseSharingPolicy(policy));
  RETURN_IF_ERROR(base::MakeDirectories(init.root_dir, 0711));
  options.path = init.root_dir + "/metadata.lmdb";
  options.sync = !init.section.Bool("no_sync");
  // The configuration's 0 means to wait as long as it takes; a daemon that is being replaced may
  // still be letting go.
  const absl::Duration wait = init.config.Timeout("bolt.open");
  options.lock_timeout = wait == absl::ZeroDuration() ? absl::InfiniteDuration() : wait;
  ASSIGN_OR_RETURN(
      auto opened,
      Metadata::Open(options, backend,
                     init.registry.FindAll<snapshots::Snapshotter>(plugin::kSnapshotter), events));
  init.record.exports["policy"] = policy;
  init.record.exports["path"] = options.path;
  Metadata* borrowed = opened.get();
  return plugin::Instance::Of<Metadata>(std::move(opened)).AlsoAs<base::MetricSource>(borrowed);
}

absl::StatusOr<plugin::Instance> OfferLeases(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* metadata, init.registry.Get<Metadata>(plugin::kMetadata, "bolt"));
  return plugin::Instance().AlsoAs<images::LeaseManager>(&metadata->leases());
}

// Runs collections for as long as it lives.
class Scheduler {
 public:
  Scheduler(metadata::GarbageCollector& collector, const metadata::GcOptions& options)
      : collector_(collector) {
    collector_.Start(options);
  }
  ~Scheduler() { collector_.Stop(); }

 private:
  metadata::GarbageCollector& collector_;
};

absl::StatusOr<absl::Duration> DurationOf(const config::Section& section, const char* key) {
  const auto duration = base::ParseDuration(section.String(key));
  if (!duration) return base::InvalidArgument("{}: invalid duration", section.String(key));
  return *duration;
}

absl::StatusOr<plugin::Instance> StartScheduler(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* metadata, init.registry.Get<Metadata>(plugin::kMetadata, "bolt"));
  metadata::GcOptions options;
  options.pause_threshold = init.section.Number("pause_threshold");
  options.deletion_threshold = static_cast<int>(init.section.Integer("deletion_threshold"));
  options.mutation_threshold = static_cast<int>(init.section.Integer("mutation_threshold"));
  ASSIGN_OR_RETURN(options.schedule_delay, DurationOf(init.section, "schedule_delay"));
  ASSIGN_OR_RETURN(options.startup_delay, DurationOf(init.section, "startup_delay"));
  init.record.exports = {
      {"PauseThreshold", fmt::format("{}", options.pause_threshold)},
      {"DeletionThreshold", fmt::format("{}", options.deletion_threshold)},
      {"MutationThreshold", fmt::format("{}", options.mutation_threshold)},
      {"ScheduleDelay", base::FormatDuration(options.schedule_delay)},
  };
  return plugin::Instance::Of<Scheduler>(std::make_unique<Scheduler>(metadata->gc(), options));
}

}  // namespace

void AddMetadata(plugin::Registry& registry) {
  registry.Add({.type = plugin::kEvent,
                .id = "exchange",
                .requirements = {},
                .schema = {},
                .init = OpenExchange});
  registry.Add({.type = plugin::kMetadata,
                .id = "bolt",
                .requirements = {plugin::kContent, plugin::kEvent, plugin::kSnapshotter},
                .schema = {{"content_sharing_policy", std::string("shared")}, {"no_sync", false}},
                .init = OpenMetadata});
  registry.Add({.type = plugin::kGc,
                .id = "scheduler",
                .requirements = {plugin::kMetadata, plugin::kMountManager},
                .schema = {{"pause_threshold", 0.02},
                           {"deletion_threshold", int64_t{0}},
                           {"mutation_threshold", int64_t{100}},
                           {"schedule_delay", std::string("0s")},
                           {"startup_delay", std::string("100ms")}},
                .init = StartScheduler});
  registry.Add({.type = plugin::kLease,
                .id = "manager",
                .requirements = {plugin::kMetadata},
                .schema = {},
                .init = OfferLeases});
}

}  // namespace ctrd::builtins
