// SPDX-License-Identifier: Apache-2.0

// What tests of whole transfers share: hosts with stores in memory, images, a real registry.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/content/testing/fake_content_store.h"
#include "images/registry/testing/registry_server.h"
#include "images/spec/documents.h"
#include "images/spec/media_types.h"
#include "images/spec/platform.h"
#include "images/transfer/testing/fake_stores.h"
#include "images/transfer/transfer.h"
#include "snapshots/testing/fake_snapshotter.h"

namespace ctrd::transfer {

// One host with its stores.
struct Host {
  Host() {
    TransferConfig config;
    config.unpack_targets = {{images::HostPlatform(), "overlayfs", &snapshotter, &differ}};
    auto created = CreateTransfer({&content, &images, &leases}, config);
    EXPECT_THAT(created, base::IsOk());
    transfer = *std::move(created);
  }
  content::FakeContentStore content;
  FakeImageStore images;
  FakeLeaseManager leases;
  snapshots::FakeSnapshotter snapshotter;
  FakeDiffer differ{content};
  std::unique_ptr<Transfer> transfer;
};

class TransferTest : public testing::Test {
 protected:
  Descriptor Put(Host& host, std::string_view media_type, const std::string& data) {
    Descriptor descriptor;
    descriptor.media_type = media_type;
    const base::Digest digest = base::Digest::Of(data);
    descriptor.digest = digest.text();
    descriptor.size_bytes = static_cast<int64_t>(data.size());
    EXPECT_THAT(
        content::WriteBlob(context_, host.content, "put-" + digest.text(), data, digest, {}),
        base::IsOk());
    return descriptor;
  }

  Descriptor PutManifest(Host& host, const std::string& architecture,
                         const std::vector<std::string>& layers) {
    images::Manifest manifest;
    manifest.media_type = images::kOciManifest;
    std::vector<std::string> diff_ids;
    for (const std::string& layer : layers) {
      manifest.layers.push_back(Put(host, images::kOciLayer, layer));
      diff_ids.push_back(manifest.layers.back().digest);
    }
    manifest.config = Put(host, images::kOciConfig,
                          fmt::format(R"({{"os":"linux","architecture":"{}","rootfs":)"
                                      R"({{"type":"layers","diff_ids":["{}"]}}}})",
                                      architecture, fmt::join(diff_ids, "\",\"")));
    chain_ = images::ChainIds(diff_ids);
    layers_ = manifest.layers;
    config_ = manifest.config;
    Descriptor out = Put(host, images::kOciManifest, images::SerializeManifest(manifest));
    out.platform = {.os = "linux", .architecture = architecture};
    return out;
  }

  // An index with an image for this host and one for another, named `name`.
  Descriptor PutImage(Host& host, const std::string& name) {
    images::Index index;
    index.media_type = images::kOciIndex;
    index.manifests.push_back(PutManifest(host, "s390x", {"foreign layer"}));
    index.manifests.push_back(
        PutManifest(host, images::HostPlatform().architecture, {"one", "two", "three"}));
    const Descriptor out = Put(host, images::kOciIndex, images::SerializeIndex(index));
    EXPECT_THAT(host.images.Create(context_, {.name = name, .target = out}, std::nullopt),
                base::IsOk());
    return out;
  }

  void StartRegistry() {
    auto server = registry::RegistryServer::Start();
    if (absl::IsNotFound(server.status())) GTEST_SKIP() << "needs docker-registry";
    ASSERT_THAT(server, base::IsOk());
    server_ = *std::move(server);
  }

  RegistryEnd Remote(const std::string& name) {
    RegistryEnd end;
    end.reference = server_->host() + "/" + name;
    end.options.hosts.default_scheme = "http";
    return end;
  }

  ProgressSink Recorder() {
    events_.clear();
    return [this](const Progress& progress) { events_.push_back(progress.event); };
  }

  static StoreEnd Named(const std::string& name) {
    StoreEnd end;
    end.name = name;
    end.platforms = {images::HostPlatform()};
    end.unpacks = {{images::HostPlatform(), ""}};
    return end;
  }

  absl::StatusOr<content::Info> Stat(Host& host, const std::string& digest) {
    return host.content.Stat(context_, *base::Digest::Parse(digest));
  }

  const base::Context context_{"test"};
  std::vector<Descriptor> layers_;
  std::vector<std::string> chain_;
  Descriptor config_;
  std::unique_ptr<registry::RegistryServer> server_;
  std::vector<std::string> events_;
};

}  // namespace ctrd::transfer
