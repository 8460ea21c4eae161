// SPDX-License-Identifier: Apache-2.0
#include "metrics/listen_address.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::metrics {
namespace {

using base::StatusIs;
using testing::HasSubstr;

std::string FirstOf(const std::string& address) {
  const auto found = ResolveListenAddress(address);
  return found.ok() ? found->front().ForCivetweb() : std::string(found.status().message());
}

TEST(ListenAddress, IsWrittenAsCivetwebTakesIt) {
  EXPECT_EQ(FirstOf("127.0.0.1:1338"), "127.0.0.1:1338");
  EXPECT_EQ(FirstOf("0.0.0.0:1338"), "0.0.0.0:1338");
  EXPECT_EQ(FirstOf("[::1]:1338"), "[::1]:1338");
  EXPECT_EQ(FirstOf(":1338"), "+1338");
  EXPECT_EQ(FirstOf("[::]:0"), "+0");
}

TEST(ListenAddress, NamesArePossible) {
  EXPECT_THAT(FirstOf("localhost:1338"), testing::AnyOf("127.0.0.1:1338", "[::1]:1338"));
}

TEST(ListenAddress, SaysWhatIsWrongWithIt) {
  EXPECT_THAT(ResolveListenAddress("1338"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("missing port in address")));
  EXPECT_THAT(ResolveListenAddress("127.0.0.1:port"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace ctrd::metrics
