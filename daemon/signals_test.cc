// SPDX-License-Identifier: Apache-2.0
#include "daemon/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace ctrd {
namespace {

// Runs `body` in a child that serves signals, sends it SIGTERM once the body wrote to the pipe it
// is given, and returns the child's wait status.
int EndedWith(const std::function<void(SignalWatch& watch, int ready)>& body) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  base::UniqueFd ready(ends[0]);
  base::UniqueFd child_ready(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    BlockSignals();
    SignalWatch watch;
    body(watch, child_ready.get());
    ::_exit(99);
  }
  child_ready.Reset();
  char byte = 0;
  EXPECT_EQ(::read(ready.get(), &byte, 1), 1);
  ::kill(child, SIGTERM);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST(SignalWatch, EndsAStartThatHangs) {
  const int status = EndedWith([](SignalWatch&, int ready) {
    EXPECT_EQ(::write(ready, "x", 1), 1);
    for (;;) ::pause();
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(SignalWatch, TellsAServingDaemon) {
  const int status = EndedWith([](SignalWatch& watch, int ready) {
    watch.Serving();
    EXPECT_EQ(::write(ready, "x", 1), 1);
    ::_exit(watch.WaitForEnd());
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), SIGTERM);
}

}  // namespace
}  // namespace ctrd
