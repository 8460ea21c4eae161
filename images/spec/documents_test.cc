// SPDX-License-Identifier: Apache-2.0
#include "images/spec/documents.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/spec/media_types.h"

namespace ctrd::images {
namespace {

using base::StatusIs;
const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');

Descriptor Of(std::string_view media_type, const std::string& digest, int64_t size = 1) {
  Descriptor descriptor;
  descriptor.media_type = media_type;
  descriptor.digest = digest;
  descriptor.size_bytes = size;
  return descriptor;
}

TEST(Documents, ManifestSurvivesTheRoundTrip) {
  Manifest manifest;
  manifest.media_type = kOciManifest;
  manifest.config = Of(kOciConfig, kA, 7);
  manifest.layers = {Of(kOciLayerGzip, kB, 9)};
  manifest.layers[0].annotations["k"] = "v";
  ASSERT_OK_AND_ASSIGN(const Manifest again,
                       ParseManifest(SerializeManifest(manifest), kOciManifest));
  EXPECT_EQ(again.config, manifest.config);
  EXPECT_EQ(again.layers, manifest.layers);
}

TEST(Documents, OneDocumentIsNeverReadAsTwoKinds) {
  const std::string both = R"({"manifests":[{"mediaType":"x","digest":")" + kA +
                           R"(","size":1}],"layers":[{"mediaType":"y","digest":")" + kB +
                           R"(","size":1}]})";
  EXPECT_THAT(ParseManifest(both, kOciManifest),
              StatusIs(absl::StatusCode::kUnknown,
                       "media-type: expected manifest but found index "
                       "(application/vnd.oci.image.manifest.v1+json)"));
  EXPECT_FALSE(ParseIndex(both, kOciIndex).ok());
  EXPECT_FALSE(
      ParseIndex(R"({"mediaType":"application/vnd.oci.image.manifest.v1+json"})", kOciIndex).ok());
  EXPECT_FALSE(ParseManifest(R"({"fsLayers":[{}]})", kDockerManifest).ok());
}

TEST(Documents, MalformedOnesAreRefused) {
  for (const char* text : {"", "[]", "{", R"({"layers":{}})", R"({"config":{"digest":"../../x"}})",
                           R"({"layers":[{"digest":1}]})", R"({"config":{"size":-1}})"}) {
    EXPECT_FALSE(ParseManifest(text, kOciManifest).ok()) << text;
  }
  EXPECT_FALSE(ParseImageConfig(R"({"rootfs":{"diff_ids":"x"}})").ok());
  EXPECT_FALSE(ParseManifest(std::string(kMaxDocumentBytes + 1, ' '), kOciManifest).ok());
}

TEST(Documents, ImageConfigTellsWhatToRun) {
  ASSERT_OK_AND_ASSIGN(const ImageConfig config, ParseImageConfig(R"({"os":"linux",
    "architecture":"arm","variant":"v6","rootfs":{"type":"layers","diff_ids":["d1"]},
    "config":{"Env":["A=b"],"Cmd":["sh"],"Entrypoint":null,"User":"1:2","Volumes":{"/v":{}}}})"));
  EXPECT_EQ(config.platform.variant, "v6");
  EXPECT_EQ(config.diff_ids, std::vector<std::string>{"d1"});
  EXPECT_EQ(config.cmd, std::vector<std::string>{"sh"});
  EXPECT_EQ(config.volumes, std::vector<std::string>{"/v"});
}

TEST(Documents, GcLabelsCountPerKind) {
  const base::Labels labels =
      GcLabelsFor({Of(kOciConfig, "c"), Of(kOciLayer, "l0"), Of(kDockerLayerGzip, "l1"),
                   Of(kOciIndex, "i"), Of(kOciManifest, "m"), Of(kDockerConfig, "c1")});
  const base::Labels expected = {
      {"containerd.io/gc.ref.content.config", "c"}, {"containerd.io/gc.ref.content.config1", "c1"},
      {"containerd.io/gc.ref.content.l.0", "l0"},   {"containerd.io/gc.ref.content.l.1", "l1"},
      {"containerd.io/gc.ref.content.0", "i"},      {"containerd.io/gc.ref.content.m.0", "m"}};
  EXPECT_EQ(labels, expected);
}

TEST(Documents, ChainIdsHashParentAndDiff) {
  const auto chain = ChainIds({kA, kB});
  ASSERT_EQ(chain.size(), 2u);
  EXPECT_EQ(chain[0], kA);
  EXPECT_EQ(chain[1], base::Digest::Of(kA + " " + kB).text());
}

TEST(Documents, IngestRefsNameTheKind) {
  EXPECT_EQ(IngestRef(Of(kOciLayerZstd, kA)), "layer-" + kA);
  Descriptor named = Of(kDockerManifestList, kA);
  named.annotations[std::string(kRefNameAnnotation)] = "v1";
  EXPECT_EQ(IngestRef(named), "index-v1@" + kA);
}

}  // namespace
}  // namespace ctrd::images
