// SPDX-License-Identifier: Apache-2.0
#include "images/diff/layer_applier.h"

#include "images/diff/testing/diff_fixture.h"

namespace ctrd::diff {
namespace {

using archive::Compression;
using archive::TarBuilder;
using base::IsOk;

using LayerApplierTest = DiffFixture;

TEST_F(LayerApplierTest, AppliesWhatArrivesPieceByPiece) {
  TarBuilder builder;
  std::string noise;
  for (int i = 0; i < 400'000; ++i) noise += static_cast<char>(i * 7919 >> 3);
  for (int i = 0; i < 20; ++i) builder.File(fmt::format("d/f{}", i), noise);
  const std::string tar = builder.Build();
  const std::string blob = Compress(Compression::kZstd, tar);
  ASSERT_OK_AND_ASSIGN(auto applier,
                       LayerApplier::Start(context_, walking_, kOciGzip, Bind(Make("root")), {}));
  for (size_t at = 0; at < blob.size(); at += 1000) {
    ASSERT_THAT(applier->Write(std::string_view(blob).substr(at, 1000)), IsOk());
  }
  ASSERT_OK_AND_ASSIGN(const auto applied, applier->Finish());
  EXPECT_EQ(applied.digest, base::Digest::Of(tar).text());
  EXPECT_EQ(applied.size_bytes, static_cast<int64_t>(tar.size()));
  EXPECT_EQ(Read("root/d/f19"), noise);
}

TEST_F(LayerApplierTest, TheWriterLearnsOfAFailure) {
  ASSERT_OK_AND_ASSIGN(auto applier,
                       LayerApplier::Start(context_, walking_, kOciTar, Bind(Make("root")), {}));
  const std::string garbage(1 << 20, 'x');
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) status = applier->Write(garbage);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(applier->Finish().status(), status);
}

TEST_F(LayerApplierTest, AShortBlobIsAnErrorAtTheEnd) {
  const std::string blob = Compress(Compression::kGzip, TarBuilder().File("f", "data").Build());
  ASSERT_OK_AND_ASSIGN(auto applier,
                       LayerApplier::Start(context_, walking_, kOciGzip, Bind(Make("root")), {}));
  ASSERT_THAT(applier->Write(std::string_view(blob).substr(0, blob.size() - 9)), IsOk());
  EXPECT_FALSE(applier->Finish().ok());
}

TEST_F(LayerApplierTest, MayBeAbandoned) {
  ASSERT_OK_AND_ASSIGN(auto applier,
                       LayerApplier::Start(context_, walking_, kOciGzip, Bind(Make("root")), {}));
  ASSERT_THAT(applier->Write("\x1f\x8b\x08"), IsOk());
  applier.reset();
}

}  // namespace
}  // namespace ctrd::diff
