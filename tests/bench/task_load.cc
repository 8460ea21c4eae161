// SPDX-License-Identifier: Apache-2.0

// Containers through the API, timed or in numbers. Results are one line of JSON.
//
//   task_load latency  …  --count N               one after the other: milliseconds of each call
//   task_load rate     …  --clients N --count N   containers that run `true`: how many per second
//   task_load hold     …  --clients N --count N   starts containers that sleep, and leaves them
//   task_load remove   …  --clients N --count N   removes those
//   task_load adoption …  --count N --since TIME  milliseconds from TIME, in seconds of the
//   monotonic
//       clock, to the first answer of a daemon that starts, and until it lists N running tasks
//   task_load churn    …  --clients N --count N --seed N
//       cycles of create, start, exec, kill, delete, while somebody kills shims and the daemon:
//       calls may fail, but what a cycle made must come off again, and its name be free for the
//       next one
//
// All: --address SOCKET --namespace NAME --parent SNAPSHOT [--oci-runtime PATH] [--runtime NAME]
//      [--prefix WORD] [--timeout SECONDS]
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "CLI/CLI.hpp"
#include "base/status.h"
#include "base/unique_fd.h"
#include "nlohmann/json.hpp"
#include "tests/bench/task_client.h"

namespace {

using ctrd::bench::ClientOptions;
using ctrd::bench::TaskClient;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

// How long the removal of one container may take, restarts of the daemon included.
constexpr auto kRemoval = std::chrono::seconds(60);
constexpr auto kAdoption = std::chrono::seconds(120);
constexpr auto kLook = std::chrono::microseconds(200);  // Between looks at a daemon that starts.

struct Load {
  ClientOptions client;
  std::string prefix = "l";
  int clients = 1;
  int count = 1;
  uint32_t seed = 1;
  double since = 0;
};

double Milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

std::string Name(const Load& load, int number) { return load.prefix + std::to_string(number); }

void Must(const absl::Status& status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what, std::string(ctrd::base::MessageOf(status)).c_str());
  std::exit(1);
}

// Numbers from 0 to load.count, shared out among load.clients threads with a client each.
template <typename Work>
void ForAll(const Load& load, const Work& work) {
  std::atomic<int> next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < load.clients; ++i) {
    threads.emplace_back([&, i] {
      TaskClient client(load.client);
      for (int number = next++; number < load.count; number = next++) work(client, i, number);
    });
  }
  for (auto& thread : threads) thread.join();
}

class Stopwatch {
 public:
  explicit Stopwatch(Json* samples) : samples_(samples) {}
  // Adds the time since the last lap.
  void Lap(const char* name) {
    const Clock::time_point now = Clock::now();
    (*samples_)[name].push_back(Milliseconds(now - last_));
    last_ = now;
  }
  double total() const { return Milliseconds(last_ - start_); }

