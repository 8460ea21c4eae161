// SPDX-License-Identifier: Apache-2.0
#include "daemon/server/ttrpc_endpoint.h"

#include <sys/stat.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "base/wire.h"
#include "daemon/events/exchange.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::server {
namespace {

namespace ttrpc = runtime::ttrpc;

class TtrpcEndpointTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-ttrpc-"));
    ASSERT_OK_AND_ASSIGN(
        endpoint_,
        TtrpcEndpoint::Start({.path = Path(), .uid = ::geteuid(), .gid = ::getegid()}, &exchange_));
    ASSERT_OK_AND_ASSIGN(thread_, base::EventLoopThread::Create());
    ASSERT_OK_AND_ASSIGN(
        client_, ttrpc::Client::Connect(thread_->loop(), Path(), absl::Now() + absl::Seconds(5)));
  }
  void TearDown() override {
    client_.reset();
    thread_.reset();
    endpoint_.reset();
    EXPECT_THAT(base::RemoveTree(dir_), base::IsOk());
  }
  std::string Path() const { return dir_ + "/c.sock.ttrpc"; }

  ttrpc::Response Forward(const std::string& topic, const base::Any& payload) {
    const std::string envelope = base::WireWriter()
                                     .Time(1, absl::FromUnixSeconds(1700000000))
                                     .Bytes(2, "default")
                                     .Bytes(3, topic)
                                     .Any(4, payload)
                                     .Take();
    return client_->CallAndWait(
        ttrpc::MakeRequest("containerd.services.events.ttrpc.v1.Events", "Forward",
                           base::WireWriter().Message(1, envelope).Take(), "default"),
        absl::Now() + absl::Seconds(5));
  }

  std::string dir_;
  events::Exchange exchange_;
  std::unique_ptr<TtrpcEndpoint> endpoint_;
  std::unique_ptr<base::EventLoopThread> thread_;
  std::unique_ptr<ttrpc::Client> client_;
};

TEST_F(TtrpcEndpointTest, ForwardedEventReachesTheBusAsItWasSent) {
  auto subscription = exchange_.Subscribe({}, nullptr, nullptr);
  const base::Any payload{.type_url = "containerd.events.TaskStart",
                          .value =
                              "\x0a\x02"
                              "c1"};
  EXPECT_THAT(Forward("/tasks/start", payload), base::IsOk());
  ASSERT_OK_AND_ASSIGN(const auto record, subscription->Next());
  ASSERT_NE(record, nullptr);
  EXPECT_EQ(record->event.topic, "/tasks/start");
  EXPECT_EQ(record->event.namespace_name, "default");
  EXPECT_EQ(record->event.timestamp, absl::FromUnixSeconds(1700000000));
  EXPECT_EQ(record->event.payload, payload);
}

TEST_F(TtrpcEndpointTest, BadEventIsRefusedAndTheConnectionStays) {
  EXPECT_THAT(Forward("bad", {}),
              base::StatusIs(absl::StatusCode::kInvalidArgument,
                             "envelope topic \"bad\": must start with '/': invalid argument"));
  EXPECT_THAT(client_->CallAndWait(ttrpc::MakeRequest("containerd.services.events.ttrpc.v1.Events",
                                                      "Forward", "\xff\xff\xff", "default"),
                                   absl::Now() + absl::Seconds(5)),
              base::StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(Forward("/good", {}), base::IsOk());
}

TEST_F(TtrpcEndpointTest, SocketIsForOwnerAndGroupAndGoesWithTheEndpoint) {
  struct stat info;
  ASSERT_EQ(::stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0660u);
  endpoint_.reset();
  EXPECT_FALSE(base::Exists(Path()));
}

}  // namespace
}  // namespace ctrd::server
