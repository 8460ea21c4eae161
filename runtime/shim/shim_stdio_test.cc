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

TEST_F(ShimTest, LargeOutputOfATerminalIsComplete) {
  RunContainer("st-large", "sleep 1000");
  const auto out = ReadPipe("out");
  ASSERT_THAT(Exec("st-large", "e1", "head -c 5000000 /dev/zero", out->path, true), IsOk());
  ASSERT_THAT(Start("st-large", "e1"), IsOk());
  ASSERT_THAT(Wait("st-large", "e1"), IsOk());
  ASSERT_THAT(Delete("st-large", "e1"), IsOk());
  EXPECT_TRUE(out->Join() == std::string(5'000'000, '\0')) << out->text.size();
}

TEST_F(ShimTest, LargeArgumentsOfAnExecArriveWhole) {
  RunContainer("st-args", "sleep 1000");
  const auto out = ReadPipe("out");
  task::ExecProcessRequest request;
  request.set_id("st-args");
  request.set_exec_id("e1");
  request.set_stdout(out->path);
  std::string arguments;
  for (int i = 0; i < 10; ++i) arguments += ",\"" + std::string(100'000, 'a') + "\"";
  request.mutable_spec()->set_value(
      R"({"args":["/bin/sh","-c","n=0; for a; do n=$((n+${#a})); done; echo $n","sh")" + arguments +
      R"(],"env":["PATH=/bin"],"cwd":"/"})");
  ASSERT_THAT(Call<Nothing>("Exec", request), IsOk());
  ASSERT_THAT(Start("st-args", "e1"), IsOk());
  ASSERT_THAT(Wait("st-args", "e1"), IsOk());
  EXPECT_EQ(out->Join(), "1000000\n");
  EXPECT_EQ(base::ListDirectory(directory_ + "/tmp").value(), std::vector<std::string>{});
}

TEST_F(ShimTest, OutputWaitsForAReaderThatComesBack) {
  // More than a pipe holds, written while nobody reads.
  RunContainer("st-back", "sleep 1000");
  const std::string pipe = directory_ + "/out";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0700), 0);
  base::UniqueFd reader(::open(pipe.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  ASSERT_THAT(Exec("st-back", "e1", "head -c 300000 /dev/zero", pipe), IsOk());
  ASSERT_THAT(Start("st-back", "e1"), IsOk());
  reader.Reset();                                            // The client goes away …
  reader.Reset(::open(pipe.c_str(), O_RDONLY | O_CLOEXEC));  // … and another one comes.
  size_t total = 0;
  char bytes[65536];
  for (ssize_t count; (count = ::read(reader.get(), bytes, sizeof(bytes))) > 0;) {
    total += static_cast<size_t>(count);
  }
  EXPECT_EQ(total, 300'000u);
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("st-back", "e1"));
  EXPECT_EQ(exit.exit_status(), 0u);
}

TEST_F(ShimTest, TheFirstProcessTakesATerminalAndASizeBeforeItStarts) {
  MakeBundle("st-init-tty", "stty size; tty", /*terminal=*/true);
  StartShim("st-init-tty");
  const auto out = ReadPipe("out");
  task::CreateTaskRequest request = CreateRequest("st-init-tty");
  request.set_terminal(true);
  request.set_stdout(out->path);
  ASSERT_THAT(Call<task::CreateTaskResponse>("Create", request), IsOk());
  task::ResizePtyRequest resize;
  resize.set_id("st-init-tty");
  resize.set_width(65536 + 132);  // Sizes have 16 bits.
  resize.set_height(43);
  ASSERT_THAT(Call<Nothing>("ResizePty", resize), IsOk());
  ASSERT_THAT(Start("st-init-tty"), IsOk());
  ASSERT_THAT(Wait("st-init-tty"), IsOk());
  EXPECT_EQ(out->Join(), "43 132\r\n/dev/pts/0\r\n");
  ASSERT_OK_AND_ASSIGN(const auto state, State("st-init-tty"));
  EXPECT_TRUE(state.terminal());
}

TEST_F(ShimTest, ResizeWithoutATerminalAndCloseIoWithoutInputAreFine) {
  RunContainer("st-none", "sleep 1000");
  ASSERT_THAT(Exec("st-none", "e1", "true"), IsOk());
  ASSERT_THAT(Start("st-none", "e1"), IsOk());
  ASSERT_THAT(Wait("st-none", "e1"), IsOk());
  EXPECT_THAT((On<Nothing, task::ResizePtyRequest>("ResizePty", "st-none")), IsOk());
  EXPECT_THAT((On<Nothing, task::ResizePtyRequest>("ResizePty", "st-none", "e1")),
              StatusIs(absl::StatusCode::kUnknown, "cannot resize a stopped container"));
  task::CloseIORequest close;
  close.set_id("st-none");
  close.set_stdin(true);
  EXPECT_THAT(Call<Nothing>("CloseIO", close), IsOk());
  EXPECT_THAT(Call<Nothing>("CloseIO", close), IsOk());
}

TEST_F(ShimTest, AnExecReadsItsInputToTheEnd) {
  RunContainer("st-exec-in", "sleep 1000");
  const auto out = ReadPipe("out");
  const std::string in = directory_ + "/in";
  ASSERT_EQ(::mkfifo(in.c_str(), 0700), 0);
  ASSERT_THAT(Exec("st-exec-in", "e1", "wc -c", out->path, false, in), IsOk());
  ASSERT_THAT(Start("st-exec-in", "e1"), IsOk());
  {
    const base::UniqueFd writer(::open(in.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_THAT(base::WriteAll(writer.get(), std::string(200'000, 'y'), in), IsOk());
  }
  task::CloseIORequest close;
  close.set_id("st-exec-in");
  close.set_exec_id("e1");
  close.set_stdin(true);
  ASSERT_THAT(Call<Nothing>("CloseIO", close), IsOk());
  ASSERT_THAT(Wait("st-exec-in", "e1"), IsOk());
  EXPECT_EQ(out->Join(), "200000\n");
}

TEST_F(ShimTest, ALoggerThatDiesBeforeItIsReadyIsAnErrorOnlyForTheStrict) {
  MakeBundle("st-strict", "sleep 1000");
  StartShim("st-strict");
  task::CreateTaskRequest request = CreateRequest("st-strict");
  request.set_stdout("binary-v2:///bin/true");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kUnknown,
                       HasSubstr("logging binary did not call ready (it may have crashed or exited "
                                 "prematurely)")));
  request.set_stdout("binary:///bin/true");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request), IsOk());
}

TEST_F(ShimTest, ALoggerGetsWhatATerminalShows) {
  const std::string logger = directory_ + "/logger";
  ASSERT_THAT(
      base::WriteFileAtomically(
          logger, fmt::format("#!/bin/sh\nexec 5>&-\ncat <&3 > {}/logged\n", directory_), 0755),
      IsOk());
  MakeBundle("st-tty-log", "echo shown", /*terminal=*/true);
  StartShim("st-tty-log");
  task::CreateTaskRequest request = CreateRequest("st-tty-log");
  request.set_terminal(true);
  request.set_stdout("binary://" + logger);
  ASSERT_THAT(Call<task::CreateTaskResponse>("Create", request), IsOk());
  ASSERT_THAT(Start("st-tty-log"), IsOk());
  ASSERT_THAT(Wait("st-tty-log"), IsOk());
  ASSERT_THAT(Delete("st-tty-log"), IsOk());
  EXPECT_EQ(base::ReadFile(directory_ + "/logged").value(), "shown\r\n");
}

TEST_F(ShimTest, AnExistingFileIsAppendedToAndAMissingStderrIsNothing) {
  MakeBundle("st-append", "echo out; echo err >&2");
  StartShim("st-append");
  const std::string file = directory_ + "/file";
  ASSERT_THAT(base::WriteFileAtomically(file, "before\n", 0600), IsOk());
  task::CreateTaskRequest request = CreateRequest("st-append");
  request.set_stdout(file);
  ASSERT_THAT(Call<task::CreateTaskResponse>("Create", request), IsOk());
  ASSERT_THAT(Start("st-append"), IsOk());
  ASSERT_THAT(Wait("st-append"), IsOk());
  ASSERT_THAT(Delete("st-append"), IsOk());
  EXPECT_EQ(base::ReadFile(file).value(), "before\nout\n");
}

}  // namespace
}  // namespace ctrd::runtime::shim
