// SPDX-License-Identifier: Apache-2.0

// ThreadSanitizer takes every child for one with memory of its own, and resets what it keeps about
// the threads of the parent. A child that shares our memory until it executes (base/process.cc)
// resets that of its parent. So clone goes past it, by the C library's other name for it.
#include <sys/types.h>

#include <cstdarg>

// NOLINTBEGIN: the names are the linker's and the library's.
extern "C" {

int __clone(int (*function)(void*), void* stack, int flags, void* argument, ...);

int __wrap_clone(int (*function)(void*), void* stack, int flags, void* argument, ...) {
  va_list more;
  va_start(more, argument);
  pid_t* const parent_tid = va_arg(more, pid_t*);  // All that our callers give.
  va_end(more);
  return __clone(function, stack, flags, argument, parent_tid, nullptr, nullptr);
}
}
// NOLINTEND
