// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/shim_address.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
// After sys/socket.h, which it needs.
#include <linux/vm_sockets.h>

#include <thread>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/status.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::runtime {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

base::UniqueFd ListenAt(const std::string& path, bool abstract) {
  sockaddr_un address{.sun_family = AF_UNIX};
  path.copy(address.sun_path + (abstract ? 1 : 0), sizeof(address.sun_path) - 1);
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(fd.get(), 8), 0);
  return fd;
}

std::string ReadSome(int fd) {
  char buffer[256];
  const ssize_t count = ::recv(fd, buffer, sizeof(buffer), 0);
  return count <= 0 ? "" : std::string(buffer, static_cast<size_t>(count));
}

class ShimAddressTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-addr-"));
  }
  void TearDown() override { EXPECT_THAT(base::RemoveTree(dir_), IsOk()); }

  // A hypervisor that gives these answers, each to one connection: "" hangs up. Notes the requests.
  std::thread Hypervisor(std::vector<std::string> answers) {
    return std::thread([this, listener = ListenAt(dir_ + "/vm", false), answers] {
      for (const std::string& answer : answers) {
        const base::UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        requests_.push_back(ReadSome(peer.get()));
        if (!answer.empty()) (void)::send(peer.get(), answer.data(), answer.size(), 0);
      }
    });
  }
  std::string Hybrid() const { return "hvsock://" + dir_ + "/vm:1024"; }

  std::string dir_;
  std::vector<std::string> requests_;
};

TEST_F(ShimAddressTest, UnixSocketsAreReachedByPathAndByAbstractName) {
  const base::UniqueFd file = ListenAt(dir_ + "/file", false);
  const base::UniqueFd abstract = ListenAt(dir_ + "/abstract", true);
  EXPECT_THAT(DialShim("unix://" + dir_ + "/file", Soon()), IsOk());
  EXPECT_THAT(DialShim(dir_ + "/abstract", Soon()), IsOk());
  EXPECT_THAT(DialShim(dir_ + "/file", Soon()), IsOk());  // As gRPC shims give it.
  EXPECT_THAT(DialShim("unix://" + dir_ + "/abstract", Soon()),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(DialShim(dir_ + "/nothing", Soon()), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(DialShim("nothing" + dir_, Soon()), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ShimAddressTest, WhatIsNoAddressIsRefused) {
  for (const char* address : {"", "unix://", "vsock://", "vsock://3", "vsock://x:1",
                              "vsock://3:", "vsock://3:99999999999", "hvsock://", "hvsock:///run/x",
                              "hvsock:///run/x:y", "hvsock://:1"}) {
    EXPECT_THAT(DialShim(address, Soon()), StatusIs(absl::StatusCode::kInvalidArgument)) << address;
  }
  EXPECT_THAT(DialShim("unix://" + std::string(200, 'x'), Soon()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ShimAddressTest, AHypervisorIsAskedForThePortAndAskedAgainWhenItHangsUp) {
  std::thread hypervisor = Hypervisor({"", "", "OK 1073741824\nfrom the shim"});
  const auto connected = DialShim(Hybrid(), Soon());
  hypervisor.join();
  ASSERT_THAT(connected, IsOk());
  EXPECT_THAT(requests_, ElementsAre("CONNECT 1024\n", "CONNECT 1024\n", "CONNECT 1024\n"));
  EXPECT_EQ(ReadSome(connected->get()), "from the shim");
}

TEST_F(ShimAddressTest, AHypervisorThatRefusesIsAnError) {
  std::thread hypervisor = Hypervisor({"no such port\n"});
  EXPECT_THAT(DialShim(Hybrid(), Soon()),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("no such port")));
  hypervisor.join();
  EXPECT_EQ(::unlink((dir_ + "/vm").c_str()), 0);
  hypervisor = Hypervisor({std::string(1000, 'x')});
  EXPECT_THAT(DialShim(Hybrid(), Soon()),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("answers no line")));
  hypervisor.join();
}

TEST_F(ShimAddressTest, AHypervisorThatNeverAnswersEndsWithTheDeadline) {
  const base::UniqueFd mute = ListenAt(dir_ + "/vm", false);
  EXPECT_THAT(DialShim(Hybrid(), absl::Now() + absl::Milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ShimAddressTest, AHypervisorThatAlwaysHangsUpEndsWithTheDeadline) {
  std::thread hypervisor = Hypervisor(std::vector<std::string>(1000));
  EXPECT_THAT(DialShim(Hybrid(), absl::Now() + absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("hangs up")));
  // Lets the thread have the rest of its connections.
  while (DialShim("unix://" + dir_ + "/vm", Soon()).ok()) {
  }
  hypervisor.join();
}

TEST_F(ShimAddressTest, AHypervisorThatIsGoneIsNobody) {
  EXPECT_THAT(DialShim(Hybrid(), Soon()), StatusIs(absl::StatusCode::kNotFound));
  ListenAt(dir_ + "/vm", false).Reset();
  EXPECT_THAT(DialShim(Hybrid(), Soon()), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ShimAddressTest, AMachineIsReachedByItsNumber) {
  base::UniqueFd listener(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.valid()) GTEST_SKIP() << "the kernel has no vsock";
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = VMADDR_PORT_ANY;
  socklen_t size = sizeof(address);
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener.get(), raw, size), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), raw, &size), 0);
  const auto connected =
      DialShim(fmt::format("vsock://{}:{}", VMADDR_CID_LOCAL, address.svm_port), Soon());
  if (absl::IsUnavailable(connected.status()) || absl::IsDeadlineExceeded(connected.status())) {
    GTEST_SKIP() << "no loopback of vsock: " << connected.status();
  }
  ASSERT_THAT(connected, IsOk());
  listener.Reset();
  EXPECT_THAT(DialShim(fmt::format("vsock://{}:{}", VMADDR_CID_LOCAL, address.svm_port), Soon()),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ShimAddressTest, AMachineThatDoesNotExistIsFoundOutSoon) {
  const base::UniqueFd probe(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) GTEST_SKIP() << "the kernel has no vsock";
  const absl::Time begin = absl::Now();
  const auto connected = DialShim("vsock://3735928559:1", begin + absl::Seconds(20));
  EXPECT_THAT(connected, testing::Not(IsOk()));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
}

TEST_F(ShimAddressTest, ListenersAreLookedForUnderTheNamesTheyHave) {
  EXPECT_THAT(ListenerNames("unix:///run/s"), ElementsAre("/run/s"));
  EXPECT_THAT(ListenerNames("/run/s"), ElementsAre("/run/s", "@/run/s"));
  EXPECT_THAT(ListenerNames("name"), ElementsAre("@name"));
  EXPECT_THAT(ListenerNames("vsock://3:1"), IsEmpty());
  EXPECT_THAT(ListenerNames("hvsock:///run/vm:1"), IsEmpty());
  EXPECT_THAT(ListenerNames(""), IsEmpty());
  EXPECT_EQ(SocketFile("unix:///run/s"), "/run/s");
  EXPECT_EQ(SocketFile("/run/s"), "/run/s");
  EXPECT_EQ(SocketFile("hvsock:///run/vm:1"), "");
}

}  // namespace
}  // namespace ctrd::runtime
