// SPDX-License-Identifier: Apache-2.0

// Calls of gRPC to see what ThreadSanitizer makes of them (packaging/sanitizers/tsan_grpc.cc). An
// argument says which: `thread`, a race of a handler with another thread, and `handlers`, one of
// two handlers, must be reported; `ordered`, where everything waits for what it uses, must not.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"

namespace {

// Sends back what it gets, after `work`.
class Echo final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Echo(const std::function<void()>& work) : work_(work) { StartRead(&message_); }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    work_();
    ++steps_;
    StartWrite(&message_);
  }
  void OnWriteDone(bool ok) override {
    ++steps_;
    if (ok) return StartRead(&message_);
    Finish(grpc::Status::CANCELLED);
  }
  void OnCancel() override { cancelled_ = true; }
  void OnDone() override { delete this; }

 private:
  const std::function<void()>& work_;
  grpc::ByteBuffer message_;
  int steps_ = 0;
  bool cancelled_ = false;
};

class EchoService final : public grpc::CallbackGenericService {
 public:
  explicit EchoService(std::function<void()> work) : work_(std::move(work)) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new Echo(work_);
  }

 private:
  const std::function<void()> work_;
};

// A server and a client of it, in this process.
class Exchange {
 public:
  explicit Exchange(std::function<void()> work) : service_(std::move(work)) {
    static int count = 0;
    const std::string address =
        "unix-abstract:ctrd-probe-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
    server_ = grpc::ServerBuilder()
                  .RegisterCallbackGenericService(&service_)
                  .AddListeningPort(address, grpc::InsecureServerCredentials())
                  .BuildAndStart();
    channel_ = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }
  ~Exchange() {
    channel_.reset();
    server_->Shutdown();
  }

  // Sends one message, waits for it to come back, and ends the call. Exits where it does not.
  void Call(size_t size, bool cancel) const {
    grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(
        std::shared_ptr<grpc::ChannelInterface>(channel_.get(), [](auto*) {}));
    grpc::CompletionQueue queue;
    const auto await = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    const grpc::Slice slice(std::string(size, 'x'));
    grpc::ByteBuffer sent(&slice, 1), got;
    grpc::ClientContext context;
    const auto stream = stub.PrepareCall(&context, "/ctrd.Probe/Echo", &queue);
    stream->StartCall(nullptr);
    bool good = await();
    stream->Write(sent, nullptr);
    good = await() && good;
    stream->Read(&got, nullptr);
    good = await() && good && got.Length() == size;
    if (cancel) {
      context.TryCancel();
    } else {
      stream->WritesDone(nullptr);
      good = await() && good;
    }
    grpc::Status status;
    stream->Finish(&status, nullptr);
    good = await() && good && (cancel || status.ok());
    queue.Shutdown();
    while (await()) {
    }
    if (!good) std::_Exit(1);
  }

 private:
  EchoService service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

// What the races are about.
int shared = 0;
void Unguarded() { ++shared; }

void RaceOfHandlerAndThread() {
  const Exchange exchange([] { Unguarded(); });
  std::thread other([] { Unguarded(); });
  exchange.Call(10, /*cancel=*/false);
  other.join();
}

void RaceOfHandlers() {
  // Both are there at the same time; that each sees the other orders nothing.
  std::atomic<int> inside = 0;
  const Exchange exchange([&inside] {
    Unguarded();
    inside.fetch_add(1, std::memory_order_relaxed);
    while (inside.load(std::memory_order_relaxed) < 2) ::usleep(1000);
  });
  std::thread other([&exchange] { exchange.Call(10, /*cancel=*/false); });
  exchange.Call(10, /*cancel=*/false);
  other.join();
}

void Ordered() {
  constexpr int kThreads = 8, kCalls = 60;
  std::atomic<int> works = 0;
  const Exchange exchange([&works] { ++works; });
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&exchange, i] {
      for (int k = 0; k < kCalls; ++k) exchange.Call(k * k + 1, /*cancel=*/(k + i) % 3 == 0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  // In one call after another, each after its work.
  int in_turn = 0;
  const Exchange turns([&in_turn] { ++in_turn; });
  for (int k = 0; k < kCalls; ++k) {
    ++in_turn;
    turns.Call(1, /*cancel=*/false);
  }
  if (works != kThreads * kCalls || in_turn != 2 * kCalls) std::_Exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view which = argc == 2 ? argv[1] : "";
  if (which == "thread") return RaceOfHandlerAndThread(), 0;
  if (which == "handlers") return RaceOfHandlers(), 0;
  if (which == "ordered") return Ordered(), 0;
  return 64;
}
