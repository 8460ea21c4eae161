// SPDX-License-Identifier: Apache-2.0

// What the copies of the system's libraries call in place of the functions that ThreadSanitizer
// intercepts (quiet_archives.py, quiet_calls.txt): they do the same, and are not seen.

#include <cstdlib>
#include <cstring>
#include <new>

#include "of_library.h"

extern "C" {
void __tsan_ignore_thread_begin();  // NOLINT: not in the header of each version.
void __tsan_ignore_thread_end();    // NOLINT
}

namespace {

using ctrd::sanitizers::OfLibrary;

// Memory stays ThreadSanitizer's: what is allocated here may be freed by our code, and the reverse.
class Ignore {
 public:
  Ignore() { __tsan_ignore_thread_begin(); }
  ~Ignore() { __tsan_ignore_thread_end(); }
};

}  // namespace

// NOLINTBEGIN: the names are the linker's.
extern "C" {

#define ALLOCATION(type, name, parameters, call) \
  type ctrd_quiet_##name parameters {            \
    const Ignore ignore;                         \
    return call;                                 \
  }

ALLOCATION(void*, malloc, (size_t size), std::malloc(size))
ALLOCATION(void*, calloc, (size_t count, size_t size), std::calloc(count, size))
ALLOCATION(void*, realloc, (void* memory, size_t size), std::realloc(memory, size))
ALLOCATION(void, free, (void* memory), std::free(memory))
ALLOCATION(void*, _Znwm, (size_t size), ::operator new(size))
ALLOCATION(void*, _Znam, (size_t size), ::operator new[](size))
ALLOCATION(void*, _ZnwmRKSt9nothrow_t, (size_t size, const std::nothrow_t& tag),
           ::operator new(size, tag))
ALLOCATION(void, _ZdlPv, (void* memory), ::operator delete(memory))
ALLOCATION(void, _ZdlPvm, (void* memory, size_t size), ::operator delete(memory, size))
ALLOCATION(void, _ZdaPv, (void* memory), ::operator delete[](memory))
ALLOCATION(void, _ZdaPvm, (void* memory, size_t size), ::operator delete[](memory, size))

// Found twice where two threads are the first, and then the same: no lock that would order them.
#define LIBRARY_CALL(type, name, parameters, arguments)           \
  type ctrd_quiet_##name parameters {                             \
    static void* function = nullptr;                              \
    void* found = __atomic_load_n(&function, __ATOMIC_RELAXED);   \
    if (found == nullptr) {                                       \
      found = OfLibrary(#name);                                   \
      __atomic_store_n(&function, found, __ATOMIC_RELAXED);       \
    }                                                             \
    return reinterpret_cast<type(*) parameters>(found) arguments; \
  }

LIBRARY_CALL(void*, memcpy, (void* to, const void* from, size_t size), (to, from, size))
LIBRARY_CALL(void*, memmove, (void* to, const void* from, size_t size), (to, from, size))
LIBRARY_CALL(void*, memset, (void* to, int byte, size_t size), (to, byte, size))
LIBRARY_CALL(int, memcmp, (const void* a, const void* b, size_t size), (a, b, size))
LIBRARY_CALL(void*, memchr, (const void* in, int byte, size_t size), (in, byte, size))
LIBRARY_CALL(size_t, strlen, (const char* text), (text))
LIBRARY_CALL(size_t, strnlen, (const char* text, size_t size), (text, size))
LIBRARY_CALL(int, strcmp, (const char* a, const char* b), (a, b))
LIBRARY_CALL(int, strncmp, (const char* a, const char* b, size_t size), (a, b, size))
LIBRARY_CALL(char*, strchr, (const char* text, int byte), (text, byte))
LIBRARY_CALL(char*, strrchr, (const char* text, int byte), (text, byte))
LIBRARY_CALL(char*, strstr, (const char* text, const char* part), (text, part))
}
// NOLINTEND