 private:
  Json* const samples_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

Json Latency(const Load& load) {
  Json samples;
  TaskClient client(load.client);
  for (int number = 0; number < load.count; ++number) {
    const std::string id = Name(load, number);
    Must(client.CreateContainer(id, {"true"}), "create container");
    Stopwatch watch(&samples);
    Must(client.Create(id), "create");
    watch.Lap("create");
    Must(client.Start(id), "start");
    watch.Lap("start");
    Must(client.Wait(id).status(), "wait");
    watch.Lap("wait");
    Must(client.Delete(id).status(), "delete");
    watch.Lap("delete");
    samples["life"].push_back(watch.total());
    Must(client.DeleteContainer(id), "delete container");
  }
  const std::string box = load.prefix + "box";
  Must(client.CreateContainer(box, {"sleep", "1000"}), "create container");
  Must(client.Create(box), "create");
  Must(client.Start(box), "start");
  for (int number = 0; number < load.count; ++number) {
    const std::string id = Name(load, number);
    Stopwatch watch(&samples);
    Must(client.Exec(box, id, {"true"}), "exec");
    Must(client.Start(box, id), "start exec");
    Must(client.Wait(box, id).status(), "wait for exec");
    Must(client.DeleteProcess(box, id), "delete exec");
    watch.Lap("exec");
  }
  Must(client.Remove(box, Clock::now() + kRemoval), "remove");
  return samples;
}

Json Rate(const Load& load) {
  const Clock::time_point start = Clock::now();
  ForAll(load, [&](TaskClient& client, int, int number) {
    const std::string id = Name(load, number);
    Must(client.CreateContainer(id, {"true"}), "create container");
    Must(client.Create(id), "create");
    Must(client.Start(id), "start");
    Must(client.Wait(id).status(), "wait");
    Must(client.Delete(id).status(), "delete");
    Must(client.DeleteContainer(id), "delete container");
  });
  const double seconds = Milliseconds(Clock::now() - start) / 1000;
  return {{"seconds", seconds}, {"rate", load.count / seconds}};
}

Json Hold(const Load& load) {
  const Clock::time_point start = Clock::now();
  ForAll(load, [&](TaskClient& client, int, int number) {
    const std::string id = Name(load, number);
    Must(client.CreateContainer(id, {"sleep", "100000"}), "create container");
    Must(client.Create(id), "create");
    Must(client.Start(id), "start");
  });
  return {{"seconds", Milliseconds(Clock::now() - start) / 1000}};
}

Json Remove(const Load& load) {
  const Clock::time_point start = Clock::now();
  ForAll(load, [&](TaskClient& client, int, int number) {
    Must(client.Remove(Name(load, number), Clock::now() + kRemoval), "remove");
  });
  return {{"seconds", Milliseconds(Clock::now() - start) / 1000}};
}

// What happened in a churn: errors by their call and text, with ids left out.
class Tally {
 public:
  void Add(const std::string& call, const absl::Status& status, const std::string& id) {
    std::string text(ctrd::base::MessageOf(status));
    for (size_t at = text.find(id); at != std::string::npos; at = text.find(id)) {
      text.replace(at, id.size(), "ID");
    }
    const std::lock_guard lock(mutex_);
    ++errors_[call + ": " + text];
  }
  Json errors() const { return errors_; }

