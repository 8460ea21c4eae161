// SPDX-License-Identifier: Apache-2.0

// The shim's binary as a daemon sees it: started in a bundle, driven over its socket, with the
// real runc and a busybox for a root.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/mount.h"
#include "base/process.h"
#include "base/status.h"
#include "base/testing/status_matchers.h"
#include "base/wire.h"
#include "events/task.pb.h"
#include "gtest/gtest.h"
#include "runtime/shim/exit_record.h"
#include "runtime/task/v3/shim.pb.h"
#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime::shim {
namespace {

namespace task = ::containerd::task::v3;
using base::IsOk;
using base::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

constexpr char kShim[] = CTRD_SHIM_BINARY;
constexpr char kBusybox[] = "/usr/bin/busybox";
constexpr int64_t kZeroSeconds = -62135596800;

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

// The daemon's side of the events.
class EventLog {
 public:
  explicit EventLog(const std::string& path) {
    auto thread = base::EventLoopThread::Create();
    EXPECT_THAT(thread, IsOk());
    thread_ = *std::move(thread);
    auto listener = ttrpc::ListenUnix(path);
    EXPECT_THAT(listener, IsOk());
    server_ = std::make_unique<ttrpc::Server>(thread_->loop());
    server_->AddService("containerd.services.events.ttrpc.v1.Events",
                        {{"Forward", [this](const ttrpc::Call& call, ttrpc::Responder responder) {
                            Note(call.payload);
                            responder.Reply(std::string());
                          }}});
    thread_->loop()->Post([this, fd = std::make_shared<base::UniqueFd>(*std::move(listener))] {
      EXPECT_THAT(server_->Listen(std::move(*fd)), IsOk());
    });
  }
  ~EventLog() { thread_.reset(); }

