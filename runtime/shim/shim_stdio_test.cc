// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/testing/shim_fixture.h"

namespace ctrd::runtime::shim {
namespace {

TEST_F(ShimTest, InputEndsWithCloseIo) {
  MakeBundle("st-in", "cat; echo end");
  StartShim("st-in");
  const auto out = ReadPipe("out"), err = ReadPipe("err");
  const std::string in = directory_ + "/in";
  ASSERT_EQ(::mkfifo(in.c_str(), 0700), 0);
  task::CreateTaskRequest request = CreateRequest("st-in");
  request.set_stdin(in);
  request.set_stdout(out->path);
  request.set_stderr(err->path);
  ASSERT_THAT(Call<task::CreateTaskResponse>("Create", request), IsOk());
  ASSERT_THAT(Start("st-in"), IsOk());
  {
    const base::UniqueFd writer(::open(in.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::write(writer.get(), "line\n", 5), 5);
  }
  task::CloseIORequest close;
  close.set_id("st-in");
  close.set_stdin(true);
  ASSERT_THAT(Call<Nothing>("CloseIO", close), IsOk());
  EXPECT_THAT(Wait("st-in"), IsOk());
  EXPECT_EQ(out->Join(), "line\nend\n");
  err->Join();
}

TEST_F(ShimTest, TerminalsAreRealAndTakeASize) {
  RunContainer("st-tty", "sleep 1000");
  const auto out = ReadPipe("out");
  const std::string in = directory_ + "/in";
  ASSERT_EQ(::mkfifo(in.c_str(), 0700), 0);
  ASSERT_THAT(Exec("st-tty", "e1", "tty; read line; stty size; exit 5", out->path, true, in),
              IsOk());
  ASSERT_THAT(Start("st-tty", "e1"), IsOk());
  task::ResizePtyRequest resize;
  resize.set_id("st-tty");
  resize.set_exec_id("e1");
  resize.set_width(90);
  resize.set_height(30);
  EXPECT_THAT(Call<Nothing>("ResizePty", resize), IsOk());
  const base::UniqueFd writer(::open(in.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::write(writer.get(), "go\n", 3), 3);
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("st-tty", "e1"));
  EXPECT_EQ(exit.exit_status(), 5u);
  EXPECT_THAT(out->Join(), AllOf(HasSubstr("/dev/pts/"), HasSubstr("30 90")));
}

TEST_F(ShimTest, LogFilesGetAllOutput) {
  MakeBundle("st-file", "echo one; echo two >&2");
  StartShim("st-file");
  task::CreateTaskRequest request = CreateRequest("st-file");
  request.set_stdout("file://" + directory_ + "/logs/deep/log");
  request.set_stderr(request.stdout());
  ASSERT_THAT(Call<task::CreateTaskResponse>("Create", request), IsOk());
  ASSERT_THAT(Start("st-file"), IsOk());
  ASSERT_THAT(Wait("st-file"), IsOk());
  ASSERT_THAT(Delete("st-file"), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string log, base::ReadFile(directory_ + "/logs/deep/log"));
  EXPECT_THAT(log, AllOf(HasSubstr("one\n"), HasSubstr("two\n")));
}

TEST_F(ShimTest, AMissingLoggingBinaryIsUnknownAndNamed) {
  MakeBundle("st-nobinary", "true");
  StartShim("st-nobinary");
  task::CreateTaskRequest request = CreateRequest("st-nobinary");
  request.set_stdout("binary:///no/such/logger");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kUnknown,
                       "failed to create init process I/O: failed to start binary process: "
                       "fork/exec /no/such/logger: no such file or directory"));
}

TEST_F(ShimTest, LoggingBinaryGetsOutputAndItsEnvironment) {
  const std::string logger = directory_ + "/logger";
  ASSERT_THAT(base::WriteFileAtomically(
                  logger,
                  "#!/bin/sh\nexec 5>&-\n(echo \"$1=$2 $CONTAINER_ID $CONTAINER_NAMESPACE\"; "
                  "cat <&3) > " +
                      directory_ + "/logged\n",
                  0755),
              IsOk());
  MakeBundle("st-binary", "echo output");
  StartShim("st-binary");
  task::CreateTaskRequest request = CreateRequest("st-binary");
  request.set_stdout("binary://" + logger + "?key=value");
  ASSERT_THAT(Call<task::CreateTaskResponse>("Create", request), IsOk());
  ASSERT_THAT(Start("st-binary"), IsOk());
  ASSERT_THAT(Wait("st-binary"), IsOk());
  ASSERT_THAT(Delete("st-binary"), IsOk());
  EXPECT_EQ(base::ReadFile(directory_ + "/logged").value(),
            "key=value st-binary shimtest\noutput\n");
}

}  // namespace
}  // namespace ctrd::runtime::shim
