// SPDX-License-Identifier: Apache-2.0

// One fault of each kind, to see that a report of it is found: an argument names it. Ends as the
// sanitizer ends it.
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string_view>
#include <thread>

namespace {

// What a compiler must not know.
volatile int one = 1;  // NOLINT(runtime/int)

int ReadAfterFree() {
  auto number = std::make_unique<int>(one);
  const int* const address = number.get();
  number.reset();
  return *address;
}

void Leak() { *static_cast<volatile int*>(std::malloc(100)) = 1; }

int Overflow() { return std::numeric_limits<int>::max() + one; }

int Race() {
  int shared = 0;
  std::thread other([&shared] { ++shared; });
  ++shared;
  other.join();
  return shared;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view fault = argc == 2 ? argv[1] : "";
  std::fclose(stderr);  // As a shim whose log nobody reads.
  if (fault == "read-after-free") return ReadAfterFree();
  if (fault == "leak") return Leak(), 0;
  if (fault == "overflow") return Overflow() == 0;
  if (fault == "race") return Race();
  return 64;
}
