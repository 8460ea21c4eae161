// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::base {
namespace {

using testing::HasSubstr;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

TEST(Process, ExitCodeIsTheProgramsOwn) {
  ASSERT_OK_AND_ASSIGN(Child child, Spawn({.argv = {"sh", "-c", "exit 7"}}));
  ASSERT_OK_AND_ASSIGN(int code, WaitFor(child, Soon()));
  EXPECT_EQ(code, 7);
  ASSERT_OK_AND_ASSIGN(RunResult result,
                       base::Run({.argv = {"/bin/sh", "-c", "exit 7"}}, "", Soon()));
  EXPECT_EQ(result.exit_code, 7);
}

TEST(Process, SignalIsAddedTo128) {
  ASSERT_OK_AND_ASSIGN(Child child, Spawn({.argv = {"sleep", "1000"}}));
  ASSERT_EQ(kill(child.pid, SIGTERM), 0);
  ASSERT_OK_AND_ASSIGN(int code, WaitFor(child, Soon()));
  EXPECT_EQ(code, 128 + SIGTERM);
}

TEST(Process, MissingProgramHasTheReferencesText) {
  EXPECT_THAT(Spawn({.argv = {"/nonexistent/runc"}}),
              StatusIs(absl::StatusCode::kNotFound,
                       "fork/exec /nonexistent/runc: no such file or directory"));
  EXPECT_THAT(Spawn({.argv = {"no-such-program"}}),
              StatusIs(absl::StatusCode::kNotFound,
                       "exec: \"no-such-program\": executable file not found in $PATH"));
  EXPECT_THAT(
      Spawn({.argv = {"true"}, .working_directory = "/nonexistent"}),
      StatusIs(absl::StatusCode::kNotFound, "chdir /nonexistent: no such file or directory"));
}

TEST(Process, InputIsReadAndBothOutputsAreGathered) {
  ASSERT_OK_AND_ASSIGN(RunResult result,
                       base::Run({.argv = {"sh", "-c", "cat; echo err >&2; echo $X"},
                                  .environment = {"X=env", "PATH=/bin:/usr/bin"}},
                                 "in\n", Soon()));
  EXPECT_EQ(result.output, "in\nerr\nenv\n");
}

TEST(Process, OutputIsCutAtTheLimit) {
  ASSERT_OK_AND_ASSIGN(RunResult result, base::Run({.argv = {"sh", "-c", "yes | head -c 100000"},
                                                    .environment = {"PATH=/bin:/usr/bin"}},
                                                   "", Soon(), 10));
  EXPECT_EQ(result.output, "y\ny\ny\ny\ny\n");
}

TEST(Process, ABrokenPipeThatIsIgnoredHereEndsEachChild) {
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  for (int child = 0; child < 2; ++child) {  // What is reset in the first is not reset here.
    ASSERT_OK_AND_ASSIGN(RunResult result, base::Run({.argv = {"sh", "-c", "kill -PIPE $$"},
                                                      .environment = {"PATH=/bin:/usr/bin"}},
                                                     "", Soon()));
    EXPECT_EQ(result.exit_code, 128 + SIGPIPE);
    struct sigaction here = {};
    ASSERT_EQ(::sigaction(SIGPIPE, nullptr, &here), 0);
    EXPECT_EQ(here.sa_handler, SIG_IGN);
  }
  ::signal(SIGPIPE, before);
}

TEST(Process, AChildThatReadsNothingIsNoError) {
  ASSERT_OK_AND_ASSIGN(RunResult result,
                       base::Run({.argv = {"true"}}, std::string(1 << 20, 'x'), Soon()));
  EXPECT_EQ(result.exit_code, 0);
}

TEST(Process, DeadlineKillsTheWholeGroup) {
  EXPECT_THAT(base::Run({.argv = {"sh", "-c", "sleep 1000 & sleep 1000"},
                         .environment = {"PATH=/bin:/usr/bin"}},
                        "", absl::Now() + absl::Milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(Process, OnlyNamedDescriptorsReachTheChild) {
  const UniqueFd leak(::open("/dev/null", O_RDONLY));  // No O_CLOEXEC, on purpose.
  const UniqueFd wanted(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  ASSERT_OK_AND_ASSIGN(
      RunResult result,
      base::Run({.argv = {"/bin/sh", "-c", "for f in /proc/$$/fd/*; do readlink $f; done"},
                 .environment = {"PATH=/bin:/usr/bin"},
                 .descriptors = {{wanted.get(), 5}}},
                "", Soon()));
  EXPECT_THAT(result.output, HasSubstr("/dev/zero"));
  EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 4) << result.output;
}

}  // namespace
}  // namespace ctrd::base
