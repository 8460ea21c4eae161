// SPDX-License-Identifier: Apache-2.0
#include "images/diff/media_types.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::diff {
namespace {

using enum LayerTreatment;

TEST(MediaTypes, OciLayersSayHowTheyAreCompressed) {
  const std::string oci = "application/vnd.oci.image.layer.v1.tar";
  EXPECT_EQ(TreatmentOf(oci), kPlain);
  EXPECT_EQ(TreatmentOf(oci + "+gzip"), kDecompress);
  EXPECT_EQ(TreatmentOf(oci + "+zstd"), kDecompress);
  EXPECT_EQ(TreatmentOf(oci + "+gzip+encrypted"), kDecompress);
  EXPECT_EQ(TreatmentOf(oci + "+encrypted"), kPlain);
  EXPECT_EQ(TreatmentOf("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
            kDecompress);
}

TEST(MediaTypes, DockerLayersMayBeCompressedUnlessWrapped) {
  const std::string docker = "application/vnd.docker.image.rootfs.";
  EXPECT_EQ(TreatmentOf(docker + "diff.tar"), kDecompress);
  EXPECT_EQ(TreatmentOf(docker + "diff.tar.gzip"), kDecompress);
  EXPECT_EQ(TreatmentOf(docker + "foreign.diff.tar.gzip"), kDecompress);
  EXPECT_EQ(TreatmentOf(docker + "diff.tar.zstd"), kDecompress);
  EXPECT_EQ(TreatmentOf(docker + "diff.tar.gzip+encrypted"), kPlain);
}

TEST(MediaTypes, OthersAreNoLayers) {
  EXPECT_EQ(TreatmentOf(""), std::nullopt);
  EXPECT_EQ(TreatmentOf("application/vnd.in-toto+json"), std::nullopt);
}

TEST(MediaTypes, OnlyOciLayersAreWritten) {
  EXPECT_EQ(*CompressionFor(""), archive::Compression::kGzip);
  EXPECT_EQ(*CompressionFor(kLayerMediaType), archive::Compression::kNone);
  EXPECT_THAT(CompressionFor("application/vnd.docker.image.rootfs.diff.tar.gzip"),
              base::StatusIs(absl::StatusCode::kUnimplemented,
                             "unsupported diff media type: "
                             "application/vnd.docker.image.rootfs.diff.tar.gzip: not implemented"));
}

}  // namespace
}  // namespace ctrd::diff
