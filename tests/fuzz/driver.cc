// SPDX-License-Identifier: Apache-2.0

// Runs a fuzzer's entry point without libFuzzer: inputs are made from its seeds and words by
// random changes, and one that reaches new code is kept and changed further. The compiler tells
// which code is reached (-fsanitize-coverage=trace-pc). The same seed makes the same inputs.
//
//   FUZZER [--seconds N] [--seed N]     N seconds, 10 by default; seed 1 by default
//   FUZZER FILE…                        each file once: what a failure left behind
//   FUZZER --write-seeds DIRECTORY      for libFuzzer
//
// An input that fails, or takes longer than kMostSeconds, is written to ./crash-<name>-<seed>.
#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>

#include "tests/fuzz/fuzzer.h"

namespace {

constexpr int kMostSeconds = 20;
constexpr size_t kMostBytes = 1 << 16;
constexpr size_t kMostInputs = 4000;
constexpr size_t kEdges = 1 << 16;

uint8_t seen_edges[kEdges];  // Bare arrays: a container's functions could be traced themselves.
bool new_edge = false;
uintptr_t last_place = 0;

std::string input, crash_path;

// In a handler of a failure: system calls only.
void KeepInput() {
  const int file = ::open(crash_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return;
  (void)!::write(file, input.data(), input.size());
  (void)!::write(2, "the input is in ", 16);
  (void)!::write(2, crash_path.data(), crash_path.size());
  (void)!::write(2, "\n", 1);
}

void TookTooLong(int) {
  constexpr char kText[] = "this input takes too long\n";
  (void)!::write(2, kText, sizeof(kText) - 1);
  KeepInput();
  ::_exit(1);
}

void Aborted(int) {
  KeepInput();
  ::_exit(1);
}

void RunOne(const std::string& bytes) {
  input = bytes;
  // A copy of exactly this size: reading past it is seen.
  const auto copy = std::make_unique<uint8_t[]>(bytes.size());
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  ::alarm(kMostSeconds);
  LLVMFuzzerTestOneInput(copy.get(), bytes.size());
  ::alarm(0);
}

class Mutator {
 public:
  Mutator(uint32_t seed, std::vector<std::string> words) : random_(seed), words_(std::move(words)) {
    for (const char* number : {"0", "-1", "4294967295", "4294967296", "18446744073709551616"}) {
      words_.emplace_back(number);
    }
  }

  size_t Below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  std::string Change(std::string bytes, const std::string& other) {
    for (size_t changes = 1 + Below(6); changes > 0; --changes) ChangeOnce(bytes, other);
    if (bytes.size() > kMostBytes) bytes.resize(kMostBytes);
    return bytes;
  }

 private:
  void ChangeOnce(std::string& bytes, const std::string& other) {
    const size_t at = Below(bytes.size() + 1);
    const size_t length = Below(std::min<size_t>(bytes.size() - at, 64) + 1);
    switch (Below(10)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random_());
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(8)));
        break;
      case 2:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] + (Below(2) == 0 ? 1 : -1));
        break;
      case 3:
        bytes.erase(at, length);
        break;
      case 4:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 5:
        bytes.insert(at, 1 + Below(8), static_cast<char>(random_()));
        break;
      case 6:
      case 7:
        if (!words_.empty()) bytes.insert(at, words_[Below(words_.size())]);
        break;
      case 8: {
        const size_t from = Below(other.size() + 1);
        bytes.replace(at, length, other.substr(from, Below(128)));
        break;
      }
      default:
        if (Below(8) == 0) {
          RepeatOften(bytes, at, length);
        } else {
          bytes.resize(at);
        }
    }
  }

  // Depth and length: "[[[[[[…".
  void RepeatOften(std::string& bytes, size_t at, size_t length) {
    const std::string piece = bytes.substr(at, std::max<size_t>(length % 8, 1));
    std::string many;
    for (size_t times = 1 << Below(15); times > 0 && many.size() < kMostBytes; --times)
      many += piece;
    bytes.insert(at, many);
  }

  std::minstd_rand random_;
  std::vector<std::string> words_;
};

int Fuzz(const std::string& name, int seconds, uint32_t seed) {
  Mutator mutator(seed, ctrd::fuzz::Words());
  std::vector<std::string> inputs = ctrd::fuzz::Seeds();
  inputs.emplace_back();
  for (size_t i = 0; i < inputs.size(); ++i) RunOne(inputs[i]);
  const size_t seeds = inputs.size();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  uint64_t runs = 0;
  while (std::chrono::steady_clock::now() < end) {
    std::string bytes =
        mutator.Change(inputs[mutator.Below(inputs.size())], inputs[mutator.Below(inputs.size())]);
    new_edge = false;
    RunOne(bytes);
    ++runs;
    if (!new_edge) continue;
    if (inputs.size() < kMostInputs) {
      inputs.push_back(std::move(bytes));
    } else {
      inputs[mutator.Below(inputs.size())] = std::move(bytes);
    }
  }
  size_t edges = 0;
  for (const uint8_t hit : seen_edges) edges += hit;
  std::printf("%s: seed %u: %llu inputs from %zu seeds, %zu kept, %zu places reached\n",
              name.c_str(), seed, static_cast<unsigned long long>(runs), seeds, inputs.size(),
              edges);
  return 0;
}

int WriteSeeds(const std::string& directory) {
  int number = 0;
  for (const std::string& seed : ctrd::fuzz::Seeds()) {
    std::ofstream(directory + "/seed-" + std::to_string(number++), std::ios::binary) << seed;
  }
  return 0;
}

}  // namespace

// Called by the code under test at each of its branches.
extern "C" void __sanitizer_cov_trace_pc() {
  const auto place = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  uint8_t& hit = seen_edges[(place ^ last_place << 1) % kEdges];
  last_place = place;
  if (hit != 0) return;
  hit = 1;
  new_edge = true;
}

extern "C" const char* __asan_default_options() {
  // The system's libraries are not built with these checks: containers that cross are not marked.
  return "detect_container_overflow=0:allocator_may_return_null=1:max_allocation_size_mb=1024:"
         "detect_stack_use_after_return=1";
}
extern "C" const char* __ubsan_default_options() { return "print_stacktrace=1:halt_on_error=1"; }

int main(int argc, char** argv) {
  const std::string name = std::string(argv[0]).substr(std::string(argv[0]).rfind('/') + 1);
  int seconds = 10;
  uint32_t seed = 1;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--seconds") {
      seconds = std::atoi(value), ++i;
    } else if (flag == "--seed") {
      seed = static_cast<uint32_t>(std::strtoul(value, nullptr, 10)), ++i;
    } else if (flag == "--write-seeds") {
      return WriteSeeds(value);
    } else {
      files.push_back(flag);
    }
  }
  crash_path = "crash-" + name + "-" + std::to_string(seed);
  std::signal(SIGALRM, TookTooLong);
  std::signal(SIGABRT, Aborted);
  __sanitizer_set_death_callback(KeepInput);
  for (const std::string& path : files) {
    std::ifstream file(path, std::ios::binary);
    RunOne({std::istreambuf_iterator<char>(file), {}});
    std::printf("%s: %s is fine\n", name.c_str(), path.c_str());
  }
  return files.empty() ? Fuzz(name, seconds, seed) : 0;
}
