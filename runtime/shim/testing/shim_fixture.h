// SPDX-License-Identifier: Apache-2.0

// ShimTest: a shim of our own in a directory of its own, driven over ttrpc with the real runc and a
// root file system of busybox. Needs root, runc and busybox-static, and skips without them.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <future>
#include <mutex>
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/mount.h"
#include "base/process.h"
#include "base/status.h"
#include "base/testing/processes.h"
#include "base/testing/status_matchers.h"
#include "base/wire.h"
#include "events/task.pb.h"
#include "gtest/gtest.h"
#include "runtime/cgroups/cgroup.h"
#include "runtime/shim/exit_record.h"
#include "runtime/task/v3/shim.pb.h"
#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime::shim {

namespace task = ::containerd::task::v3;
using base::IsOk;
using base::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

constexpr char kShim[] = CTRD_SHIM_BINARY;
constexpr char kBusybox[] = "/usr/bin/busybox";
constexpr int64_t kZeroSeconds = -62135596800;

inline absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

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
  ~EventLog() {
    thread_->loop()->Post([this] { server_.reset(); });  // It belongs to the loop's thread.
    thread_.reset();
  }

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
    ASSERT_THAT(base::MakeDirectories(directory_ + "/tmp", 0700), IsOk());
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
    // What the runtime made above the containers' own groups.
    if (const auto parent = cgroups::Cgroup::AtPath(Group()); parent.ok()) parent->Remove();
    EXPECT_THAT(base::RemoveTree(directory_), IsOk());
  }

  std::string Bundle(const std::string& id) const { return directory_ + "/ns/" + id; }
  // The cgroup above the containers': of this test alone, whatever a killed one has left.
  std::string Group() const { return directory_.substr(directory_.rfind('/')); }

  static bool Ends(uint32_t pid) { return base::Ends(static_cast<pid_t>(pid)); }

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
        R"("linux":{{"cgroupsPath":"{}/{}","namespaces":[{{"type":"pid"}},)"
        R"({{"type":"mount"}},{{"type":"ipc"}},{{"type":"uts"}}]}}}})",
        annotations, terminal, Quoted(script), Group(), id);
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
    options.argv = {kShim,
                    "-namespace",
                    "shimtest",
                    "-address",
                    directory_ + "/c.sock",
                    "-publish-binary",
                    "/bin/false",
                    "-id",
                    id};
    if (action[0] == "delete") {
      options.argv.insert(options.argv.end(), {"-bundle", Bundle(id)});
    }
    options.argv.insert(options.argv.end(), action.begin(), action.end());
    options.environment = {"PATH=" + std::string(std::getenv("PATH")),
                           "TMPDIR=" + directory_ + "/tmp",
                           "TTRPC_ADDRESS=" + directory_ + "/c.sock.ttrpc"};
    options.environment.insert(options.environment.end(), environment_.begin(), environment_.end());
    for (const std::string& entry : base::CurrentEnvironment()) {
      // Where a sanitizer writes its reports, when this is a build with one.
      if (entry.find("SAN_OPTIONS=") != entry.npos) options.environment.push_back(entry);
    }
    if (new_daemon) options.environment.push_back("MAX_SHIM_VERSION=2");
    options.working_directory = Bundle(id);
    ASSIGN_OR_RETURN(base::RunResult result, base::Run(options, input, Soon()));
    if (result.exit_code != 0) return base::Unknown("{}", result.output);
    return result.output;
  }
  base::Any Options() const {
    return {.type_url = "containerd.runc.v1.Options",
            .value = options_ +
                     base::WireWriter().Bytes(6, runtime_).Bytes(7, directory_ + "/runc").Take()};
  }
  // Puts a script in front of the real runtime, which runs before it and may take its place.
  void WrapRuntime(const std::string& script) {
    runtime_ = directory_ + "/runtime";
    ASSERT_OK_AND_ASSIGN(const std::string runc, base::FindExecutable("runc"));
    ASSERT_THAT(
        base::WriteFileAtomically(
            runtime_, fmt::format("#!/bin/sh\nset -e\n{}\nexec {} \"$@\"\n", script, runc), 0755),
        IsOk());
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
  // The same without waiting for the answer.
  template <typename Request>
  std::future<ttrpc::Response> Begin(std::string_view method, const Request& request) {
    auto answer = std::make_shared<std::promise<ttrpc::Response>>();
    client_->Call(ttrpc::MakeRequest("containerd.task.v3.Task", method, request.SerializeAsString(),
                                     "shimtest"),
                  Soon(),
                  [answer](ttrpc::Response response) { answer->set_value(std::move(response)); });
    return answer->get_future();
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
  auto Create(const std::string& id) {
    return Call<task::CreateTaskResponse>("Create", CreateRequest(id));
  }
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
    request.mutable_spec()->set_value(fmt::format(
        R"({{"args":["/bin/sh","-c",{}],"env":["PATH=/bin"],"cwd":"/"}})", Quoted(script)));
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
    ExpectToLeave(id);
  }
  // Asks the shim to leave, and sees it do so.
  void ExpectToLeave(const std::string& id) {
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
  std::string runtime_;                   // Of the options: "" for the default.
  std::string options_;                   // More of them, encoded.
  std::vector<std::string> environment_;  // More of it, for the shim's binary.
  std::set<std::string> ids_;
  std::map<std::string, uint32_t> shim_pids_;
  std::unique_ptr<base::EventLoopThread> thread_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<ttrpc::Client> client_;
};

}  // namespace ctrd::runtime::shim
