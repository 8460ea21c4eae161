// SPDX-License-Identifier: Apache-2.0
#include "daemon/restart/restart_monitor.h"

#include <string>
#include <vector>

#include "daemon/metadata/testing/metadata_fixture.h"
#include "images/spec/documents.h"
#include "images/spec/media_types.h"
#include "runtime/testing/fake_task_runtime.h"

namespace ctrd::restart {
namespace {

using base::IsOk;
using metadata::Container;
using runtime::TaskState;
using testing::ElementsAre;

constexpr absl::Duration kInterval = absl::Seconds(10);

class RestartMonitorTest : public metadata::MetadataTest {
 protected:
  void SetUp() override {
    MetadataTest::SetUp();
    monitor_ = std::make_unique<RestartMonitor>(
        *metadata_, tasks_, MonitorOptions{.interval = kInterval, .now = [this] { return now_; }});
  }
  void TearDown() override {
    monitor_.reset();
    MetadataTest::TearDown();
  }

  Container Put(const std::string& id, base::Labels labels, const std::string& image = "") {
    Container container{.id = id, .labels = std::move(labels), .image = image};
    container.runtime.name = "io.containerd.runc.v2";
    container.spec = {.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Spec",
                      .value = R"({"process":{"terminal":true}})"};
    EXPECT_THAT(metadata_->containers().Create(context_, container), IsOk());
    return container;
  }
  void SetLabel(const std::string& id, const std::string& key, const std::string& value) {
    EXPECT_THAT(metadata_->containers().Update(context_, {.id = id, .labels = {{key, value}}},
                                               {"labels." + key}),
                IsOk());
  }
  std::string LabelOf(const std::string& id, const std::string& key) {
    const auto container = metadata_->containers().Get(context_, id);
    EXPECT_THAT(container, IsOk());
    return container.ok() && container->labels.contains(key) ? container->labels.at(key) : "";
  }
  // A task that a client started.
  void RunTask(const std::string& id) {
    EXPECT_THAT(tasks_.Create(context_, {.id = id}), IsOk());
    EXPECT_THAT(tasks_.Start(context_, id, ""), IsOk());
  }
  TaskState StateOf(const std::string& id) {
    const auto state = tasks_.State(context_, id, "");
    return state.ok() ? state->state : TaskState::kUnknown;
  }
  uint32_t PidOf(const std::string& id) {
    const auto state = tasks_.State(context_, id, "");
    return state.ok() ? state->pid : 0;
  }
  void PassAfterInterval() {
    now_ += kInterval;
    monitor_->RunPass();
  }