 private:
  std::mutex mutex_;
  std::map<std::string, int> errors_;
};

// One life of a container; returns at the first error, or when the container has been killed and
// waited for. `random` picks what happens in it.
absl::Status Live(TaskClient& client, const std::string& id, uint32_t random, const char*& call) {
  call = "create container";
  RETURN_IF_ERROR(client.CreateContainer(id, {"sleep", "1000"}));
  call = "create";
  RETURN_IF_ERROR(client.Create(id));
  if (random % 8 == 0) return absl::OkStatus();  // Deleted without having been started.
  call = "start";
  RETURN_IF_ERROR(client.Start(id));
  if (random % 4 != 0) {
    call = "exec";
    RETURN_IF_ERROR(client.Exec(id, "e", {"true"}));
    RETURN_IF_ERROR(client.Start(id, "e"));
    const auto status = client.Wait(id, "e");
    RETURN_IF_ERROR(status.status());
    call = "delete exec";
    RETURN_IF_ERROR(client.DeleteProcess(id, "e"));
  }
  // Somebody waits from before the end, as most clients do.
  absl::Status waited;
  TaskClient* const borrowed = &client;
  std::thread waiter([&, borrowed] { waited = borrowed->Wait(id).status(); });
  call = "kill";
  const absl::Status killed = client.Kill(id);
  if (!killed.ok()) (void)client.Kill(id);  // So that the waiter comes back.
  waiter.join();
  RETURN_IF_ERROR(killed);
  call = "wait";
  return waited;
}

Json Churn(const Load& load) {
  Tally errors, stuck;
  std::atomic<int> whole = 0;
  std::atomic<int64_t> slowest_removal_ms = 0;
  std::vector<std::minstd_rand> random;
  for (int i = 0; i < load.clients; ++i)
    random.emplace_back(load.seed * 1000 + static_cast<uint32_t>(i));
  ForAll(load, [&](TaskClient& client, int thread, int) {
    const std::string id = Name(load, thread);  // The same one each time: names must come free.
    const char* call = "";
    const absl::Status lived = Live(client, id, random[static_cast<size_t>(thread)]() >> 4, call);
    if (!lived.ok()) errors.Add(call, lived, id);
    const Clock::time_point start = Clock::now();
    const absl::Status removed = client.Remove(id, start + kRemoval);
    if (!removed.ok()) stuck.Add("remove", removed, id);
    const auto taken = static_cast<int64_t>(Milliseconds(Clock::now() - start));
    int64_t slowest = slowest_removal_ms;
    while (taken > slowest && !slowest_removal_ms.compare_exchange_weak(slowest, taken)) {
    }
    if (lived.ok() && removed.ok()) ++whole;
  });
  return {{"whole", whole.load()},
          {"errors", errors.errors()},
          {"stuck", stuck.errors()},
          {"slowest removal ms", slowest_removal_ms.load()}};
}

Json Cycle(const Load& load) {
  TaskClient client(load.client);
  const char* call = "";
  const absl::Status lived = Live(client, Name(load, 0), 1, call);
  if (lived.ok()) return {{"call", ""}, {"error", ""}};
  return {{"call", call}, {"error", ctrd::base::MessageOf(lived)}};
}

// Not by gRPC, which pauses between attempts: the time until the daemon listens is what we measure.
bool WaitForListener(const std::string& path, Clock::time_point give_up) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  while (Clock::now() < give_up) {
    const ctrd::base::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      return true;
    }
    std::this_thread::sleep_for(kLook);
  }
  return false;
}

Json Adoption(const Load& load) {
  const auto since = Clock::time_point(
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(load.since)));
  const auto give_up = Clock::now() + kAdoption;
  (void)WaitForListener(load.client.address, give_up);  // Without one the calls below fail.
  TaskClient client(load.client);
  while (!client.Answers() && Clock::now() < give_up) std::this_thread::sleep_for(kLook);
  const double answered = Milliseconds(Clock::now() - since);
  while (Clock::now() < give_up) {
    const auto running = client.CountRunning();
    const double now = Milliseconds(Clock::now() - since);
    if (running.ok() && *running >= load.count) return {{"answered", answered}, {"adopted", now}};
    std::this_thread::sleep_for(kLook);
  }
  std::fprintf(stderr, "never were %d tasks listed as running\n", load.count);
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, Json (*)(const Load&)> modes = {
      {"latency", Latency}, {"rate", Rate},   {"hold", Hold},        {"remove", Remove},
      {"churn", Churn},     {"cycle", Cycle}, {"adoption", Adoption}};
  Load load;
  std::string mode;
  CLI::App app("Containers through the API, timed or in numbers");
  app.add_option("mode", mode)->required()->check(CLI::IsMember(modes));
  app.add_option("--address", load.client.address)->required();
  app.add_option("--namespace", load.client.namespace_name)->required();
  app.add_option("--parent", load.client.parent)->required();
  app.add_option("--runtime", load.client.runtime);
  app.add_option("--oci-runtime", load.client.oci_runtime);
  app.add_option("--prefix", load.prefix);
  app.add_option("--clients", load.clients);
  app.add_option("--count", load.count);
  app.add_option("--seed", load.seed);
  app.add_option("--since", load.since);
  int timeout = 60;
  app.add_option("--timeout", timeout);
  CLI11_PARSE(app, argc, argv);
  load.client.timeout = std::chrono::seconds(timeout);
  std::printf("%s\n", modes.at(mode)(load).dump().c_str());
  return 0;
}
