// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "base/time.h"
#include "daemon/metadata/testing/metadata_fixture.h"

namespace ctrd::metadata {
namespace {

using base::IsOk;
using base::StatusIs;
using content::Digest;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

class GarbageCollectorTest : public MetadataTest {
 protected:
  std::string Past() { return base::FormatRfc3339(absl::Now() - absl::Hours(1)); }
  std::string Future() { return base::FormatRfc3339(absl::Now() + absl::Hours(1)); }
  bool HasImage(const std::string& name) { return metadata_->images().Get(context_, name).ok(); }
  void Lease(const std::string& id, const base::Labels& labels,
             const std::vector<images::LeaseResource>& resources) {
    ASSERT_THAT(metadata_->leases().Create(context_, {.id = id, .labels = labels}), IsOk());
    for (const auto& resource : resources) {
      ASSERT_THAT(metadata_->leases().AddResource(context_, id, resource), IsOk());
    }
  }
};

TEST_F(GarbageCollectorTest, ImageKeepsItsTreeAndTheRestGoes) {
  const Digest layer = PutBlob(context_, "layer");
  const Digest loose = PutBlob(context_, "loose");
  const Digest config =
      PutBlob(context_, "config", {{"containerd.io/gc.ref.snapshot.fake", "chain"}});
  const Digest manifest = PutBlob(context_, "manifest",
                                  {{"containerd.io/gc.ref.content.config", config.text()},
                                   {"containerd.io/gc.ref.content.l.0", layer.text()},
                                   {"containerd.io/gc.ref.contentfoo", loose.text()}});
  PutImage(context_, "i", manifest.text());
  CommitSnapshot(context_, "parent", "");
  CommitSnapshot(context_, "chain", "parent");
  CommitSnapshot(context_, "loose", "parent");
  events_.TakeTopics();
  Collect();
  EXPECT_TRUE(HasBlob(context_, layer) && HasBlob(context_, config) && HasBlob(context_, manifest));
  EXPECT_FALSE(HasBlob(context_, loose));
  EXPECT_EQ(BlobsInBackend(), 3);
  EXPECT_TRUE(HasSnapshot(context_, "parent") && HasSnapshot(context_, "chain"));
  EXPECT_FALSE(HasSnapshot(context_, "loose"));
  EXPECT_EQ(SnapshotsInDriver(), 2);
  EXPECT_THAT(events_.TakeTopics(), ElementsAre("ns /snapshot/remove"));
  ASSERT_THAT(metadata_->images().Delete(context_, "i"), IsOk());
  Collect();
  EXPECT_EQ(BlobsInBackend(), 0);
  EXPECT_EQ(SnapshotsInDriver(), 0);
}

class FakeMounts final : public CollectibleMounts {
 public:
  std::vector<std::string> MountNamespaces() override { return {"ns", "mounts-only"}; }
  std::vector<CollectibleMount> MountsOf(std::string_view ns) override {
    return ns == "ns" ? mounts : std::vector<CollectibleMount>{{.id = 99, .name = "elsewhere"}};
  }
  void CollectMount(std::string_view ns, const CollectibleMount& mount) override {
    collected.push_back(fmt::format("{} {}", ns, mount.name));
  }
  std::vector<CollectibleMount> mounts;
  std::vector<std::string> collected;
};

TEST_F(GarbageCollectorTest, MountsStayWithLeasesReferencesAndWhatTheyReferBackTo) {
  FakeMounts mounts;
  metadata_->CollectMounts(&mounts);
  Lease("live", {}, {});
  Lease("expired", {{"containerd.io/gc.expire", Past()}}, {});
  ASSERT_THAT(metadata_->containers().Create(
                  context_, {.id = "c",
                             .labels = {{"containerd.io/gc.ref.mount", "referenced"}},
                             .runtime = {"rt", {}}}),
              IsOk());
  mounts.mounts = {
      {.id = 1, .name = "leased", .lease = "live"},
      {.id = 2, .name = "lease-expired", .lease = "expired"},
      {.id = 3, .name = "lease-gone", .lease = "gone"},
      {.id = 4, .name = "referenced"},
      {.id = 5, .name = "of-container", .labels = {{"containerd.io/gc.bref.container", "c"}}},
      {.id = 6, .name = "of-nobody", .labels = {{"containerd.io/gc.bref.container", "gone"}}},
      {.id = 7, .name = "loose", .labels = {{"containerd.io/gc.root", "x"}}},
  };
  Collect();
  EXPECT_THAT(mounts.collected,
              UnorderedElementsAre("ns lease-expired", "ns lease-gone", "ns of-nobody", "ns loose",
                                   "mounts-only elsewhere"));
  metadata_->CollectMounts(nullptr);
}

TEST_F(GarbageCollectorTest, RootsStay) {
  const Digest blob = PutBlob(context_, "b", {{"containerd.io/gc.root", "x"}});
  CommitSnapshot(context_, "base", "");
  CommitSnapshot(context_, "s", "base", {{"containerd.io/gc.root.name", "x"}});
  CommitSnapshot(context_, "c", "");
  ASSERT_THAT(
      metadata_->containers().Create(
          context_, {.id = "c", .runtime = {"rt", {}}, .snapshotter = "fake", .snapshot_key = "c"}),
      IsOk());
  const Digest by_sandbox = PutBlob(context_, "sandboxed");
  ASSERT_THAT(
      metadata_->sandboxes().Create(
          context_, {.id = "s", .labels = {{"containerd.io/gc.ref.content", by_sandbox.text()}}}),
      IsOk());
  Collect();
  EXPECT_TRUE(HasBlob(context_, blob) && HasBlob(context_, by_sandbox));
  EXPECT_TRUE(HasSnapshot(context_, "s") && HasSnapshot(context_, "base") &&
              HasSnapshot(context_, "c"));
}

TEST_F(GarbageCollectorTest, NamespacesDoNotKeepEachOthersThings) {
  const Digest blob = PutBlob(context_, "b");
  PutBlob(other_, "b");
  PutImage(other_, "i", blob.text());
  Collect();
  EXPECT_FALSE(HasBlob(context_, blob));
  EXPECT_TRUE(HasBlob(other_, blob));
  EXPECT_EQ(BlobsInBackend(), 1);
}

TEST_F(GarbageCollectorTest, LeasesKeepWhatTheyListUntilTheyExpire) {
  const Digest child = PutBlob(context_, "child");
  const Digest blob = PutBlob(context_, "b", {{"containerd.io/gc.ref.content.0", child.text()}});
  Lease("live", {{"containerd.io/gc.expire", Future()}}, {{blob.text(), "content"}});
  Lease("odd", {{"containerd.io/gc.expire", "tomorrow"}}, {});
  const Digest late = PutBlob(context_, "late");
  Lease("past", {{"containerd.io/gc.expire", Past()}}, {{late.text(), "content"}});
  Collect();
  EXPECT_TRUE(HasBlob(context_, blob) && HasBlob(context_, child));
  EXPECT_FALSE(HasBlob(context_, late));
  ASSERT_OK_AND_ASSIGN(const auto leases, metadata_->leases().List(context_, {}));
  EXPECT_EQ(leases.size(), 2);
  ASSERT_THAT(metadata_->leases().Delete(context_, "live"), IsOk());
  Collect();
  EXPECT_FALSE(HasBlob(context_, blob));
}

TEST_F(GarbageCollectorTest, FlatLeaseKeepsParentsAndTargetsButNoLabelledReferences) {
  const Digest child = PutBlob(context_, "child");
  const Digest blob = PutBlob(context_, "b", {{"containerd.io/gc.ref.content.0", child.text()}});
  PutImage(context_, "i", blob.text(), {{"containerd.io/gc.expire", Past()}});
  CommitSnapshot(context_, "base", "");
  CommitSnapshot(context_, "s", "base");
  Lease("flat", {{"containerd.io/gc.flat", "1"}}, {{"i", "images"}, {"s", "snapshots/fake"}});
  Collect();
  EXPECT_TRUE(HasImage("i") && HasBlob(context_, blob));
  EXPECT_FALSE(HasBlob(context_, child));
  EXPECT_TRUE(HasSnapshot(context_, "s") && HasSnapshot(context_, "base"));
}

TEST_F(GarbageCollectorTest, ExpiredImageGoesWithItsEvent) {
  const Digest blob = PutBlob(context_, "b");
  PutImage(context_, "old", blob.text(), {{"containerd.io/gc.expire", Past()}});
  PutImage(context_, "young", blob.text(), {{"containerd.io/gc.expire", Future()}});
  events_.TakeTopics();
  Collect();
  EXPECT_FALSE(HasImage("old"));
  EXPECT_TRUE(HasImage("young") && HasBlob(context_, blob));
  EXPECT_THAT(events_.TakeTopics(), ElementsAre("ns /images/delete"));
}

TEST_F(GarbageCollectorTest, BackReferencesTieAThingToItsOwner) {
  const Digest owner = PutBlob(context_, "owner", {{"containerd.io/gc.root", "x"}});
  const Digest tied =
      PutBlob(context_, "tied", {{"containerd.io/gc.bref.content.x", owner.text()}});
  const Digest stray = PutBlob(context_, "stray", {{"containerd.io/gc.bref.container", "no"}});
  CommitSnapshot(context_, "s", "", {{"containerd.io/gc.bref.content", tied.text()}});
  CommitSnapshot(context_, "t", "", {{"containerd.io/gc.bref.snapshot.fake/x", "s"}});
  Collect();
  EXPECT_TRUE(HasBlob(context_, tied) && HasSnapshot(context_, "s") && HasSnapshot(context_, "t"));
  EXPECT_FALSE(HasBlob(context_, stray));
}

TEST_F(GarbageCollectorTest, ConditionalReferencesAskWhenTheSnapshotWasUsed) {
  const base::Labels used{{"containerd.io/gc.cond.value-usedat", Past()}};
  for (const std::string name : {"a", "b", "c"}) CommitSnapshot(context_, name, "", used);
  const Digest blob = PutBlob(context_, "b",
                              {{"containerd.io/gc.root", "x"},
                               {"containerd.io/gc.cond.snapshot.fake/1", "usedat<2h|a"},
                               {"containerd.io/gc.cond.snapshot.fake/2", "usedat<1m|b"},
                               {"containerd.io/gc.cond.snapshot.fake/3", "bad,usedat>30m|c"}});
  Collect();
  EXPECT_TRUE(HasSnapshot(context_, "a") && HasSnapshot(context_, "c"));
  EXPECT_FALSE(HasSnapshot(context_, "b"));
}

TEST_F(GarbageCollectorTest, IngestsStayWhileLeasedOrYoung) {
  ASSERT_THAT(metadata_->content().OpenWriter(context_, {.ref = "young"}), IsOk());
  Lease("l", {}, {});
  ASSERT_THAT(metadata_->content().OpenWriter(context_.WithLease("l"), {.ref = "leased"}), IsOk());
  Collect();
  EXPECT_EQ(metadata_->content().ListStatuses(context_, {})->size(), 2);
  ASSERT_THAT(metadata_->leases().Delete(context_, "l"), IsOk());
  Collect();
  ASSERT_OK_AND_ASSIGN(const auto left, metadata_->content().ListStatuses(context_, {}));
  ASSERT_EQ(left.size(), 1);
  EXPECT_EQ(left[0].ref, "young");
  EXPECT_EQ(backend_.ListStatuses(context_, {})->size(), 1);
}

TEST_F(GarbageCollectorTest, FirstRunRemovesWhatACrashLeft) {
  backend_.Add("orphan");
  ASSERT_THAT(driver_.Prepare(context_, "ns/1/orphan", "", {}), IsOk());
  Collect();
  EXPECT_EQ(BlobsInBackend(), 0);
  EXPECT_EQ(SnapshotsInDriver(), 0);
}

TEST_F(GarbageCollectorTest, SchedulerRunsAfterADeletion) {
  metadata_->gc().Start({.deletion_threshold = 1, .startup_delay = absl::ZeroDuration()});
  const Digest blob = PutBlob(context_, "b");
  PutImage(context_, "i", blob.text());
  ASSERT_THAT(metadata_->images().Delete(context_, "i"), IsOk());
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (HasBlob(context_, blob) && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_FALSE(HasBlob(context_, blob));
}

TEST_F(GarbageCollectorTest, RunNowWaitsForACompleteRun) {
  metadata_->gc().Start({});
  for (int i = 0; i < 5; ++i) {
    const Digest blob = PutBlob(context_, "b" + std::to_string(i));
    Collect();
    EXPECT_FALSE(HasBlob(context_, blob));
    EXPECT_EQ(BlobsInBackend(), 0);
  }
  const base::Context cancelled("ns");
  cancelled.Cancel();
  EXPECT_THAT(metadata_->gc().RunNow(cancelled), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(GarbageCollectorTest, ARunThatBeganBeforeARemovalHidesNothingFromTheNextOne) {
  std::atomic<bool> done = false;
  std::thread other([&] {
    while (!done) Collect();
  });
  for (int i = 0; i < 2000 && !HasFailure(); ++i) {
    const std::string key = "s" + std::to_string(i);
    ASSERT_THAT(snapshots().Prepare(context_, key, "", {{"containerd.io/gc.root", "x"}}), IsOk());
    ASSERT_THAT(snapshots().Remove(context_, key), IsOk());
    Collect();
    EXPECT_EQ(SnapshotsInDriver(), 0) << "after removal " << i;
  }
  done = true;
  other.join();
}

TEST_F(GarbageCollectorTest, WritersAndCollectorsDoNotHarmEachOther) {
  metadata_->gc().Start({.pause_threshold = 0.5, .deletion_threshold = 1});
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < 40; ++i) {
        // All write the same blobs and throw them away again; what is leased must be whole.
        auto lease = images::TemporaryLease::Create(context_, metadata_->leases());
        ASSERT_THAT(lease, IsOk());
        const std::string data = "shared" + std::to_string(i % 3);
        const Digest digest = Digest::Of(data);
        const std::string ref = std::to_string(w) + "-" + std::to_string(i);
        ASSERT_THAT(
            content::WriteBlob(lease->context(), metadata_->content(), ref, data, digest, {}),
            IsOk());
        EXPECT_THAT(content::ReadBlob(context_, metadata_->content(), digest), IsOk());
        ASSERT_THAT(snapshots().Prepare(lease->context(), ref, "", {}), IsOk());
        EXPECT_THAT(snapshots().MountsOf(context_, ref), IsOk());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  Collect();
  EXPECT_EQ(BlobsInBackend(), 0);
  EXPECT_EQ(SnapshotsInDriver(), 0);
}

}  // namespace
}  // namespace ctrd::metadata