  runtime::FakeTaskRuntime tasks_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
  std::unique_ptr<RestartMonitor> monitor_;
};

TEST_F(RestartMonitorTest, StartsWhatHasNoTask) {
  Put("c", {{kStatusLabel, "running"}});
  monitor_->RunPass();
  EXPECT_EQ(StateOf("c"), TaskState::kRunning);
  EXPECT_EQ(LabelOf("c", kCountLabel), "1");
  EXPECT_EQ(tasks_.last_create().runtime, "io.containerd.runc.v2");
  EXPECT_EQ(tasks_.last_create().stdio.stdout_path, "");
  EXPECT_FALSE(tasks_.last_create().stdio.terminal);  // Nobody would read it.
}

TEST_F(RestartMonitorTest, StartsAgainWhatHasEndedAndCounts) {
  Put("c", {{kStatusLabel, "running"}, {kPolicyLabel, "always"}, {kCountLabel, "7"}});
  RunTask("c");
  const uint32_t first = PidOf("c");
  tasks_.End("ns", "c", 0);
  monitor_->RunPass();
  EXPECT_EQ(StateOf("c"), TaskState::kRunning);
  EXPECT_NE(PidOf("c"), first);
  EXPECT_EQ(LabelOf("c", kCountLabel), "8");
}

TEST_F(RestartMonitorTest, LeavesAloneWhatIsNotLabelled) {
  Put("c", {});
  RunTask("c");
  tasks_.End("ns", "c", 1);
  monitor_->RunPass();
  EXPECT_EQ(StateOf("c"), TaskState::kStopped);
}

TEST_F(RestartMonitorTest, TellsOfTheNewCountBeforeItStarts) {
  Put("c", {{kStatusLabel, "running"}});
  events_.TakeTopics();
  monitor_->RunPass();
  EXPECT_THAT(events_.TakeTopics(), ElementsAre("ns /containers/update"));
}

TEST_F(RestartMonitorTest, WritesOutputToTheLogUri) {
  Put("c", {{kStatusLabel, "running"}, {kLogUriLabel, "file:///tmp/log"}});
  monitor_->RunPass();
  EXPECT_EQ(tasks_.last_create().stdio.stdout_path, "file:///tmp/log");
  EXPECT_EQ(tasks_.last_create().stdio.stderr_path, "file:///tmp/log");
  EXPECT_EQ(tasks_.last_create().stdio.stdin_path, "");
  EXPECT_TRUE(tasks_.last_create().stdio.terminal);
}

TEST_F(RestartMonitorTest, HandsOverTheSnapshotOfTheContainer) {
  EXPECT_THAT(snapshots().Prepare(context_, "key", "", {}), IsOk());
  Container container{.id = "c", .labels = {{kStatusLabel, "running"}}};
  container.runtime.name = "r";
  container.spec.value = R"({"linux":{"mountLabel":"system_u:object_r:a"}})";
  container.snapshotter = "fake";
  container.snapshot_key = "key";
  EXPECT_THAT(metadata_->containers().Create(context_, container), IsOk());
  monitor_->RunPass();
  ASSERT_OK_AND_ASSIGN(const base::Mounts mounts, snapshots().MountsOf(context_, "key"));
  const base::Mounts handed = tasks_.last_create().rootfs;
  ASSERT_EQ(handed.size(), mounts.size());
  EXPECT_EQ(handed[0].source, mounts[0].source);
  EXPECT_EQ(handed[0].options.back(), "context=\"system_u:object_r:a\"");
}

TEST_F(RestartMonitorTest, StopsWhatShallBeStopped) {
  Put("c", {{kStatusLabel, "stopped"}});
  RunTask("c");
  monitor_->RunPass();
  EXPECT_FALSE(tasks_.State(context_, "c", "").ok());
  EXPECT_EQ(LabelOf("c", kCountLabel), "");
}

TEST_F(RestartMonitorTest, StopsAndStartsAsTheLabelChanges) {
  Put("c", {{kStatusLabel, "running"}});
  monitor_->RunPass();
  SetLabel("c", kStatusLabel, "stopped");
  monitor_->RunPass();
  EXPECT_FALSE(tasks_.State(context_, "c", "").ok());
  SetLabel("c", kStatusLabel, "running");
  monitor_->RunPass();
  EXPECT_EQ(StateOf("c"), TaskState::kRunning);
  EXPECT_EQ(LabelOf("c", kCountLabel), "2");
}

TEST_F(RestartMonitorTest, GivesUpAfterAsManyFailuresAsThePolicySays) {
  Put("c", {{kStatusLabel, "running"}, {kPolicyLabel, "on-failure:2"}});
  RunTask("c");
  for (int i = 0; i < 4; ++i) {
    if (StateOf("c") == TaskState::kRunning) tasks_.End("ns", "c", 1);
    PassAfterInterval();
  }
  EXPECT_EQ(StateOf("c"), TaskState::kStopped);
  EXPECT_EQ(LabelOf("c", kCountLabel), "2");
}

TEST_F(RestartMonitorTest, OneBadContainerDoesNotHoldUpOthers) {
  Put("bad-policy", {{kStatusLabel, "running"}, {kPolicyLabel, "whenever"}});
  Container lost{.id = "no-snapshotter", .labels = {{kStatusLabel, "running"}}};
  lost.runtime.name = "r";
  lost.spec.value = "{}";
  lost.snapshotter = "fake";
  lost.snapshot_key = "gone";
  EXPECT_THAT(metadata_->containers().Create(context_, lost), IsOk());
  for (int i = 0; i < 20; ++i) Put(fmt::format("c{}", i), {{kStatusLabel, "running"}});
  monitor_->RunPass();
  EXPECT_EQ(StateOf("bad-policy"), TaskState::kUnknown);
  EXPECT_EQ(LabelOf("no-snapshotter", kCountLabel), "1");  // It was tried.
  for (int i = 0; i < 20; ++i) EXPECT_EQ(StateOf(fmt::format("c{}", i)), TaskState::kRunning) << i;
}

TEST_F(RestartMonitorTest, WaitsLongerAfterEachStartThatFails) {
  Container container{.id = "c", .labels = {{kStatusLabel, "running"}}};
  container.runtime.name = "r";
  container.spec.value = "{}";
  container.snapshotter = "fake";
  container.snapshot_key = "gone";
  EXPECT_THAT(metadata_->containers().Create(context_, container), IsOk());
  monitor_->RunPass();
  std::vector<std::string> counts;
  for (int i = 0; i < 8; ++i) {
    PassAfterInterval();
    counts.push_back(LabelOf("c", kCountLabel));
  }
  EXPECT_THAT(counts, ElementsAre("2", "2", "3", "3", "3", "3", "4", "4"));
  // Somebody mended it.
  EXPECT_THAT(snapshots().Prepare(context_, "gone", "", {}), IsOk());
  SetLabel("c", "mended", "yes");
  PassAfterInterval();
  EXPECT_EQ(StateOf("c"), TaskState::kRunning);
}

class ImageLabelsTest : public RestartMonitorTest {
 protected:
  // An image whose config has `labels`, behind an index.
  void PutLabelledImage(const std::string& name, const std::string& labels) {
    const std::string config = fmt::format(
        R"({{"architecture":"amd64","os":"linux","config":{{"Labels":{}}},"rootfs":{{"type":"layers","diff_ids":[]}}}})",
        labels);
    images::Manifest manifest{.media_type = std::string(images::kOciManifest)};
    manifest.config = Store(config, images::kOciConfig);
    images::Index index{.media_type = std::string(images::kOciIndex)};
    index.manifests = {Store(images::SerializeManifest(manifest), images::kOciManifest)};
    images::Image image{.name = name};
    image.target = Store(images::SerializeIndex(index), images::kOciIndex);
    EXPECT_THAT(metadata_->images().Create(context_, image), IsOk());
  }

