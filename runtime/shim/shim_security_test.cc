// SPDX-License-Identifier: Apache-2.0

// What a container, or whoever wrote its image, must not get out of a shim. One test for each known
// flaw of this kind of program; docs/security.md lists them.
#include "runtime/shim/testing/shim_fixture.h"

namespace ctrd::runtime::shim {
namespace {

class ShimSecurityTest : public ShimTest {
 protected:
  static std::set<std::string> Descriptors(uint32_t pid) {
    const auto names = base::ListDirectory(fmt::format("/proc/{}/fd", pid));
    EXPECT_THAT(names, IsOk());
    return names.ok() ? std::set<std::string>(names->begin(), names->end())
                      : std::set<std::string>();
  }
  // The same of a script, from what `ls -l` said of them: without the script itself, which its
  // shell holds open.
  static std::set<std::string> ListedDescriptors(const std::string& path,
                                                 const std::string& script) {
    std::set<std::string> found;
    const std::string text = base::ReadFile(path).value_or("");
    for (std::string_view rest = text; !rest.empty();) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      const size_t arrow = line.find(" -> ");
      if (arrow == line.npos || line.ends_with(" -> " + script)) continue;
      found.emplace(line.substr(0, arrow));
    }
    return found;
  }
  const std::set<std::string> kStandard = {"0", "1", "2"};
};

TEST_F(ShimSecurityTest, ProcessesGetTheStandardStreamsAndNothingElse) {
  MakeBundle("ss-fds", "exec sleep 1000");
  // The runtime, too.
  WrapRuntime(fmt::format("find /proc/$$/fd -type l -fprintf {0}/fds '%f -> %l\\n'", directory_));
  StartShim("ss-fds");
  const auto out = ReadPipe("out"), err = ReadPipe("err"), exec_out = ReadPipe("exec-out"),
             tty_out = ReadPipe("tty-out");
  task::CreateTaskRequest request = CreateRequest("ss-fds");
  request.set_stdout(out->path);
  request.set_stderr(err->path);
  ASSERT_THAT(Call<task::CreateTaskResponse>("Create", request), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto started, Start("ss-fds"));
  ASSERT_THAT(Exec("ss-fds", "e1", "exec sleep 1000", exec_out->path), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exec, Start("ss-fds", "e1"));
  // One that is a terminal, with another container's streams open in the shim.
  ASSERT_THAT(Exec("ss-fds", "e2", "echo ready; read line", tty_out->path, true), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto terminal, Start("ss-fds", "e2"));
  for (const uint32_t pid : {started.pid(), exec.pid(), terminal.pid()}) {
    // Until the program has replaced runc's, whose descriptors go with it.
    const absl::Time deadline = Soon();
    const std::string program = fmt::format("/proc/{}/exe", pid);
    char target[256];
    for (ssize_t size = 0; absl::Now() < deadline;) {
      size = ::readlink(program.c_str(), target, sizeof(target));
      if (size > 0 && std::string_view(target, static_cast<size_t>(size)).ends_with("busybox"))
        break;
    }
    EXPECT_EQ(Descriptors(pid), kStandard) << pid;
  }
  EXPECT_EQ(ListedDescriptors(directory_ + "/fds", runtime_), kStandard);
  ASSERT_THAT(Kill("ss-fds", SIGKILL), IsOk());
  ASSERT_THAT(Wait("ss-fds"), IsOk());
}

TEST_F(ShimSecurityTest, AWorkingDirectoryIsNoWayToADescriptor) {
  // CVE-2024-21626: a descriptor that leaks is a way out for a cwd of /proc/self/fd/N.
  MakeBundle("ss-cwd", "sleep 1000");
  const std::string spec = base::ReadFile(Bundle("ss-cwd") + "/config.json").value();
  StartShim("ss-cwd");
  for (int number = 3; number < 12; ++number) {
    std::string bad = spec;
    bad.replace(bad.find(R"("cwd":"/")"), 9, fmt::format(R"("cwd":"/proc/self/fd/{}")", number));
    ASSERT_THAT(base::WriteFileAtomically(Bundle("ss-cwd") + "/config.json", bad, 0600), IsOk());
    absl::Status status = Create("ss-cwd").status();
    if (!status.ok()) continue;
    // Some runtimes only find out when the program is started: then it must not come to run.
    status = Start("ss-cwd").status();
    if (status.ok()) {
      ASSERT_OK_AND_ASSIGN(const auto exit, Wait("ss-cwd"));
      EXPECT_NE(exit.exit_status(), 0u) << number;
    } else {
      (void)Kill("ss-cwd", SIGKILL);
      (void)Wait("ss-cwd");
    }
    ASSERT_THAT(Delete("ss-cwd"), IsOk());
  }
}

TEST_F(ShimSecurityTest, OnlyTheCallerNamesLoggersAndLogFiles) {
  // CVE-2026-53488: what an image says ends up in annotations; nothing there is a program to run.
  const std::string logger = directory_ + "/logger";
  ASSERT_THAT(
      base::WriteFileAtomically(logger, fmt::format("#!/bin/sh\ntouch {}/ran\n", directory_), 0755),
      IsOk());
  MakeBundle("ss-labels", "echo out", false,
             fmt::format(R"({{"containerd.io/restart.loguri":"binary://{0}",)"
                         R"("io.containerd.runc.v2.log":"file://{1}/log",)"
                         R"("stdout":"binary://{0}"}})",
                         logger, directory_));
  StartShim("ss-labels");
  ASSERT_THAT(Create("ss-labels"), IsOk());
  ASSERT_THAT(Start("ss-labels"), IsOk());
  ASSERT_THAT(Wait("ss-labels"), IsOk());
  ASSERT_THAT(Delete("ss-labels"), IsOk());
  EXPECT_FALSE(base::Exists(directory_ + "/ran"));
  EXPECT_FALSE(base::Exists(directory_ + "/log"));
}

TEST_F(ShimSecurityTest, ALoggerGetsItsDescriptorsAndEnvironmentAndNothingElse) {
  const std::string logger = directory_ + "/logger";
  ASSERT_THAT(base::WriteFileAtomically(
                  logger,
                  fmt::format("#!/bin/sh\n"
                              "tr '\\0' '\\n' < /proc/$$/environ > {0}/environment\n"
                              "find /proc/$$/fd -type l -fprintf {0}/fds '%f -> %l\\n'\n"
                              "readlink /proc/$$/cwd > {0}/cwd\n"
                              "printf '\\0' >&5; exec 5>&-\n"
                              "cat <&4 > {0}/err & cat <&3 > {0}/out; wait\n",
                              directory_),
                  0755),
              IsOk());
  MakeBundle("ss-logger", "echo out; echo err >&2");
  StartShim("ss-logger");
  task::CreateTaskRequest request = CreateRequest("ss-logger");
  request.set_stdout("binary-v2://" + logger);
  ASSERT_THAT(Call<task::CreateTaskResponse>("Create", request), IsOk());
  ASSERT_THAT(Start("ss-logger"), IsOk());
  ASSERT_THAT(Wait("ss-logger"), IsOk());
  ASSERT_THAT(Delete("ss-logger"), IsOk());
  const auto text = [&](const char* name) {
    return base::ReadFile(directory_ + "/" + name).value_or("missing");
  };
  EXPECT_EQ(text("environment"), "CONTAINER_ID=ss-logger\nCONTAINER_NAMESPACE=shimtest\n");
  EXPECT_EQ(ListedDescriptors(directory_ + "/fds", logger),
            (std::set<std::string>{"0", "1", "2", "3", "4", "5"}));
  EXPECT_EQ(text("cwd"), Bundle("ss-logger") + "\n");
  EXPECT_EQ(text("out"), "out\n");
  EXPECT_EQ(text("err"), "err\n");
}

TEST_F(ShimSecurityTest, ARuntimeGetsTheEnvironmentWithoutTheServiceManagersSocket) {
  environment_ = {"NOTIFY_SOCKET=/run/notify", "KEPT=yes"};
  MakeBundle("ss-env", "sleep 1000");
  WrapRuntime(fmt::format("env > {}/environment", directory_));
  StartShim("ss-env");
  ASSERT_THAT(Create("ss-env"), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string environment, base::ReadFile(directory_ + "/environment"));
  EXPECT_THAT(environment, HasSubstr("KEPT=yes\n"));
  EXPECT_THAT(environment, testing::Not(HasSubstr("NOTIFY_SOCKET")));
}

TEST_F(ShimSecurityTest, FilesOfTheBundleAreForRootOnly) {
  RunContainer("ss-modes", "exit 0");
  ASSERT_THAT(Wait("ss-modes"), IsOk());
  for (const char* name : {"options.json", "runtime", "exit"}) {
    struct stat info;
    ASSERT_EQ(::stat((Bundle("ss-modes") + "/" + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 07777, 0600u) << name;
  }
}

}  // namespace
}  // namespace ctrd::runtime::shim
