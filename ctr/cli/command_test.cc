// SPDX-License-Identifier: Apache-2.0
#include "ctr/cli/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/status.h"

namespace ctrd::ctr {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CommandTest : public testing::Test {
 protected:
  // Runs `words` in a program of one group with one command; what the command saw is in `see`.
  int Run(const std::vector<std::string>& words, Action see) {
    Command command{.names = "list,ls", .summary = "lists", .action = std::move(see)};
    command.flags = {{FlagKind::kSwitch, "quiet,q", "less"},
                     {FlagKind::kText, "name", "a name", "none", "CTR_TEST_NAME"},
                     {FlagKind::kInteger, "count,c", "a number", "7"},
                     {FlagKind::kReal, "part", "a real"},
                     {FlagKind::kDuration, "wait", "a time", "24h"},
                     {FlagKind::kList, "env", "more"}};
    Command group{.names = "things,t", .summary = "things"};
    group.flags = {{FlagKind::kText, "kind", "a kind"}};
    group.commands = {command};
    Command program{.names = "ctr", .summary = "test", .commands = {group}};
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = RunProgram(program, words);
    std::fflush(stdout);
    out_ = testing::internal::GetCapturedStdout();
    error_ = testing::internal::GetCapturedStderr();
    return code;
  }

  static absl::Status Nothing(Invocation&) { return absl::OkStatus(); }

  std::string out_;
  std::string error_;
};

TEST_F(CommandTest, FlagsHaveManyForms) {
  EXPECT_EQ(0, Run({"t", "--kind", "k", "ls", "-q", "-count=9", "--part", "0.5", "--env", "a,b",
                    "--env=c", "x", "-y"},
                   [](Invocation& invocation) {
                     EXPECT_TRUE(invocation.Switch("quiet"));
                     EXPECT_EQ(invocation.Text("kind"), "k");
                     EXPECT_EQ(invocation.Integer("count"), 9);
                     EXPECT_EQ(invocation.Real("part"), 0.5);
                     EXPECT_EQ(invocation.Duration("wait"), absl::Hours(24));
                     EXPECT_THAT(invocation.List("env"), ElementsAre("a,b", "c"));
                     EXPECT_THAT(invocation.arguments(), ElementsAre("x", "-y"));
                     EXPECT_FALSE(invocation.IsSet("name"));
                     return absl::OkStatus();
                   }));
}

TEST_F(CommandTest, SwitchesCanBeTurnedOff) {
  EXPECT_EQ(0, Run({"things", "list", "--quiet=false"}, [](Invocation& invocation) {
              EXPECT_FALSE(invocation.Switch("quiet"));
              return absl::OkStatus();
            }));
}

TEST_F(CommandTest, TheEnvironmentGivesWhatTheCommandLineDoesNot) {
  ::setenv("CTR_TEST_NAME", "from-outside", 1);
  EXPECT_EQ(0, Run({"t", "ls"}, [](Invocation& invocation) {
              EXPECT_EQ(invocation.Text("name"), "from-outside");
              EXPECT_TRUE(invocation.IsSet("name"));
              return absl::OkStatus();
            }));
  ::unsetenv("CTR_TEST_NAME");
}

TEST_F(CommandTest, AnUnknownFlagShowsTheUsage) {
  EXPECT_EQ(1, Run({"t", "ls", "--nope"}, Nothing));
  EXPECT_THAT(out_, HasSubstr("Incorrect Usage: flag provided but not defined: -nope\n\nNAME:"));
  EXPECT_EQ(error_, "ctr: flag provided but not defined: -nope\n");
  EXPECT_EQ(1, Run({"--nope"}, Nothing));
  EXPECT_THAT(out_, HasSubstr("Incorrect Usage. flag provided"));
}

TEST_F(CommandTest, AnUnknownCommandIsNoHelpTopic) {
  EXPECT_EQ(3, Run({"nope"}, Nothing));
  EXPECT_EQ(error_, "No help topic for 'nope'\n");
  EXPECT_EQ(3, Run({"t", "nope"}, Nothing));
}

TEST_F(CommandTest, BadValuesAreRefused) {
  EXPECT_EQ(1, Run({"t", "ls", "--count", "x"}, Nothing));
  EXPECT_EQ(error_, "ctr: invalid value \"x\" for flag -count: parse error\n");
  EXPECT_EQ(1, Run({"t", "ls", "--count"}, Nothing));
  EXPECT_EQ(error_, "ctr: flag needs an argument: -count\n");
}

TEST_F(CommandTest, ErrorsAndExitCodesOfActions) {
  EXPECT_EQ(1, Run({"t", "ls"}, [](Invocation&) { return base::NotFound("it"); }));
  EXPECT_EQ(error_, "ctr: it: not found\n");
  EXPECT_EQ(7, Run({"t", "ls"}, [](Invocation& invocation) {
              invocation.ExitWith(7);
              return absl::OkStatus();
            }));
}

TEST_F(CommandTest, AGroupAloneShowsItsHelp) {
  EXPECT_EQ(0, Run({"things"}, Nothing));
  EXPECT_THAT(out_, HasSubstr("list, ls"));
}

}  // namespace
}  // namespace ctrd::ctr
