// SPDX-License-Identifier: Apache-2.0

// FakeShim: a shim that does what a test wants, over ttrpc (version 2) or gRPC (version 3). Its
// server lives in the test, and answers as one whose task was created and runs, but for the methods
// that have a handler of the test; its binary is a script whose `start` the test writes, and which
// notes each `delete` in a file.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/event_loop.h"
#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "fmt/format.h"
#include "runtime/supervisor/testing/grpc_bridge.h"
#include "runtime/task/v3/shim.pb.h"
#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime {

namespace v3 = containerd::task::v3;

class FakeShim {
 public:
  using Handle = std::function<void(const ttrpc::Call&, ttrpc::Responder)>;

  // Everything is in `directory`, which exists. `protocol` is "ttrpc" or "grpc".
  explicit FakeShim(std::string directory, const std::string& protocol = "ttrpc")
      : directory_(std::move(directory)), over_grpc_(protocol == "grpc") {
    thread_ = *base::EventLoopThread::Create();
    WriteStart(fmt::format("printf %s '{}'", StartAnswer()));
    Listen();
  }
  ~FakeShim() {
    AwaitLeft();
    {
      const std::scoped_lock lock(leavers_mutex_);  // Whoever left may have it for a moment yet.
      leavers_.clear();
    }
    Stop();
  }

  std::string socket() const { return directory_ + "/shim.sock"; }
  std::string address() const { return over_grpc_ ? socket() : "unix://" + socket(); }
  // What a good `start` prints, and bootstrap.json may hold.
  std::string StartAnswer() const {
    if (!over_grpc_) return address();
    return fmt::format(R"({{"version":3,"address":"{}","protocol":"grpc"}})", address());
  }
  std::string binary() const { return directory_ + "/containerd-shim-fake-v1"; }
  std::string pid_file() const { return directory_ + "/start.pid"; }  // Of the last `start`.

  // What `binary start` does, as a shell script.
  void WriteStart(const std::string& script) {
    start_script_ = script;
    WriteBinary();
  }
  // The first `count` calls of `binary delete` are killed.
  void KillDeletes(size_t count) {
    delete_script_ =
        fmt::format("[ $(wc -l < {}/deletes) -gt {} ] || kill -9 $$", directory_, count);
    WriteBinary();
  }
  size_t deletes() const {
    const auto text = base::ReadFile(directory_ + "/deletes");
    return text.ok() ? static_cast<size_t>(std::count(text->begin(), text->end(), '\n')) : 0;
  }

  // Handles `method` from now on; null for the usual answer.
  void On(const std::string& method, Handle handle) {
    const std::scoped_lock lock(mutex_);
    handlers_[method] = std::move(handle);
  }
  // Never answers `method`.
  void Mute(const std::string& method) {
    On(method,
       [this](const ttrpc::Call& call, ttrpc::Responder responder) { Keep(call, responder); });
  }
  // The shim's process ends when it is asked for `method`.
  void LeaveOn(const std::string& method) {
    On(method, [this](const ttrpc::Call& call, ttrpc::Responder responder) {
      Leave([&] { Keep(call, responder); });
    });
  }
  void Fail(const std::string& method, absl::Status status) {
    On(method,
       [status](const ttrpc::Call&, ttrpc::Responder responder) { responder.Reply(status); });
  }

  size_t calls(const std::string& method) {
    const std::scoped_lock lock(mutex_);
    return calls_[method];
  }
  // Waits until the `count`th call of `method` was answered, or kept.
  bool AwaitCalls(const std::string& method, size_t count) {
    std::unique_lock lock(mutex_);
    return called_.wait_for(lock, std::chrono::seconds(20),
                            [&] { return handled_[method] >= count; });
  }
  // Answers what Mute keeps, and the waits, as usual.
  void AnswerKept() {
    std::vector<std::pair<ttrpc::Call, ttrpc::Responder>> kept;
    {
      const std::scoped_lock lock(mutex_);
      kept.swap(kept_);
    }
    for (const auto& [call, responder] : kept) Reply(call, responder);
  }
  // Connections break; the shim lives on.
  void DropConnections() {
    if (!over_grpc_) return OnLoop([this] { Serve(); });
    const std::scoped_lock lock(bridge_mutex_);
    bridge_->DropConnections();
  }

  // The shim's process ends, or is there again.
  void Stop() {
    CloseBridge();
    OnLoop([this] { End(); });
  }
  void Listen() {
    AwaitLeft();
    CloseBridge();
    const std::string path = over_grpc_ ? directory_ + "/inner.sock" : socket();
    OnLoop([&] {
      (void)::unlink(path.c_str());
      auto listener = ttrpc::ListenUnix(path);
      EXPECT_THAT(listener, base::IsOk());
      listener_ = *std::move(listener);
      Serve();
    });
    if (!over_grpc_) return;
    const std::scoped_lock lock(bridge_mutex_);
    inner_ = *ttrpc::Client::Connect(thread_->loop(), path, absl::Now() + absl::Seconds(20));
    (void)::unlink(socket().c_str());
    auto listener = ttrpc::ListenUnix(socket());
    EXPECT_THAT(listener, base::IsOk());
    bridge_ = std::make_unique<GrpcBridge>(inner_.get(), *std::move(listener));
  }

