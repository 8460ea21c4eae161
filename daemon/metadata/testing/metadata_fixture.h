// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "daemon/metadata/metadata.h"
#include "gtest/gtest.h"
#include "images/content/testing/fake_content_store.h"
#include "snapshots/testing/fake_snapshotter.h"

namespace ctrd::metadata {

// Keeps what is published.
class FakeEventSink : public base::EventSink {
 public:
  absl::Status Publish(const base::Event& event) override {
    absl::MutexLock lock(&mutex_);
    events_.push_back(event);
    return absl::OkStatus();
  }
  // "<namespace> <topic>" of all events since the last call.
  std::vector<std::string> TakeTopics() {
    absl::MutexLock lock(&mutex_);
    std::vector<std::string> topics;
    for (const base::Event& event : events_) {
      topics.push_back(event.namespace_name + " " + event.topic);
    }
    events_.clear();
    return topics;
  }
  std::vector<base::Event> Take() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(events_, {});
  }

 private:
  absl::Mutex mutex_;
  std::vector<base::Event> events_;
};

// Metadata in a temporary directory over fakes.
class MetadataTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory(testing::TempDir(), "metadata-"));
    Open();
  }
  void TearDown() override {
    metadata_.reset();
    EXPECT_THAT(base::RemoveTree(directory_), base::IsOk());
  }
  void Open(SharingPolicy sharing = SharingPolicy::kShared) {
    metadata_.reset();
    const MetadataOptions options{
        .path = directory_ + "/meta.lmdb", .sync = false, .sharing = sharing};
    ASSERT_OK_AND_ASSIGN(metadata_,
                         Metadata::Open(options, &backend_, {{"fake", &driver_}}, &events_));
  }
  snapshots::Snapshotter& snapshots() { return *metadata_->snapshotter("fake"); }

  // A blob "data" in `context`'s namespace.
  content::Digest PutBlob(const base::Context& context, const std::string& data,
                          const base::Labels& labels = {}) {
    const content::Digest digest = content::Digest::Of(data);
    EXPECT_THAT(
        content::WriteBlob(context, metadata_->content(), "ref-" + data, data, digest, labels),
        base::IsOk());
    return digest;
  }
  images::Image PutImage(const base::Context& context, const std::string& name,
                         const std::string& digest, const base::Labels& labels = {}) {
    images::Image image{.name = name, .labels = labels};
    image.target = {.media_type = "m", .digest = digest, .size_bytes = 1};
    EXPECT_THAT(metadata_->images().Create(context, image), base::IsOk());
    return image;
  }
  void CommitSnapshot(const base::Context& context, const std::string& name,
                      const std::string& parent, const base::Labels& labels = {}) {
    EXPECT_THAT(snapshots().Prepare(context, "active " + name, parent, {}), base::IsOk());
    EXPECT_THAT(snapshots().Commit(context, name, "active " + name, labels, ""), base::IsOk());
  }
  bool HasBlob(const base::Context& context, const content::Digest& digest) {
    return metadata_->content().Stat(context, digest).ok();
  }
  bool HasSnapshot(const base::Context& context, std::string_view key) {
    return snapshots().Stat(context, key).ok();
  }
  int BlobsInBackend() {
    int count = 0;
    EXPECT_THAT(backend_.Walk(context_, base::Filter(),
                              [&](const content::Info&) {
                                ++count;
                                return absl::OkStatus();
                              }),
                base::IsOk());
    return count;
  }
  int SnapshotsInDriver() {
    int count = 0;
    EXPECT_THAT(driver_.Walk(context_, base::Filter(),
                             [&](const snapshots::Info&) {
                               ++count;
                               return absl::OkStatus();
                             }),
                base::IsOk());
    return count;
  }
  void Collect() { EXPECT_THAT(metadata_->gc().RunNow(context_), base::IsOk()); }

  std::string directory_;
  content::FakeContentStore backend_;
  snapshots::FakeSnapshotter driver_;
  FakeEventSink events_;
  std::unique_ptr<Metadata> metadata_;
  const base::Context context_{"ns"};
  const base::Context other_{"other"};
};

}  // namespace ctrd::metadata
