// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/mount.h"
#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "daemon/command_line.h"
#include "daemon/log_sink.h"
#include "daemon/plugin/registry.h"
#include "daemon/service_manager.h"
#include "daemon/services/publish_event.h"
#include "daemon/signals.h"
#include "daemon/startup_memory.h"
#include "daemon/version.h"

namespace ctrd {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "containerd: %s\n", base::MessageOf(status).c_str());
  return 1;
}

absl::Status PrepareDirectories(const config::Config& config) {
  RETURN_IF_ERROR(base::MakeDirectories(config.root, 0700));
  RETURN_IF_ERROR(base::MakeDirectories(config.state, 0711));
  if (!config.temp.empty()) {
    RETURN_IF_ERROR(base::MakeDirectories(config.temp, 0700));
    ::setenv("TMPDIR", config.temp.c_str(), 1);
  }
  const std::string temporary_mounts = config.root + "/tmpmounts";
  RETURN_IF_ERROR(base::MakeDirectories(temporary_mounts, 0700));
  return base::RemoveLeftoverTempMounts(temporary_mounts);
}

// Asked for by the configuration, but not worth a refusal to start.
void AdjustOomScore(int64_t score) {
  if (score == 0) return;
  constexpr char kFile[] = "/proc/self/oom_score_adj";
  const absl::Status status = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const base::UniqueFd file, base::Open(kFile, O_WRONLY));
    return base::WriteAll(file.get(), std::to_string(score), kFile);
  }();
  if (!status.ok()) base::LogWarn("cannot set the OOM score, ignoring", {{"error", status}});
}

void TellServiceManager(std::string_view state) {
  if (const absl::Status status = NotifyServiceManager(state); !status.ok()) {
    base::LogWarn("cannot notify the service manager, ignoring", {{"error", status}});
  }
}

absl::Status Serve(plugin::Registry& registry, const config::Config& config) {
  const absl::Time start = absl::Now();
  RETURN_IF_ERROR(InstallLogSink(config.log_level, config.log_format));
  SignalWatch signals;
  base::LogInfo("starting containerd", {{"revision", kRevision}, {"version", kVersion}});
  RETURN_IF_ERROR(PrepareDirectories(config));
  AdjustOomScore(config.oom_score);
  RETURN_IF_ERROR(registry.Start(config));
  for (const plugin::Record* record : registry.records()) {
    // Without its socket, or without its database, a daemon only seems to be one.
    const bool vital = record->uri() == "io.containerd.server.v1.grpc" ||
                       record->uri() == "io.containerd.metadata.v1.bolt";
    if (vital && !record->status.ok()) return record->status;
  }
  signals.Serving();
  builtins::AfterServing(registry);
  TellServiceManager("READY=1");
  base::LogInfo(fmt::format("containerd successfully booted in {:f}s",
                            absl::ToDoubleSeconds(absl::Now() - start)));
  ReleaseStartupMemory();
  const int signal = signals.WaitForEnd();
  base::LogInfo("stopping", {{"signal", signal}});
  TellServiceManager("STOPPING=1");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  BlockSignals();
  // Debian's Abseil is built to look for cycles among mutexes, under one lock for all of them; gRPC
  // takes a dozen mutexes for each call.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // Threads come and go with blocking calls; an arena for each would keep what the busiest took.
  ::mallopt(M_ARENA_MAX, 2);
  const CommandLine line = ParseCommandLine(argc, argv);
  if (line.command == Command::kPrintAndExit) {
    std::fputs(line.output.c_str(), line.exit_code == 1 ? stderr : stdout);
    return line.exit_code;
  }
  plugin::Registry registry;
  builtins::AddAll(registry);
  if (line.command == Command::kConfigDefault) {
    std::fputs(config::ToToml(config::DefaultConfig(registry.schemas())).c_str(), stdout);
    return 0;
  }
  const absl::StatusOr<config::Config> config =
      ConfigFor(line, registry.schemas(), [](const std::string& text) { base::LogWarn(text); });
  if (!config.ok()) return Fail(config.status());
  if (line.command == Command::kConfigDump) {
    std::fputs(config::ToToml(*config).c_str(), stdout);
    return 0;
  }
  const absl::Status status =
      line.command == Command::kPublish
          ? services::PublishFromStandardInput(
                config->plugins.at("io.containerd.server.v1.grpc").String("address"),
                line.publish_namespace, line.publish_topic)
          : Serve(registry, *config);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace
}  // namespace ctrd

int main(int argc, char** argv) { return ctrd::Main(argc, argv); }