  // The topics so far, once `topic` has come.
  std::vector<std::string> Until(const std::string& topic) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      return std::find(topics_.begin(), topics_.end(), topic) != topics_.end();
    });
    return topics_;
  }

 private:
  void Note(const std::string& request) {
    base::WireReader outer(request);
    const auto envelope = outer.Next();
    base::WireReader reader(envelope ? envelope->bytes : std::string_view());
    while (const auto field = reader.Next()) {
      if (field->number != 3) continue;
      const std::lock_guard lock(mutex_);
      topics_.emplace_back(field->bytes);
      changed_.notify_all();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> topics_;
  std::unique_ptr<ttrpc::Server> server_;
  std::unique_ptr<base::EventLoopThread> thread_;
};

class ShimTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!base::Exists(kBusybox)) GTEST_SKIP() << "needs busybox-static";
    if (!base::FindExecutable("runc").ok()) GTEST_SKIP() << "needs runc";
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory("/tmp", "shim-test"));
    for (const char* name : {"bin", "proc", "dev", "sys", "tmp"}) {
      ASSERT_THAT(base::MakeDirectories(directory_ + "/image/" + name, 0755), IsOk());
    }
    ASSERT_OK_AND_ASSIGN(const std::string busybox, base::ReadFile(kBusybox));
    ASSERT_THAT(base::WriteFileAtomically(directory_ + "/image/bin/busybox", busybox, 0755),
                IsOk());
    ASSERT_EQ(::symlink("busybox", (directory_ + "/image/bin/sh").c_str()), 0);
    ASSERT_OK_AND_ASSIGN(thread_, base::EventLoopThread::Create());
    events_ = std::make_unique<EventLog>(directory_ + "/c.sock.ttrpc");
  }
  void TearDown() override {
    if (directory_.empty()) return;
    for (const std::string& id : ids_) {
      EXPECT_THAT(RunShim({"delete"}, id, ""), IsOk());
      if (const auto pid = shim_pids_.find(id); pid != shim_pids_.end()) {
        (void)::kill(static_cast<pid_t>(pid->second), SIGKILL);  // Gone already, as a rule.
      }
      EXPECT_THAT(base::UnmountAll(Bundle(id) + "/rootfs"), IsOk());
    }
    client_.reset();
    thread_.reset();
    events_.reset();
    EXPECT_THAT(base::RemoveTree(directory_), IsOk());
  }

  std::string Bundle(const std::string& id) const { return directory_ + "/ns/" + id; }

  void MakeBundle(const std::string& id, const std::string& script, bool terminal = false,
                  const std::string& annotations = "{}") {
    ids_.insert(id);
    ASSERT_THAT(base::MakeDirectories(Bundle(id) + "/rootfs", 0711), IsOk());
    const std::string spec = fmt::format(
        R"({{"ociVersion":"1.0.2","annotations":{},"process":{{"terminal":{},"user":{{"uid":0,"gid":0}},)"
        R"("args":["/bin/sh","-c",{}],"env":["PATH=/bin"],"cwd":"/"}},"root":{{"path":"rootfs"}},)"
        R"("mounts":[{{"destination":"/proc","type":"proc","source":"proc"}},)"
        R"({{"destination":"/dev","type":"tmpfs","source":"tmpfs"}},)"
        R"({{"destination":"/dev/pts","type":"devpts","source":"devpts",)"
        R"("options":["newinstance","ptmxmode=0666"]}}],)"
        R"("linux":{{"cgroupsPath":"/shim-test/{}","namespaces":[{{"type":"pid"}},)"
        R"({{"type":"mount"}},{{"type":"ipc"}},{{"type":"uts"}}]}}}})",
        annotations, terminal, Quoted(script), id);
    ASSERT_THAT(base::WriteFileAtomically(Bundle(id) + "/config.json", spec, 0600), IsOk());
  }
  static std::string Quoted(const std::string& text) {
    std::string quoted = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    return quoted + "\"";
  }

  // A call of the shim's binary; what it printed.
  absl::StatusOr<std::string> RunShim(std::vector<std::string> action, const std::string& id,
                                      std::string_view input, bool new_daemon = true) {
    base::SpawnOptions options;
    options.argv = {kShim, "-namespace", "shimtest", "-address", directory_ + "/c.sock",
                    "-publish-binary", "/bin/false", "-id", id};
    if (action[0] == "delete") {
      options.argv.insert(options.argv.end(), {"-bundle", Bundle(id)});
    }
    options.argv.insert(options.argv.end(), action.begin(), action.end());
    options.environment = {"PATH=" + std::string(std::getenv("PATH")),
                           "TTRPC_ADDRESS=" + directory_ + "/c.sock.ttrpc"};
    if (new_daemon) options.environment.push_back("MAX_SHIM_VERSION=2");
    options.working_directory = Bundle(id);
    ASSIGN_OR_RETURN(base::RunResult result, base::Run(options, input, Soon()));
    if (result.exit_code != 0) return base::Unknown("{}", result.output);
    return result.output;
  }
  base::Any Options() const {
    return {.type_url = "containerd.runc.v1.Options",
            .value = base::WireWriter().Bytes(7, directory_ + "/runc").Take()};
  }
  std::string Params(const std::string& id) const {
    base::WireWriter params;
    params.Bytes(1, id).Bytes(2, "shimtest");
    params.Message(8, base::WireWriter().Any(1, Options()).Take());
    return params.Bytes(9, directory_ + "/s").Take();
  }
  void StartShim(const std::string& id) {
    ASSERT_OK_AND_ASSIGN(const std::string answer, RunShim({"start"}, id, Params(id)));
    std::string address;
    base::WireReader reader(answer);
    while (const auto field = reader.Next()) {
      if (field->number == 2) address = field->bytes;
    }
    ASSERT_OK_AND_ASSIGN(client_, ttrpc::Client::Connect(thread_->loop(), address, Soon()));
    task::ConnectRequest request;
    request.set_id(id);
    const auto connected = Call<task::ConnectResponse>("Connect", request);
    ASSERT_THAT(connected, IsOk());
    shim_pids_[id] = connected->shim_pid();
  }

  template <typename Message, typename Request>
  absl::StatusOr<Message> Call(std::string_view method, const Request& request,
                               std::string_view service = "containerd.task.v3.Task") {
    ttrpc::Response response = client_->CallAndWait(
        ttrpc::MakeRequest(service, method, request.SerializeAsString(), "shimtest"), Soon());
    if (!response.ok()) return response.status();
    Message message;
    EXPECT_TRUE(message.ParseFromString(*response));
    return message;
  }
  struct Nothing {
    bool ParseFromString(const std::string& bytes) const { return bytes.empty(); }
  };
  template <typename Message, typename Request>
  absl::StatusOr<Message> On(std::string_view method, const std::string& id,
                             const std::string& exec_id = "") {
    Request request;
    request.set_id(id);
    if constexpr (requires { request.set_exec_id(exec_id); }) request.set_exec_id(exec_id);
    return Call<Message>(method, request);
  }
  task::CreateTaskRequest CreateRequest(const std::string& id) {
    task::CreateTaskRequest request;
    request.set_id(id);
    request.set_bundle(Bundle(id));
    auto* mount = request.add_rootfs();
    mount->set_type("bind");
    mount->set_source(directory_ + "/image");
    mount->add_options("rbind");
    mount->add_options("rw");
    request.mutable_options()->set_type_url(Options().type_url);
    request.mutable_options()->set_value(Options().value);
    return request;
  }
  auto Create(const std::string& id) { return Call<task::CreateTaskResponse>("Create", CreateRequest(id)); }
  auto Start(const std::string& id, const std::string& exec = "") {
    return On<task::StartResponse, task::StartRequest>("Start", id, exec);
  }
  auto Wait(const std::string& id, const std::string& exec = "") {
    return On<task::WaitResponse, task::WaitRequest>("Wait", id, exec);
  }
  auto Delete(const std::string& id, const std::string& exec = "") {
    return On<task::DeleteResponse, task::DeleteRequest>("Delete", id, exec);
  }
  auto State(const std::string& id, const std::string& exec = "") {
    return On<task::StateResponse, task::StateRequest>("State", id, exec);
  }
  auto Kill(const std::string& id, uint32_t signal, const std::string& exec = "") {
    task::KillRequest request;
    request.set_id(id);
    request.set_exec_id(exec);
    request.set_signal(signal);
    return Call<Nothing>("Kill", request);
  }
  auto Exec(const std::string& id, const std::string& exec, const std::string& script,
            const std::string& out = "", bool terminal = false, const std::string& in = "") {
    task::ExecProcessRequest request;
    request.set_stdin(in);
    request.set_id(id);
    request.set_exec_id(exec);
    request.set_stdout(out);
    request.set_terminal(terminal);
    if (!terminal) request.set_stderr(out);
    request.mutable_spec()->set_value(
        fmt::format(R"({{"args":["/bin/sh","-c",{}],"env":["PATH=/bin"],"cwd":"/"}})",
                    Quoted(script)));
    return Call<Nothing>("Exec", request);
  }
  // Creates and starts a container in a shim of its own.
  void RunContainer(const std::string& id, const std::string& script) {
    MakeBundle(id, script);
    StartShim(id);
    ASSERT_THAT(Create(id), IsOk());
    ASSERT_THAT(Start(id), IsOk());
  }
  // Deletes the container, and sees its shim leave.
  void Finish(const std::string& id) {
    EXPECT_THAT(Delete(id), IsOk());
    std::mutex mutex;
    std::condition_variable condition;
    bool closed = false;
    client_->OnClose([&] {
      const std::lock_guard lock(mutex);
      closed = true;
      condition.notify_one();
    });
    task::ShutdownRequest request;
    request.set_id(id);
    EXPECT_THAT(Call<Nothing>("Shutdown", request), IsOk());
    std::unique_lock lock(mutex);
    EXPECT_TRUE(condition.wait_for(lock, std::chrono::seconds(30), [&] { return closed; }));
    ASSERT_OK_AND_ASSIGN(const std::vector<std::string> sockets,
                         base::ListDirectory(directory_ + "/s"));
    EXPECT_EQ(sockets, std::vector<std::string>{});
  }
  // A named pipe and a thread that reads it to its end.
  struct Reading {
    std::string path, text;
    std::thread thread;
    ~Reading() {
      if (!thread.joinable()) return;
      { const base::UniqueFd end(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK)); }
      thread.join();
    }
    const std::string& Join() {
      thread.join();
      return text;
    }
  };
  std::unique_ptr<Reading> ReadPipe(const std::string& name) {
    auto reading = std::make_unique<Reading>();
    reading->path = directory_ + "/" + name;
    EXPECT_EQ(::mkfifo(reading->path.c_str(), 0700), 0);
    reading->thread = std::thread([raw = reading.get()] {
      const base::UniqueFd fd(::open(raw->path.c_str(), O_RDONLY | O_CLOEXEC));
      char buffer[4096];
      for (ssize_t n; (n = ::read(fd.get(), buffer, sizeof(buffer))) > 0;) {
        raw->text.append(buffer, static_cast<size_t>(n));
      }
    });
    return reading;
  }

  std::string directory_;
  std::set<std::string> ids_;
  std::map<std::string, uint32_t> shim_pids_;
  std::unique_ptr<base::EventLoopThread> thread_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<ttrpc::Client> client_;
};

