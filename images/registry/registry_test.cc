// SPDX-License-Identifier: Apache-2.0

// Against a real registry on the loopback interface.
#include "images/registry/registry.h"

#include "base/digest.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/registry/testing/registry_server.h"
#include "images/spec/documents.h"
#include "images/spec/media_types.h"

namespace ctrd::registry {
namespace {

using base::IsOk;
using base::StatusIs;
using images::Descriptor;

class RegistryTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = RegistryServer::Start();
    if (absl::IsNotFound(server.status())) GTEST_SKIP() << "needs docker-registry";
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    http_ = HttpClient::Create();
  }

  std::unique_ptr<Registry> Open(const std::string& name, const std::string& scheme = "http") {
    auto reference = images::Reference::Parse(server_->host() + "/" + name);
    EXPECT_THAT(reference, IsOk());
    RegistryOptions options;
    options.hosts.default_scheme = scheme;
    auto registry = Registry::Open(*http_, *reference, options);
    EXPECT_THAT(registry, IsOk());
    return *std::move(registry);
  }

  static Descriptor Describe(std::string_view media_type, const std::string& data) {
    Descriptor descriptor;
    descriptor.media_type = media_type;
    descriptor.digest = base::Digest::Of(data).text();
    descriptor.size_bytes = static_cast<int64_t>(data.size());
    return descriptor;
  }

  // Pushes config, one layer and the manifest of `registry`'s reference; describes the manifest.
  Descriptor PushImage(Registry& registry, const std::string& layer) {
    const std::string config = R"({"os":"linux","architecture":"amd64"})";
    images::Manifest manifest;
    manifest.media_type = images::kOciManifest;
    manifest.config = Describe(images::kOciConfig, config);
    manifest.layers = {Describe(images::kOciLayer, layer)};
    EXPECT_THAT(registry.PushBlob(context_, manifest.config, HttpBody::Of(config), ""), IsOk());
    EXPECT_THAT(registry.PushBlob(context_, manifest.layers[0], HttpBody::Of(layer), ""), IsOk());
    const std::string text = images::SerializeManifest(manifest);
    const Descriptor descriptor = Describe(images::kOciManifest, text);
    EXPECT_THAT(registry.PushManifest(context_, descriptor, HttpBody::Of(text)), IsOk());
    layer_ = manifest.layers[0];
    return descriptor;
  }

  absl::StatusOr<std::string> Fetch(Registry& registry, const Descriptor& descriptor,
                                    int64_t offset = 0) {
    ASSIGN_OR_RETURN(auto stream, registry.Fetch(context_, descriptor, offset));
    std::string all;
    for (std::string chunk;;) {
      RETURN_IF_ERROR(stream->Read(context_, chunk));
      if (chunk.empty()) return all;
      all += chunk;
    }
  }

  const base::Context context_{"test"};
  Descriptor layer_;
  std::unique_ptr<RegistryServer> server_;
  std::unique_ptr<HttpClient> http_;
};

TEST_F(RegistryTest, WhatWasPushedIsResolvedAndFetched) {
  const auto registry = Open("a/b:v1");
  const std::string layer(5 << 20, 'x');
  const Descriptor pushed = PushImage(*registry, layer);
  ASSERT_OK_AND_ASSIGN(const Descriptor resolved, registry->Resolve(context_));
  EXPECT_EQ(resolved, pushed);
  ASSERT_OK_AND_ASSIGN(const std::string fetched, Fetch(*registry, layer_));
  EXPECT_EQ(fetched, layer);
  ASSERT_OK_AND_ASSIGN(const std::string rest, Fetch(*registry, layer_, 5000000));
  EXPECT_EQ(rest.size(), layer.size() - 5000000);
  ASSERT_OK_AND_ASSIGN(const std::string manifest, Fetch(*registry, resolved));
  EXPECT_THAT(images::ParseManifest(manifest, resolved.media_type), IsOk());
}

TEST_F(RegistryTest, ASecondPushFindsEverythingThere) {
  const auto registry = Open("a/b:v1");
  const Descriptor manifest = PushImage(*registry, "layer");
  ASSERT_OK_AND_ASSIGN(const PushOutcome outcome,
                       registry->PushBlob(context_, layer_, HttpBody::Of("layer"), ""));
  EXPECT_EQ(outcome, PushOutcome::kExisted);
  const auto other = Open("c:v1");
  ASSERT_OK_AND_ASSIGN(const PushOutcome mounted,
                       other->PushBlob(context_, layer_, HttpBody::Of("layer"), "a/b"));
  EXPECT_EQ(mounted, PushOutcome::kMounted);
}

TEST_F(RegistryTest, LocalhostFallsBackToHttp) {
  const auto registry = Open("a:v1", "");
  PushImage(*registry, "layer");
  EXPECT_THAT(registry->Resolve(context_), IsOk());
}

TEST_F(RegistryTest, WhatIsAbsentIsNotFound) {
  EXPECT_THAT(Open("a/b:nosuch")->Resolve(context_),
              StatusIs(absl::StatusCode::kNotFound, server_->host() + "/a/b:nosuch: not found"));
  const Descriptor absent = Describe(images::kOciLayer, "absent");
  EXPECT_THAT(Open("a/b:v1")->Fetch(context_, absent, 0),
              StatusIs(absl::StatusCode::kNotFound,
                       "could not fetch content descriptor " + absent.digest +
                           " (application/vnd.oci.image.layer.v1.tar) from remote: not found"));
  EXPECT_THAT(Open("a/b")->Resolve(context_),
              StatusIs(absl::StatusCode::kUnknown, "object required"));
}

TEST_F(RegistryTest, ACancelledCallEnds) {
  const auto registry = Open("a:v1");
  context_.Cancel();
  EXPECT_THAT(registry->Resolve(context_), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(RegistryTest, ADeadHostIsUnavailable) {
  auto reference = images::Reference::Parse("127.0.0.1:1/a:b");
  RegistryOptions options;
  options.hosts.default_scheme = "http";
  ASSERT_OK_AND_ASSIGN(const auto registry, Registry::Open(*http_, *reference, options));
  EXPECT_THAT(registry->Resolve(context_), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace ctrd::registry