 private:
  void End() {
    server_.reset();
    listener_.Reset();
  }
  void CloseBridge() {
    const std::scoped_lock lock(bridge_mutex_);
    bridge_.reset();
    inner_.reset();
  }

  void Serve() {
    server_ = std::make_unique<ttrpc::Server>(thread_->loop());
    ttrpc::Service service;
    for (const char* method : {"State", "Create", "Start", "Delete", "Pids", "Kill", "Wait",
                               "Connect", "Shutdown", "Exec", "Stats"}) {
      service[method] = [this](const ttrpc::Call& call, ttrpc::Responder responder) {
        Answer(call, std::move(responder));
      };
    }
    server_->AddService(over_grpc_ ? "containerd.task.v3.Task" : "containerd.task.v2.Task",
                        std::move(service));
    EXPECT_THAT(server_->Listen(base::UniqueFd(::fcntl(listener_.get(), F_DUPFD_CLOEXEC, 0))),
                base::IsOk());
  }

  void Keep(const ttrpc::Call& call, const ttrpc::Responder& responder) {
    const std::scoped_lock lock(mutex_);
    kept_.emplace_back(call, responder);
  }

  void Answer(const ttrpc::Call& call, ttrpc::Responder responder) {
    Handle handle;
    {
      const std::scoped_lock lock(mutex_);
      ++calls_[call.method];
      handle = handlers_[call.method];
    }
    if (handle) {
      handle(call, std::move(responder));
    } else if (call.method == "Wait") {
      Keep(call, responder);
    } else if (call.method == "Shutdown") {
      Leave([&] { Reply(call, responder); });
    } else {
      Reply(call, responder);
    }
    // Now AnswerKept finds what is kept.
    const std::scoped_lock lock(mutex_);
    ++handled_[call.method];
    called_.notify_all();
  }

  // The shim's process ends once the call at hand is over, to which `answer` has its answer.
  void Leave(const std::function<void()>& answer) {
    {
      const std::scoped_lock lock(mutex_);
      ++leaving_;
    }
    answer();
    if (!over_grpc_) {
      return thread_->loop()->Post([this] {
        End();
        Left();
      });
    }
    const std::scoped_lock lock(leavers_mutex_);
    leavers_.push_back(std::async(std::launch::async, [this] {
      Stop();
      Left();
    }));
  }
  void Left() {
    const std::scoped_lock lock(mutex_);
    --leaving_;
    left_.notify_all();
  }
  void AwaitLeft() {
    std::unique_lock lock(mutex_);
    left_.wait(lock, [&] { return leaving_ == 0; });
  }

  static void Reply(const ttrpc::Call& call, const ttrpc::Responder& responder) {
    if (call.method != "State") return responder.Reply(std::string());
    v3::StateRequest request;
    EXPECT_TRUE(request.ParseFromString(call.payload));
    v3::StateResponse state;
    state.set_id(request.id());
    state.set_pid(4711);
    state.set_status(containerd::v1::types::RUNNING);
    responder.Reply(state.SerializeAsString());
  }

  void WriteBinary() {
    const std::string program = fmt::format(
        "#!/bin/sh\nfor word; do last=$word; done\n"
        "case $last in\n"
        "start) echo $$ > {}; {} ;;\n"
        "delete) echo delete >> {}/deletes; {} ;;\n"
        "esac\n",
        pid_file(), start_script_, directory_, delete_script_);
    EXPECT_THAT(base::WriteFileAtomically(binary(), program, 0755), base::IsOk());
  }

  void OnLoop(const std::function<void()>& task) {
    std::promise<void> done;
    thread_->loop()->Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  const std::string directory_;
  const bool over_grpc_;
  std::string start_script_, delete_script_ = "true";
  std::mutex mutex_;
  std::condition_variable called_, left_;
  int leaving_ = 0;  // Ends that are under way.
  std::map<std::string, Handle> handlers_;
  std::map<std::string, size_t> calls_, handled_;
  std::vector<std::pair<ttrpc::Call, ttrpc::Responder>> kept_;
  std::unique_ptr<base::EventLoopThread> thread_;
  base::UniqueFd listener_;
  std::unique_ptr<ttrpc::Server> server_;
  // Over gRPC: what speaks it, and what it asks.
  std::mutex bridge_mutex_, leavers_mutex_;
  std::unique_ptr<ttrpc::Client> inner_;
  std::unique_ptr<GrpcBridge> bridge_;
  std::vector<std::future<void>> leavers_;
};

}  // namespace ctrd::runtime