TEST_F(ShimTest, RunsAContainerFromCreateToDelete) {
  MakeBundle("st-run", "echo out; echo err >&2; exit 7");
  StartShim("st-run");
  const auto out = ReadPipe("out"), err = ReadPipe("err");
  task::CreateTaskRequest request = CreateRequest("st-run");
  request.set_stdout(out->path);
  request.set_stderr(err->path);
  ASSERT_OK_AND_ASSIGN(const auto created, Call<task::CreateTaskResponse>("Create", request));
  ASSERT_OK_AND_ASSIGN(auto state, State("st-run"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::CREATED);
  EXPECT_EQ(state.pid(), created.pid());
  EXPECT_EQ(state.stdout(), out->path);
  EXPECT_EQ(state.exited_at().seconds(), kZeroSeconds);
  ASSERT_OK_AND_ASSIGN(const auto started, Start("st-run"));
  EXPECT_EQ(started.pid(), created.pid());
  ASSERT_OK_AND_ASSIGN(const auto waited, Wait("st-run"));
  EXPECT_EQ(waited.exit_status(), 7u);
  EXPECT_EQ(out->Join(), "out\n");
  EXPECT_EQ(err->Join(), "err\n");
  const auto record = ReadExitRecord(Bundle("st-run"), "");
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->status, 7u);
  ASSERT_OK_AND_ASSIGN(state, State("st-run"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::STOPPED);
  EXPECT_EQ(state.exit_status(), 7u);
  EXPECT_THAT(Kill("st-run", 9),
              StatusIs(absl::StatusCode::kNotFound, "process already finished: not found"));
  ASSERT_OK_AND_ASSIGN(const auto deleted, Delete("st-run"));
  EXPECT_EQ(deleted.exit_status(), 7u);
  EXPECT_EQ(deleted.exited_at().seconds(), waited.exited_at().seconds());
  EXPECT_EQ(deleted.exited_at().nanos(), waited.exited_at().nanos());
  EXPECT_THAT(State("st-run"),
              StatusIs(absl::StatusCode::kNotFound, "container not created: not found"));
  EXPECT_EQ(events_->Until("/tasks/delete"),
            (std::vector<std::string>{"/tasks/create", "/tasks/start", "/tasks/exit",
                                      "/tasks/delete"}));
}

TEST_F(ShimTest, LeavesNothingBehind) {
  RunContainer("st-leave", "exit 0");
  EXPECT_THAT(Wait("st-leave"), IsOk());
  Finish("st-leave");
  EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/st-leave"));
  EXPECT_FALSE(base::Exists(Bundle("st-leave") + "/rootfs/bin"));
}

TEST_F(ShimTest, ServesVersion2Too) {
  RunContainer("st-v2", "sleep 1000");
  task::StateRequest request;
  request.set_id("st-v2");
  ASSERT_OK_AND_ASSIGN(const auto state, Call<task::StateResponse>("State", request,
                                                                   "containerd.task.v2.Task"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::RUNNING);
}

TEST_F(ShimTest, WrongStatesHaveTheTextsClientsKnow) {
  MakeBundle("st-state", "sleep 1000");
  StartShim("st-state");
  ASSERT_THAT(Create("st-state"), IsOk());
  EXPECT_THAT(Create("st-state"), StatusIs(absl::StatusCode::kAlreadyExists));
  const auto pause = [&] { return On<Nothing, task::PauseRequest>("Pause", "st-state"); };
  const auto resume = [&] { return On<Nothing, task::ResumeRequest>("Resume", "st-state"); };
  const auto unknown = absl::StatusCode::kUnknown;
  EXPECT_THAT(pause(), StatusIs(unknown, "cannot pause task in created state"));
  ASSERT_THAT(Start("st-state"), IsOk());
  EXPECT_THAT(Start("st-state"), StatusIs(unknown, "cannot start a running process"));
  EXPECT_THAT(Delete("st-state"), StatusIs(unknown, "cannot delete a running process"));
  EXPECT_THAT(resume(), StatusIs(unknown, "cannot resume a running process"));
  ASSERT_THAT(pause(), IsOk());
  EXPECT_THAT(pause(), StatusIs(unknown, "cannot pause a paused container"));
  EXPECT_THAT(Delete("st-state"), StatusIs(unknown, "cannot delete a paused process"));
  EXPECT_THAT(Exec("st-state", "e", "true"), StatusIs(unknown, "cannot exec in a paused state"));
  ASSERT_THAT(resume(), IsOk());
  EXPECT_THAT(Kill("st-state", 9, "nobody"),
              StatusIs(absl::StatusCode::kNotFound, "process does not exist nobody: not found"));
  EXPECT_THAT((On<Nothing, task::UpdateTaskRequest>("Update", "st-state")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Kill("st-state", SIGKILL), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("st-state"));
  EXPECT_EQ(exit.exit_status(), 137u);
  EXPECT_THAT(Exec("st-state", "e", "true"), StatusIs(unknown, "cannot exec in a stopped state"));
  Finish("st-state");
}

TEST_F(ShimTest, DeletesWhatWasNeverStarted) {
  MakeBundle("st-created", "sleep 1000");
  StartShim("st-created");
  ASSERT_THAT(Create("st-created"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto deleted, Delete("st-created"));
  EXPECT_EQ(deleted.exit_status(), 0u);
  EXPECT_EQ(deleted.exited_at().seconds(), kZeroSeconds);
  EXPECT_EQ(events_->Until("/tasks/exit"),
            (std::vector<std::string>{"/tasks/create", "/tasks/delete", "/tasks/exit"}));
}

TEST_F(ShimTest, MissingProgramFailsCreateAndLeavesNoMount) {
  MakeBundle("st-missing", "x");
  std::string spec = base::ReadFile(Bundle("st-missing") + "/config.json").value();
  spec.replace(spec.find("/bin/sh"), 7, "/bin/no");
  ASSERT_THAT(base::WriteFileAtomically(Bundle("st-missing") + "/config.json", spec, 0600), IsOk());
  StartShim("st-missing");
  EXPECT_THAT(Create("st-missing"), StatusIs(absl::StatusCode::kUnknown,
                                             AllOf(HasSubstr("OCI runtime create failed: "),
                                                   HasSubstr("no such file or directory"))));
  EXPECT_FALSE(base::Exists(Bundle("st-missing") + "/rootfs/bin"));
  EXPECT_THAT(State("st-missing"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ShimTest, ExecsComeAndGo) {
  RunContainer("st-exec", "sleep 1000");
  const auto out = ReadPipe("out");
  ASSERT_THAT(Exec("st-exec", "e1", "echo hello; exit 3", out->path), IsOk());
  EXPECT_THAT(Exec("st-exec", "e1", "true"),
              StatusIs(absl::StatusCode::kAlreadyExists, "id e1: already exists"));
  EXPECT_THAT(Kill("st-exec", 9, "e1"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                 "process not created: failed precondition"));
  ASSERT_THAT(Start("st-exec", "e1"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("st-exec", "e1"));
  EXPECT_EQ(exit.exit_status(), 3u);
  EXPECT_THAT(Start("st-exec", "e1"),
              StatusIs(absl::StatusCode::kUnknown, "cannot start a stopped process"));
  EXPECT_TRUE(ReadExitRecord(Bundle("st-exec"), "e1").has_value());
  ASSERT_OK_AND_ASSIGN(const auto deleted, Delete("st-exec", "e1"));
  EXPECT_EQ(deleted.exit_status(), 3u);
  EXPECT_EQ(out->Join(), "hello\n");
  EXPECT_THAT(State("st-exec", "e1"),
              StatusIs(absl::StatusCode::kNotFound, "process does not exist e1: not found"));

  // One that fails to start stays to be deleted, and nobody waits for it in vain.
  ASSERT_THAT(Exec("st-exec", "e2", "true"), IsOk());
  task::ExecProcessRequest missing;
  missing.set_id("st-exec");
  missing.set_exec_id("e3");
  missing.mutable_spec()->set_value(R"({"args":["/bin/no"],"cwd":"/"})");
  ASSERT_THAT(Call<Nothing>("Exec", missing), IsOk());
  EXPECT_THAT(Start("st-exec", "e3"), StatusIs(absl::StatusCode::kUnknown,
                                               HasSubstr("OCI runtime exec failed: ")));
  ASSERT_OK_AND_ASSIGN(const auto nothing, Wait("st-exec", "e3"));
  EXPECT_EQ(nothing.exited_at().seconds(), kZeroSeconds);
  EXPECT_THAT(Delete("st-exec", "e3"), IsOk());
  const std::vector<std::string> topics = events_->Until("/tasks/exit");
  EXPECT_EQ(std::vector<std::string>(topics.begin(), topics.begin() + 5),
            (std::vector<std::string>{"/tasks/create", "/tasks/start", "/tasks/exec-added",
                                      "/tasks/exec-started", "/tasks/exit"}));
}

TEST_F(ShimTest, ExecsEndBeforeTheContainerDoes) {
  RunContainer("st-last", "sleep 1000");
  ASSERT_THAT(Exec("st-last", "e1", "sleep 1000"), IsOk());
  ASSERT_THAT(Start("st-last", "e1"), IsOk());
  ASSERT_THAT(Kill("st-last", SIGKILL), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto init, Wait("st-last"));
  EXPECT_EQ(init.exit_status(), 137u);
  ASSERT_OK_AND_ASSIGN(const auto exec, State("st-last", "e1"));
  EXPECT_EQ(exec.status(), ::containerd::v1::types::STOPPED);
  EXPECT_EQ(exec.exit_status(), 137u);
  EXPECT_THAT(Start("st-last", "e1"), testing::Not(IsOk()));
}

TEST_F(ShimTest, ExecsEndWithTheContainerInAPidNamespaceThatIsShared) {
  MakeBundle("st-shared", "sleep 1000");
  std::string spec = base::ReadFile(Bundle("st-shared") + "/config.json").value();
  const std::string pid_namespace = R"({"type":"pid"},)";
  spec.erase(spec.find(pid_namespace), pid_namespace.size());
  ASSERT_THAT(base::WriteFileAtomically(Bundle("st-shared") + "/config.json", spec, 0600), IsOk());
  StartShim("st-shared");
  ASSERT_THAT(Create("st-shared"), IsOk());
  ASSERT_THAT(Start("st-shared"), IsOk());
  ASSERT_THAT(Exec("st-shared", "e1", "sleep 1000"), IsOk());
  ASSERT_THAT(Start("st-shared", "e1"), IsOk());
  ASSERT_THAT(Kill("st-shared", SIGKILL), IsOk());
  EXPECT_THAT(Wait("st-shared"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exec, State("st-shared", "e1"));
  EXPECT_EQ(exec.exit_status(), 137u);
  EXPECT_THAT(Delete("st-shared"), IsOk());
}

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

TEST_F(ShimTest, LoggingBinaryGetsOutputAndItsEnvironment) {
  const std::string logger = directory_ + "/logger";
  ASSERT_THAT(base::WriteFileAtomically(
                  logger,
                  "#!/bin/sh\nexec 5>&-\n(echo \"$1=$2 $CONTAINER_ID $CONTAINER_NAMESPACE\"; "
                  "cat <&3) > " + directory_ + "/logged\n", 0755), IsOk());
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

TEST_F(ShimTest, UnknownSchemesAndForeignOptionsAreErrors) {
  MakeBundle("st-bad", "true");
  StartShim("st-bad");
  task::CreateTaskRequest request = CreateRequest("st-bad");
  request.set_stdout("gopher://x");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kUnknown,
                       "failed to create init process I/O: unknown STDIO scheme gopher"));
  request = CreateRequest("st-bad");
  request.mutable_options()->set_type_url("runtimeoptions.v1.Options");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Create("st-bad"), IsOk());  // Nothing of the failures stands in the way.
}

TEST_F(ShimTest, ProcessesAndStatisticsAreTold) {
  RunContainer("st-stats", "sleep 1000");
  ASSERT_THAT(Exec("st-stats", "e1", "sleep 1000"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto started, Start("st-stats", "e1"));
  ASSERT_OK_AND_ASSIGN(const auto pids, (On<task::PidsResponse, task::PidsRequest>("Pids", "st-stats")));
  ASSERT_GE(pids.processes_size(), 2);
  for (const auto& process : pids.processes()) {
    EXPECT_EQ(process.info().type_url(),
              process.pid() == started.pid() ? "containerd.runc.v1.ProcessDetails" : "");
  }
  ASSERT_OK_AND_ASSIGN(const auto stats, (On<task::StatsResponse, task::StatsRequest>("Stats", "st-stats")));
  EXPECT_THAT(stats.stats().type_url(), testing::MatchesRegex("io.containerd.cgroups.v[12].Metrics"));
  EXPECT_GT(stats.stats().value().size(), 20u);
}

TEST_F(ShimTest, DeleteAnswersFromTheRecordAfterTheShimWasKilled) {
  RunContainer("st-killed", "exit 9");
  ASSERT_THAT(Wait("st-killed"), IsOk());
  ASSERT_EQ(::kill(static_cast<pid_t>(shim_pids_["st-killed"]), SIGKILL), 0);
  ASSERT_OK_AND_ASSIGN(const std::string answer, RunShim({"delete"}, "st-killed", ""));
  task::DeleteResponse response;
  ASSERT_TRUE(response.ParseFromString(answer));
  EXPECT_EQ(response.exit_status(), 9u);
  EXPECT_FALSE(base::Exists(Bundle("st-killed") + "/rootfs/bin"));
  EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/st-killed"));
  // A new shim is not kept away by the dead one's socket.
  StartShim("st-killed");
}

TEST_F(ShimTest, DeleteEndsAContainerThatLostItsShim) {
  RunContainer("st-lost", "sleep 1000");
  ASSERT_EQ(::kill(static_cast<pid_t>(shim_pids_["st-lost"]), SIGKILL), 0);
  ASSERT_OK_AND_ASSIGN(const std::string answer, RunShim({"delete"}, "st-lost", ""));
  task::DeleteResponse response;
  ASSERT_TRUE(response.ParseFromString(answer));
  EXPECT_EQ(response.exit_status(), 137u);
  EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/st-lost"));
}

TEST_F(ShimTest, AGroupSharesOneShim) {
  const std::string group = R"({"io.containerd.runc.v2.group":"pod"})";
  MakeBundle("st-a", "sleep 1000", false, group);
  MakeBundle("st-b", "exit 4", false, group);
  StartShim("st-a");
  ASSERT_THAT(Create("st-a"), IsOk());
  StartShim("st-b");
  EXPECT_EQ(shim_pids_["st-a"], shim_pids_["st-b"]);
  ASSERT_THAT(Create("st-b"), IsOk());
  ASSERT_THAT(Start("st-b"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("st-b"));
  EXPECT_EQ(exit.exit_status(), 4u);
  ASSERT_THAT(Delete("st-b"), IsOk());
  task::ShutdownRequest shutdown;
  EXPECT_THAT(Call<Nothing>("Shutdown", shutdown), IsOk());
  EXPECT_THAT(State("st-a"), IsOk());  // It still serves the other one.
  ASSERT_THAT(Delete("st-a"), IsOk());
}

TEST_F(ShimTest, OlderDaemonsGetTheAnswerTheyRead) {
  MakeBundle("st-old", "true");
  const std::string any =
      base::WireWriter().Bytes(1, Options().type_url).Bytes(2, Options().value).Take();
  ASSERT_OK_AND_ASSIGN(const std::string json, RunShim({"start"}, "st-old", any));
  EXPECT_THAT(json, testing::MatchesRegex(
      R"(\{"version":2,"address":"unix:///run/containerd/s/[0-9a-f]+","protocol":"ttrpc"\})"));
  ASSERT_OK_AND_ASSIGN(const std::string plain, RunShim({"start"}, "st-old", any, false));
  EXPECT_THAT(json, HasSubstr(plain));
  EXPECT_EQ(base::ReadFile(Bundle("st-old") + "/address").value(), plain);
  ASSERT_OK_AND_ASSIGN(client_, ttrpc::Client::Connect(thread_->loop(), plain, Soon()));
  EXPECT_THAT(Call<Nothing>("Shutdown", task::ShutdownRequest()), IsOk());
}

TEST_F(ShimTest, NoSocketIsAbstractOrOpenToOthers) {
  // A process in the host's network namespace must not reach a shim by name.
  RunContainer("st-socket", "sleep 1000");
  ASSERT_OK_AND_ASSIGN(const std::string sockets, base::ReadFile("/proc/net/unix"));
  EXPECT_EQ(sockets.find("@" + directory_), std::string::npos);
  struct stat info;
  ASSERT_EQ(::stat((directory_ + "/s").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  ASSERT_OK_AND_ASSIGN(const auto names, base::ListDirectory(directory_ + "/s"));
  ASSERT_EQ(names.size(), 1u);
  ASSERT_EQ(::stat((directory_ + "/s/" + names[0]).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

}  // namespace
}  // namespace ctrd::runtime::shim
