// SPDX-License-Identifier: Apache-2.0

// The rules and texts of namespaces, containers, sandboxes, images and leases.
#include "base/wire.h"
#include "daemon/metadata/testing/metadata_fixture.h"

namespace ctrd::metadata {
namespace {

using absl::StatusCode;
using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class RulesTest : public MetadataTest {
 protected:
  Container Minimal(const std::string& id) {
    return {.id = id, .runtime = {.name = "rt"}, .spec = {"spec", "1"}};
  }
  images::Image MinimalImage(const std::string& name) {
    images::Image image{.name = name};
    image.target = {.media_type = "m", .digest = content::Digest::Of("x").text(), .size_bytes = 1};
    return image;
  }
  ContainerStore& containers() { return metadata_->containers(); }
};

TEST_F(RulesTest, EveryCallNeedsANamespace) {
  EXPECT_THAT(
      containers().List(base::Context(), {}),
      StatusIs(StatusCode::kFailedPrecondition, "namespace is required: failed precondition"));
  EXPECT_THAT(
      metadata_->images().Get(base::Context("a b"), "x"),
      StatusIs(StatusCode::kInvalidArgument, HasSubstr("namespace validation: identifier")));
}

TEST_F(RulesTest, NamespaceLifeCycle) {
  NamespaceStore& namespaces = metadata_->namespaces();
  EXPECT_THAT(namespaces.Get(context_, "unknown"), IsOk());
  EXPECT_THAT(namespaces.Create(context_, {"a", {{"k", "v"}}}), IsOk());
  EXPECT_THAT(namespaces.Create(context_, {"a", {}}),
              StatusIs(StatusCode::kAlreadyExists, "namespace \"a\": already exists"));
  EXPECT_THAT(namespaces.Create(context_, {"b-", {}}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(
      namespaces.Update(context_, {"a", {}}, {"labels"}),
      StatusIs(StatusCode::kInvalidArgument, "cannot update \"labels\" field: invalid argument"));
  EXPECT_THAT(namespaces.Update(context_, {"a", {{"x.y", "1"}}}, {"labels.x.y"}), IsOk());
  EXPECT_THAT(namespaces.Get(context_, "a")->labels, ElementsAre(Pair("k", "v"), Pair("x.y", "1")));
  EXPECT_THAT(namespaces.Update(context_, {"a", {{"z", "1"}}}, {}), IsOk());
  EXPECT_THAT(namespaces.Get(context_, "a")->labels, ElementsAre(Pair("z", "1")));
  EXPECT_THAT(namespaces.Delete(context_, "a"), IsOk());
  EXPECT_THAT(namespaces.Delete(context_, "a"),
              StatusIs(StatusCode::kNotFound, "namespace \"a\": not found"));
  EXPECT_THAT(events_.TakeTopics(), ElementsAre("a /namespaces/create", "a /namespaces/update",
                                                "a /namespaces/update", "a /namespaces/delete"));
}

TEST_F(RulesTest, NamespaceThatHoldsThingsStays) {
  PutBlob(context_, "x");
  ASSERT_THAT(metadata_->images().Create(context_, MinimalImage("i")), IsOk());
  ASSERT_THAT(containers().Create(context_, Minimal("c")), IsOk());
  CommitSnapshot(context_, "s", "");
  EXPECT_THAT(
      metadata_->namespaces().Delete(context_, "ns"),
      StatusIs(StatusCode::kFailedPrecondition,
               "namespace \"ns\" must be empty, but it still has images, blobs, containers, "
               "snapshots on \"fake\" snapshotter: failed precondition"));
}

TEST_F(RulesTest, ContainerIsStoredAsItIs) {
  Container wanted = Minimal("c");
  wanted.labels = {{"a", "1"}, {"empty", ""}};
  wanted.image = "img";
  wanted.runtime.options = {"opt", std::string("\0\1", 2)};
  wanted.snapshotter = "fake";
  wanted.snapshot_key = "key";
  wanted.extensions = {{"e", {"t", "v"}}, {"none", {}}};
  wanted.sandbox = "sb";
  ASSERT_OK_AND_ASSIGN(const Container created, containers().Create(context_, wanted));
  EXPECT_THAT(events_.TakeTopics(), ElementsAre("ns /containers/create"));
  Open();
  ASSERT_OK_AND_ASSIGN(const Container got, containers().Get(context_, "c"));
  EXPECT_THAT(got.labels, ElementsAre(Pair("a", "1")));
  EXPECT_EQ(got.image, "img");
  EXPECT_EQ(got.runtime.name, "rt");
  EXPECT_EQ(got.runtime.options, wanted.runtime.options);
  EXPECT_EQ(got.spec, wanted.spec);
  EXPECT_EQ(got.snapshot_key, "key");
  EXPECT_EQ(got.extensions, wanted.extensions);
  EXPECT_EQ(got.sandbox, "sb");
  EXPECT_EQ(got.created, created.created);
  EXPECT_EQ(got.updated, got.created);
}

TEST_F(RulesTest, ContainerErrorsAtCreate) {
  const auto error = [&](const std::function<void(Container&)>& change) {
    Container container = Minimal("c");
    change(container);
    return containers().Create(context_, container).status();
  };
  const std::string prefix = "create container failed validation: ";
  EXPECT_THAT(
      error([](Container& c) { c.id = "-"; }),
      StatusIs(StatusCode::kInvalidArgument, HasSubstr(prefix + "container.ID: identifier")));
  EXPECT_THAT(
      error([](Container& c) { c.extensions[""] = {}; }),
      StatusIs(StatusCode::kInvalidArgument,
               prefix + "container.Extension keys must not be zero-length: invalid argument"));
  EXPECT_THAT(
      error([](Container& c) { c.labels["k"] = std::string(4096, 'v'); }),
      StatusIs(StatusCode::kInvalidArgument,
               prefix + "containers.Labels: label key and value length (4097 bytes) greater "
                        "than maximum size (4096 bytes), key: k: invalid argument"));
  EXPECT_THAT(error([](Container& c) { c.runtime.name = ""; }),
              StatusIs(StatusCode::kInvalidArgument,
                       prefix + "container.Runtime.Name must be set: invalid argument"));
  EXPECT_THAT(
      error([](Container& c) { c.snapshot_key = "k"; }),
      StatusIs(StatusCode::kInvalidArgument,
               prefix + "container.Snapshotter must be set if container.SnapshotKey is set: "
                        "invalid argument"));
  EXPECT_THAT(error([](Container& c) { c.spec = {}; }), IsOk());
  EXPECT_THAT(error([](Container&) {}),
              StatusIs(StatusCode::kAlreadyExists, "container \"c\": already exists"));
}

TEST_F(RulesTest, MissingContainersHaveTheirTexts) {
  EXPECT_THAT(containers().Get(context_, "c"),
              StatusIs(StatusCode::kNotFound, "container \"c\" in namespace \"ns\": not found"));
  EXPECT_THAT(containers().Get(context_, ""), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(containers().Delete(context_, "c"),
              StatusIs(StatusCode::kNotFound,
                       "cannot delete container \"c\" in namespace \"ns\": not found"));
  EXPECT_THAT(containers().Update(context_, Minimal("c"), {}),
              StatusIs(StatusCode::kNotFound,
                       "cannot update container \"c\" in namespace \"ns\": not found"));
  ASSERT_THAT(containers().Create(context_, Minimal("d")), IsOk());
  EXPECT_THAT(containers().Delete(context_, "c"),
              StatusIs(StatusCode::kNotFound, "container c: not found"));
  EXPECT_THAT(containers().Update(context_, Minimal("c"), {}),
              StatusIs(StatusCode::kNotFound, "container \"c\": not found"));
  EXPECT_THAT(containers().Update(context_, Minimal(""), {}),
              StatusIs(StatusCode::kInvalidArgument, "Container.ID required: invalid argument"));
}

TEST_F(RulesTest, ContainerMasks) {
  Container first = Minimal("c");
  first.labels = {{"a", "1"}, {"b", "2"}};
  first.snapshotter = "fake";
  ASSERT_THAT(containers().Create(context_, first), IsOk());
  Container change{.id = "c", .labels = {{"a", "9"}}, .image = "new", .snapshot_key = "k2"};
  ASSERT_THAT(containers().Update(context_, change, {"labels.a", "labels.b", "image"}), IsOk());
  ASSERT_OK_AND_ASSIGN(Container got, containers().Get(context_, "c"));
  EXPECT_THAT(got.labels, ElementsAre(Pair("a", "9")));
  EXPECT_EQ(got.image, "new");
  EXPECT_EQ(got.snapshot_key, "");
  ASSERT_THAT(containers().Update(context_, change, {"snapshotkey"}), IsOk());
  EXPECT_EQ(containers().Get(context_, "c")->snapshot_key, "k2");
  for (const std::string path : {"snapshot_key", "runtime", "id", "sandbox", "snapshotter"}) {
    EXPECT_THAT(containers().Update(context_, change, {path}),
                StatusIs(StatusCode::kInvalidArgument,
                         "cannot update \"" + path + "\" field on \"c\": invalid argument"));
  }
  EXPECT_THAT(containers().Update(context_, change, {}),
              StatusIs(StatusCode::kInvalidArgument,
                       "container.Snapshotter field is immutable: invalid argument"));
  change.snapshotter = "fake";
  EXPECT_THAT(containers().Update(context_, change, {}),
              StatusIs(StatusCode::kInvalidArgument,
                       "container.Runtime.Name field is immutable: invalid argument"));
  change.runtime.name = "rt";
  EXPECT_THAT(containers().Update(context_, change, {}),
              StatusIs(StatusCode::kInvalidArgument,
                       "update failed validation: container.Spec must be set: invalid argument"));
  change.spec = {"spec", "2"};
  ASSERT_OK_AND_ASSIGN(got, containers().Update(context_, change, {}));
  EXPECT_EQ(got.spec.value, "2");
  EXPECT_LT(got.created, got.updated);
}

TEST_F(RulesTest, FailedUpdateStoresNothingAndPublishesNothing) {
  ASSERT_THAT(containers().Create(context_, Minimal("c")), IsOk());
  events_.TakeTopics();
  EXPECT_THAT(containers().Update(context_, {.id = "c", .image = "new"}, {"image", "bad"}),
              StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(containers().Get(context_, "c")->image, "");
  EXPECT_THAT(events_.TakeTopics(), ElementsAre());
}

TEST_F(RulesTest, ListsAreFilteredAndInOrder) {
  for (const std::string id : {"b", "a", "c"}) {
    Container container = Minimal(id);
    container.labels["n"] = id;
    ASSERT_THAT(containers().Create(context_, container), IsOk());
  }
  ASSERT_THAT(containers().Create(other_, Minimal("z")), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto filter,
                       base::Filter::Parse(std::vector<std::string>{"labels.n!=b"}));
  ASSERT_OK_AND_ASSIGN(const auto found, containers().List(context_, filter));
  ASSERT_EQ(found.size(), 2);
  EXPECT_EQ(found[0].id, "a");
  EXPECT_EQ(found[1].id, "c");
}

TEST_F(RulesTest, ImageErrors) {
  const auto error = [&](const std::function<void(images::Image&)>& change) {
    images::Image image = MinimalImage("i");
    change(image);
    return metadata_->images().Create(context_, image).status();
  };
  EXPECT_THAT(error([](auto& i) { i.name = ""; }),
              StatusIs(StatusCode::kInvalidArgument, "Image.Name required: invalid argument"));
  EXPECT_THAT(error([](auto& i) { i.labels["k"] = std::string(4096, 'v'); }),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("image.Labels: label key")));
  EXPECT_THAT(
      error([](auto& i) { i.target.digest = "x"; }),
      StatusIs(StatusCode::kInvalidArgument,
               "target.Digest \"x\" invalid: invalid checksum digest format: invalid argument"));
  EXPECT_THAT(error([](auto& i) { i.target.size_bytes = 0; }),
              StatusIs(StatusCode::kInvalidArgument,
                       "target.Size must be greater than zero: invalid argument"));
  EXPECT_THAT(
      error([](auto& i) { i.target.media_type = ""; }),
      StatusIs(StatusCode::kInvalidArgument, "target.MediaType must be set: invalid argument"));
  EXPECT_THAT(error([](auto&) {}), IsOk());
  EXPECT_THAT(error([](auto&) {}),
              StatusIs(StatusCode::kAlreadyExists, "image \"i\": already exists"));
  EXPECT_THAT(metadata_->images().Get(context_, "j"),
              StatusIs(StatusCode::kNotFound, "image \"j\": not found"));
}

TEST_F(RulesTest, ImageMasksAndDeletion) {
  images::ImageStore& images = metadata_->images();
  images::Image image = MinimalImage("i");
  image.target.annotations = {{"x", "1"}};
  const absl::Time epoch = absl::FromUnixSeconds(1000);
  ASSERT_OK_AND_ASSIGN(images::Image got, images.Create(context_, image, epoch));
  EXPECT_EQ(got.created, epoch);
  image.target.annotations = {{"y.z", "2"}};
  ASSERT_OK_AND_ASSIGN(got, images.Update(context_, image, {"annotations.y.z"}));
  EXPECT_THAT(got.target.annotations, ElementsAre(Pair("x", "1"), Pair("y.z", "2")));
  EXPECT_EQ(got.created, epoch);
  EXPECT_GT(got.updated, epoch);
  EXPECT_THAT(images.Update(context_, image, {"target.size"}),
              StatusIs(StatusCode::kInvalidArgument,
                       "cannot update \"target.size\" field on image \"i\": invalid argument"));
  const std::string have = image.target.digest, wrong = content::Digest::Of("other").text();
  EXPECT_THAT(images.Delete(context_, "i", images::Descriptor{.digest = wrong}),
              StatusIs(StatusCode::kNotFound,
                       "image \"i\" has target " + have + ", not " + wrong + ": not found"));
  EXPECT_THAT(images.Delete(context_, "i", images::Descriptor{}), IsOk());
  EXPECT_THAT(events_.TakeTopics(),
              ElementsAre("ns /images/create", "ns /images/update", "ns /images/delete"));
}

TEST_F(RulesTest, Leases) {
  images::LeaseManager& leases = metadata_->leases();
  ASSERT_OK_AND_ASSIGN(const images::Lease generated, leases.Create(context_, {}));
  EXPECT_FALSE(generated.id.empty());
  ASSERT_THAT(leases.Create(context_, {.id = "l"}), IsOk());
  EXPECT_THAT(leases.Create(context_, {.id = "l"}),
              StatusIs(StatusCode::kAlreadyExists, "lease \"l\": already exists"));
  const std::string digest = content::Digest::Of("x").text();
  const std::vector<images::LeaseResource> resources{
      {digest, "content"}, {"img", "images"}, {"ref", "ingests"}, {"a/b", "snapshots/fake"}};
  for (auto r = resources.rbegin(); r != resources.rend(); ++r) {
    EXPECT_THAT(leases.AddResource(context_, "l", *r), IsOk());
    EXPECT_THAT(leases.AddResource(context_, "l", *r), IsOk());
  }
  EXPECT_EQ(*leases.ListResources(context_, "l"), resources);
  EXPECT_THAT(leases.DeleteResource(context_, "l", resources[1]), IsOk());
  EXPECT_EQ(leases.ListResources(context_, "l")->size(), 3);
  const std::pair<images::LeaseResource, std::string> bad[] = {
      {{"x", "content"},
       "invalid content resource id x: invalid checksum digest format: invalid argument"},
      {{"x", "content/y"}, "invalid resource type content/y: invalid argument"},
      {{"x", "snapshots"}, "invalid snapshot resource type snapshots: invalid argument"},
      {{"x", "snapshots/a/b"}, "invalid snapshot resource type snapshots/a/b: invalid argument"},
      {{"x", "other"}, "resource type other not supported yet: not implemented"},
      {{"x", ""}, "resource type  not supported yet: not implemented"},
  };
  for (const auto& [resource, text] : bad) {
    EXPECT_EQ(base::MessageOf(leases.AddResource(context_, "l", resource)), text);
  }
  EXPECT_THAT(leases.AddResource(context_, "m", bad[0].first),
              StatusIs(StatusCode::kNotFound, "lease \"m\": not found"));
  EXPECT_THAT(leases.Delete(context_, "l"), IsOk());
  EXPECT_THAT(leases.Delete(context_, "l"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(leases.ListResources(context_, "l"),
              StatusIs(StatusCode::kNotFound, "lease \"l\": not found"));
}

TEST_F(RulesTest, TemporaryLeaseGoesWithItsObject) {
  {
    ASSERT_OK_AND_ASSIGN(const auto lease,
                         images::TemporaryLease::Create(context_, metadata_->leases()));
    EXPECT_FALSE(lease.context().lease().empty());
    EXPECT_EQ(metadata_->leases().List(context_, {})->size(), 1);
  }
  EXPECT_EQ(metadata_->leases().List(context_, {})->size(), 0);
}

TEST_F(RulesTest, Sandboxes) {
  SandboxStore& sandboxes = metadata_->sandboxes();
  EXPECT_THAT(sandboxes.Get(context_, "s"),
              StatusIs(StatusCode::kNotFound, "no sandbox buckets: not found"));
  const Sandbox wanted{
      .id = "s", .runtime = {"rt", {}}, .labels = {{"a", "1"}}, .sandboxer = "shim"};
  ASSERT_THAT(sandboxes.Create(context_, wanted), IsOk());
  EXPECT_THAT(sandboxes.Create(context_, wanted),
              StatusIs(StatusCode::kAlreadyExists,
                       "write error: sandbox bucket \"s\" already exists: already exists"));
  EXPECT_THAT(sandboxes.Create(context_, {.id = "-"}),
              StatusIs(StatusCode::kInvalidArgument,
                       HasSubstr("failed to validate sandbox: invalid sandbox ID: identifier")));
  EXPECT_THAT(sandboxes.Get(context_, "t"),
              StatusIs(StatusCode::kNotFound, "bucket \"t\" not found: not found"));
  EXPECT_THAT(sandboxes.Update(context_, wanted, {"id"}),
              StatusIs(StatusCode::kInvalidArgument,
                       "cannot update \"id\" field on sandbox \"s\": invalid argument"));
  Sandbox change = wanted;
  change.runtime.name = "other";
  change.sandboxer = "other";
  EXPECT_THAT(sandboxes.Update(context_, change, {}),
              StatusIs(StatusCode::kInvalidArgument,
                       "sandbox.Runtime.Name field is immutable: invalid argument"));
  ASSERT_OK_AND_ASSIGN(const Sandbox got, sandboxes.Update(context_, change, {"runtime"}));
  EXPECT_EQ(got.runtime.name, "other");
  EXPECT_EQ(got.sandboxer, "shim");
  EXPECT_THAT(sandboxes.Delete(context_, "s"), IsOk());
  EXPECT_THAT(sandboxes.Delete(context_, "s"),
              StatusIs(StatusCode::kNotFound, "failed to delete sandbox \"s\": not found"));
}

TEST_F(RulesTest, EventsCarryTheirFields) {
  Container container = Minimal("c");
  container.image = "img";
  ASSERT_THAT(containers().Create(context_, container), IsOk());
  const std::vector<base::Event> events = events_.Take();
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].payload.type_url, "containerd.events.ContainerCreate");
  EXPECT_EQ(events[0].payload.value,
            "\x0a\x01"
            "c\x12\x03img\x1a\x04\x0a\x02rt");
}

}  // namespace
}  // namespace ctrd::metadata