 private:
  images::Descriptor Store(const std::string& document, std::string_view media_type) {
    images::Descriptor descriptor;
    descriptor.media_type = std::string(media_type);
    descriptor.digest = std::string(PutBlob(context_, document).text());
    descriptor.size_bytes = static_cast<int64_t>(document.size());
    return descriptor;
  }
};

// An older client copies the labels of an image to the container.
TEST_F(ImageLabelsTest, AnImageCannotPutItsContainersUnderTheMonitor) {
  PutLabelledImage("evil", R"({"containerd.io/restart.status":"running"})");
  Put("c", {{kStatusLabel, "running"}}, "evil");
  monitor_->RunPass();
  EXPECT_FALSE(tasks_.State(context_, "c", "").ok());
  EXPECT_EQ(LabelOf("c", kCountLabel), "");
}

TEST_F(ImageLabelsTest, AnImageCannotNameALogger) {
  PutLabelledImage("evil", R"({"containerd.io/restart.loguri":"binary:///bin/sh?-c=id"})");
  Put("c", {{kStatusLabel, "running"}, {kLogUriLabel, "binary:///bin/sh?-c=id"}}, "evil");
  monitor_->RunPass();
  EXPECT_EQ(StateOf("c"), TaskState::kRunning);  // That was the user's wish.
  EXPECT_EQ(tasks_.last_create().stdio.stdout_path, "");
}

TEST_F(ImageLabelsTest, LabelsOfTheUserCountWhateverTheImageSays) {
  PutLabelledImage("image", R"({"containerd.io/restart.status":"stopped","other":"label"})");
  Put("c", {{kStatusLabel, "running"}}, "image");
  Put("d", {{kStatusLabel, "running"}}, "an image that is gone");
  monitor_->RunPass();
  EXPECT_EQ(StateOf("c"), TaskState::kRunning);
  EXPECT_EQ(StateOf("d"), TaskState::kRunning);
}

TEST_F(RestartMonitorTest, EndsWhileItWaitsForTheNextPass) {
  Put("c", {{kStatusLabel, "running"}});
  monitor_->Start();
  monitor_.reset();  // Must not take an interval.
}

}  // namespace
}  // namespace ctrd::restart
