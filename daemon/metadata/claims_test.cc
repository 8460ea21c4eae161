// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/claims.h"

#include <optional>

#include "gtest/gtest.h"

namespace ctrd::metadata {
namespace {

TEST(Claims, ACleanUpBeforeTheCommitOfARemovalIsNotTheLast) {
  Claims claims;
  EXPECT_TRUE(claims.TakeDirty());  // After a crash there may be anything.
  EXPECT_FALSE(claims.TakeDirty());
  std::optional<Claims::Removal> removal(std::in_place, claims);
  EXPECT_TRUE(claims.TakeDirty());
  EXPECT_TRUE(claims.TakeDirty());  // As long as nobody knows what becomes of it.
  removal.reset();
  EXPECT_TRUE(claims.TakeDirty());
  EXPECT_FALSE(claims.TakeDirty());
}

TEST(Claims, OfOneNameAreHeldByMany) {
  Claims claims;
  Claims::Claim first = claims.Take("a");
  Claims::Claim second = claims.Take("a");
  EXPECT_FALSE(claims.BeginRemoval("a"));
  first.Release();
  EXPECT_FALSE(claims.BeginRemoval("a"));
  second.Release();
  EXPECT_TRUE(claims.BeginRemoval("a"));
  EXPECT_FALSE(claims.BeginRemoval("a"));
  claims.EndRemoval("a");
}

}  // namespace
}  // namespace ctrd::metadata
