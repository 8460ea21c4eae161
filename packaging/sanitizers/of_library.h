// SPDX-License-Identifier: Apache-2.0

// What the sanitizers' functions of the same names stand before.
#pragma once

#include <dlfcn.h>

namespace ctrd::sanitizers {

// A function of the C library.
inline void* OfLibrary(const char* name) {
  return ::dlsym(::dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), name);
}

}  // namespace ctrd::sanitizers
