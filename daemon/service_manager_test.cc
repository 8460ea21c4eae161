// SPDX-License-Identifier: Apache-2.0
#include "daemon/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <string>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace ctrd {
namespace {

using base::IsOk;
using base::StatusIs;

// A service manager that listens on `name`.
base::UniqueFd Listen(const std::string& name) {
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (name[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  return fd;
}

std::string Received(int fd) {
  char buffer[64];
  const ssize_t size = ::recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
  return size < 0 ? "nothing" : std::string(buffer, static_cast<size_t>(size));
}

class ServiceManagerTest : public testing::Test {
 protected:
  void TearDown() override { ::unsetenv("NOTIFY_SOCKET"); }
};

TEST_F(ServiceManagerTest, IsToldThroughASocketOfTheFileSystem) {
  ASSERT_OK_AND_ASSIGN(const std::string directory,
                       base::MakeTempDirectory(testing::TempDir(), "notify-"));
  const base::UniqueFd fd = Listen(directory + "/s");
  EXPECT_THAT(NotifyServiceManager("READY=1"), IsOk());
  EXPECT_EQ(Received(fd.get()), "READY=1");
  EXPECT_THAT(base::RemoveTree(directory), IsOk());
}

TEST_F(ServiceManagerTest, IsToldThroughAnAbstractSocket) {
  const base::UniqueFd fd = Listen("@notify-" + std::to_string(::getpid()));
  EXPECT_THAT(NotifyServiceManager("STOPPING=1"), IsOk());
  EXPECT_EQ(Received(fd.get()), "STOPPING=1");
}

TEST_F(ServiceManagerTest, MayBeNobody) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_THAT(NotifyServiceManager("READY=1"), IsOk());
}

TEST_F(ServiceManagerTest, IsNotGuessed) {
  ::setenv("NOTIFY_SOCKET", "relative", 1);
  EXPECT_THAT(NotifyServiceManager("READY=1"), StatusIs(absl::StatusCode::kInvalidArgument));
  ::setenv("NOTIFY_SOCKET", ("/" + std::string(200, 'x')).c_str(), 1);
  EXPECT_THAT(NotifyServiceManager("READY=1"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace ctrd
