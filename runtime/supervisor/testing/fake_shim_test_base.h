// SPDX-License-Identifier: Apache-2.0

// FakeShimTest: a supervisor over directories of its own, and shims that do what a test wants, over
// the protocol that is the parameter.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "runtime/supervisor/supervisor.h"
#include "runtime/supervisor/testing/fake_shim.h"
#include "runtime/supervisor/testing/recorded_events.h"

namespace ctrd::runtime {

class FakeShimTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-fake-"));
    timeouts_.shim_shutdown = absl::Milliseconds(50);
    timeouts_.probe = absl::Milliseconds(5);
    Restart();
  }
  void TearDown() override {
    supervisor_.reset();
    shims_.clear();
    EXPECT_THAT(base::RemoveTree(dir_), base::IsOk());
  }

  void Restart() {
    Open();
    supervisor_->Adopt();
  }
  void Open() {
    supervisor_.reset();
    auto opened = Supervisor::Open({.root_dir = dir_ + "/root",
                                    .state_dir = dir_ + "/state",
                                    .shims = {.grpc_address = dir_ + "/c.sock",
                                              .ttrpc_address = dir_ + "/c.sock.ttrpc",
                                              .daemon_binary = "/bin/true",
                                              .daemon_version = "v2.3.4",
                                              .socket_dir = dir_ + "/s"},
                                    .timeouts = timeouts_,
                                    .events = &events_});
    ASSERT_THAT(opened, base::IsOk());
    supervisor_ = *std::move(opened);
  }

  FakeShim& Shim(const std::string& id) {
    std::unique_ptr<FakeShim>& shim = shims_[id];
    if (shim == nullptr) {
      EXPECT_THAT(base::MakeDirectories(dir_ + "/shim-" + id, 0700), base::IsOk());
      shim = std::make_unique<FakeShim>(dir_ + "/shim-" + id, GetParam());
    }
    return *shim;
  }
  CreateTask Request(const std::string& id) {
    return {.id = id, .runtime = Shim(id).binary(), .spec = {.type_url = "spec", .value = "{}"}};
  }
  absl::Status Create(const std::string& id) {
    return supervisor_->Create(context_, Request(id)).status();
  }

  std::string Bundle(const std::string& id) const { return dir_ + "/state/ns/" + id; }
  std::vector<std::string> Left() const {
    std::vector<std::string> left;
    for (const char* top : {"state/ns", "root/ns", "s"}) {
      const auto names = base::ListDirectory(dir_ + "/" + top);
      if (!names.ok()) continue;
      for (const std::string& name : *names) left.push_back(fmt::format("{}/{}", top, name));
    }
    return left;
  }

  // Until `condition` holds; false if it never does.
  static bool Eventually(const std::function<bool()>& condition) {
    const absl::Time limit = absl::Now() + absl::Seconds(20);
    while (!condition()) {
      if (absl::Now() > limit) return false;
      std::this_thread::yield();
    }
    return true;
  }
  bool HasOperation(const std::string& method, size_t callers) {
    for (const auto& operation : supervisor_->operations()) {
      if (operation.name.method == method && operation.callers == callers) return true;
    }
    return false;
  }

  class Metrics final : public base::MetricSink {
   public:
    void Add(base::MetricKind, std::string_view name, std::string_view, base::MetricLabels,
             double value) override {
      values[std::string(name)] = value;
    }
    void AddTimer(std::string_view, std::string_view, base::MetricLabels,
                  const base::Timer::Snapshot&) override {}
    std::map<std::string, double> values;
  };
  double Metric(const std::string& name) {
    Metrics metrics;
    supervisor_->Report(metrics);
    return metrics.values.at(name);
  }

  std::string dir_;
  const base::Context context_{"ns"};
  SupervisorTimeouts timeouts_;
  RecordedEvents events_;
  std::map<std::string, std::unique_ptr<FakeShim>> shims_;
  std::unique_ptr<Supervisor> supervisor_;
};

// For each file of such tests.
#define CTRD_FOR_BOTH_PROTOCOLS(suite)                                     \
  INSTANTIATE_TEST_SUITE_P(Shims, suite, testing::Values("ttrpc", "grpc"), \
                           [](const auto& param) { return std::string(param.param); })

}  // namespace ctrd::runtime
