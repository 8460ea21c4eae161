// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/rest.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

// Where the linker put the program's constants and code, which nothing ever writes to.
extern "C" const char __executable_start, etext;

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kMoment = absl::Seconds(1);

void GiveBack() {
  (void)::malloc_trim(0);
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(&__executable_start) & ~(page - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(&etext) & ~(page - 1);
  if (end > begin) (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

void Rest::Disturb() {
  disturbed_ = true;
  if (!awaited_) Await();
}

void Rest::Await() {
  awaited_ = true;
  disturbed_ = false;
  loop_->After(kMoment, [this] {
    if (disturbed_) return Await();
    awaited_ = false;
    GiveBack();
  });
}

}  // namespace ctrd::runtime::shim
