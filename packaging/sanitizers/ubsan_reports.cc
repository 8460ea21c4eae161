// SPDX-License-Identifier: Apache-2.0

// Sends the reports of UndefinedBehaviorSanitizer where UBSAN_OPTIONS says (log_path). Its library
// reads no options when AddressSanitizer's is there, too, and writes to stderr only: that of a shim
// leads nowhere.
#include <dlfcn.h>

#include <cstdlib>
#include <string>

extern "C" __attribute__((constructor)) void ctrd_ubsan_reports() {  // NOLINT: called by its name.
  const char* const options = std::getenv("UBSAN_OPTIONS");
  if (options == nullptr) return;
  constexpr char kKey[] = "log_path=";
  const std::string text = options;
  const size_t key = text.find(kKey);
  if (key == text.npos) return;
  const size_t begin = key + sizeof(kKey) - 1;
  const std::string path = text.substr(begin, text.find(':', begin) - begin);
  // By its handle: AddressSanitizer's library has a function of the same name, and comes first.
  void* const library = ::dlopen("libubsan.so.1", RTLD_NOW | RTLD_NOLOAD);
  if (library == nullptr) return;
  void* const function = ::dlsym(library, "__sanitizer_set_report_path");
  if (function != nullptr) reinterpret_cast<void (*)(const char*)>(function)(path.c_str());
}
