// SPDX-License-Identifier: Apache-2.0

// Thousands that wait, over a real socket: what they cost the process. Client and server are both
// in it, so the counts are upper bounds.

#include <sys/resource.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "daemon/events/exchange.h"
#include "daemon/server/grpc_endpoint.h"
#include "daemon/services/events_service.h"
#include "daemon/services/tasks_service.h"
#include "grpcpp/grpcpp.h"
#include "runtime/testing/fake_task_runtime.h"

namespace ctrd::services {
namespace {

constexpr size_t kWaiters = 5000;
constexpr int kChannels = 2;
#ifdef _GLIBCXX_TSAN  // ThreadSanitizer keeps notes on every byte.
constexpr size_t kMemoryFactor = 6;
#else
constexpr size_t kMemoryFactor = 1;
#endif

// "Threads", "VmRSS" in kB, of this process.
size_t StatusOfProcess(const std::string& field) {
  const auto text = base::ReadFile("/proc/self/status");
  const size_t at = text->find(field + ":");
  return at == text->npos ? 0 : std::stoul(text->substr(at + field.size() + 1));
}

class Countdown {
 public:
  explicit Countdown(size_t count) : left_(count) {}
  void Down() {
    const std::scoped_lock lock(mutex_);
    if (--left_ == 0) done_.notify_all();
  }
  bool Await() {
    std::unique_lock lock(mutex_);
    return done_.wait_for(lock, std::chrono::seconds(120), [&] { return left_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  size_t left_;
};

class ManyWaitersTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-waits-"));
    auto started =
        server::GrpcEndpoint::Start({.socket = {.path = dir_ + "/s"}}, {&tasks_, &events_});
    ASSERT_THAT(started, base::IsOk());
    endpoint_ = *std::move(started);
    for (int i = 0; i < kChannels; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt("test.channel", i);  // So that they do not share a connection.
      channels_.push_back(grpc::CreateCustomChannel("unix:" + dir_ + "/s",
                                                    grpc::InsecureChannelCredentials(), arguments));
      ASSERT_TRUE(channels_.back()->WaitForConnected(std::chrono::system_clock::now() +
                                                     std::chrono::seconds(20)));
    }
    ASSERT_THAT(runtime_.Create(base::Context("default"), {.id = "c1"}), base::IsOk());
    ASSERT_THAT(runtime_.Start(base::Context("default"), "c1", ""), base::IsOk());
  }
  void TearDown() override {
    channels_.clear();
    endpoint_.reset();
    EXPECT_THAT(base::RemoveTree(dir_), base::IsOk());
  }

  std::string dir_;
  runtime::FakeTaskRuntime runtime_;
  events::Exchange exchange_;
  TasksService tasks_{runtime_,
                      [](const base::Context&, std::string_view) -> absl::StatusOr<TaskContainer> {
                        return TaskContainer{};
                      },
                      nullptr};
  EventsService events_{exchange_};
  std::unique_ptr<server::GrpcEndpoint> endpoint_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
};

TEST_F(ManyWaitersTest, FiveThousandWaitsCostNoThreads) {
  struct Call {
    grpc::ClientContext context;
    tasks_v1::WaitResponse response;
  };
  tasks_v1::WaitRequest request;
  request.set_container_id("c1");
  Countdown ended(kWaiters);
  std::atomic<size_t> good = 0;
  std::vector<std::unique_ptr<tasks_v1::Tasks::Stub>> stubs;
  for (const auto& channel : channels_) stubs.push_back(tasks_v1::Tasks::NewStub(channel));
  std::vector<std::unique_ptr<Call>> calls;
  const size_t threads = StatusOfProcess("Threads"), memory = StatusOfProcess("VmRSS");
  size_t most_threads = threads;
  for (size_t i = 0; i < kWaiters; ++i) {
    Call& call = *calls.emplace_back(std::make_unique<Call>());
    call.context.AddMetadata("containerd-namespace", "default");
    stubs[i % kChannels]->async()->Wait(&call.context, &request, &call.response,
                                        [&](const grpc::Status& status) {
                                          if (status.ok()) ++good;
                                          ended.Down();
                                        });
    if (i % 100 == 0) most_threads = std::max(most_threads, StatusOfProcess("Threads"));
  }
  // All of them wait at the same time: none was refused, none is queued at the client.
  ASSERT_TRUE(runtime_.AwaitWaiters("default", "c1", kWaiters));
  most_threads = std::max(most_threads, StatusOfProcess("Threads"));
  EXPECT_LE(most_threads, threads + 32);
  EXPECT_LE(StatusOfProcess("VmRSS"),
            memory + kWaiters * 64 * kMemoryFactor);  // Of client and server.
  runtime_.End("default", "c1", 3);
  ASSERT_TRUE(ended.Await());
  EXPECT_EQ(good, kWaiters);
  for (const auto& call : calls) EXPECT_EQ(call->response.exit_status(), 3u);
}

class Subscriber final : public grpc::ClientReadReactor<containerd::types::Envelope> {
 public:
  Subscriber(events_v1::Events::Stub& stub, Countdown& ready, Countdown& got, Countdown& gone)
      : ready_(ready), got_(got), gone_(gone) {
    stub.async()->Subscribe(&context_, &request_, this);
    StartRead(&envelope_);
    StartCall();
  }
  void OnReadInitialMetadataDone(bool) override { ready_.Down(); }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    got_.Down();
    context_.TryCancel();
  }
  void OnDone(const grpc::Status&) override { gone_.Down(); }

 private:
  grpc::ClientContext context_;
  events_v1::SubscribeRequest request_;
  containerd::types::Envelope envelope_;
  Countdown &ready_, &got_, &gone_;
};

TEST_F(ManyWaitersTest, AThousandSubscribersCostNoThreads) {
  constexpr size_t kSubscribers = 1000;
  const auto stub = events_v1::Events::NewStub(channels_[0]);
  Countdown ready(kSubscribers), got(kSubscribers), gone(kSubscribers);
  const size_t threads = StatusOfProcess("Threads"), memory = StatusOfProcess("VmRSS");
  std::vector<std::unique_ptr<Subscriber>> subscribers;
  for (size_t i = 0; i < kSubscribers; ++i) {
    subscribers.push_back(std::make_unique<Subscriber>(*stub, ready, got, gone));
  }
  ASSERT_TRUE(ready.Await());
  EXPECT_LE(StatusOfProcess("Threads"), threads + 32);
  EXPECT_LE(StatusOfProcess("VmRSS"), memory + kSubscribers * 128 * kMemoryFactor);
  EXPECT_THAT(exchange_.Publish({.timestamp = absl::Now(), .namespace_name = "n", .topic = "/t"}),
              base::IsOk());
  EXPECT_TRUE(got.Await());
  EXPECT_TRUE(gone.Await());
}

}  // namespace
}  // namespace ctrd::services
