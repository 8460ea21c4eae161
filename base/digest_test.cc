// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <string>

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::base {
namespace {

constexpr std::string_view kEmpty =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Digest, HashesEmptyInput) { EXPECT_EQ(Digest::Of("").text(), kEmpty); }

TEST(Digest, SplitsIntoAlgorithmAndHex) {
  ASSERT_OK_AND_ASSIGN(const Digest digest, Digest::Parse(kEmpty));
  EXPECT_EQ(digest.algorithm(), "sha256");
  EXPECT_EQ(digest.hex(), kEmpty.substr(7));
  EXPECT_EQ(Digest().algorithm(), "");
  EXPECT_EQ(Digest().hex(), "");
}

TEST(Digest, RefusesWhatIsNoDigestWithTheTextClientsKnow) {
  const auto code = absl::StatusCode::kInvalidArgument;
  for (const char* text : {"", "sha256", ":ab", "sha256:", "a b:12", "Sha256:00", "a..b:12"}) {
    EXPECT_THAT(Digest::Parse(text), StatusIs(code, "invalid checksum digest format")) << text;
  }
  EXPECT_THAT(Digest::Parse("md5:d41d8cd98f00b204e9800998ecf8427e"),
              StatusIs(code, "unsupported digest algorithm"));
  EXPECT_THAT(Digest::Parse("sha256:00"), StatusIs(code, "invalid checksum digest length"));
  EXPECT_THAT(Digest::Parse("sha256:" + std::string(64, 'A')),
              StatusIs(code, "invalid checksum digest format"));
  EXPECT_THAT(Digest::Parse("sha256:../" + std::string(61, '0')),
              StatusIs(code, "invalid checksum digest format"));
}

TEST(Hasher, GoesOnAfterCurrent) {
  Hasher hasher;
  EXPECT_EQ(hasher.Current().text(), kEmpty);
  hasher.Update("ab");
  EXPECT_EQ(hasher.Current(), Digest::Of("ab"));
  hasher.Update("c");
  EXPECT_EQ(hasher.Current().text(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Hasher, KnowsTheLongerAlgorithms) {
  EXPECT_EQ(Hasher("sha384").Current().hex().size(), 96u);
  EXPECT_EQ(Hasher("sha512").Current().hex().size(), 128u);
}

}  // namespace
}  // namespace ctrd::base
