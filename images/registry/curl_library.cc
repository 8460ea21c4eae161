// SPDX-License-Identifier: Apache-2.0
#include "images/registry/curl_library.h"

#include <dlfcn.h>

#include "base/status.h"

namespace ctrd::registry {
namespace {

constexpr char kFile[] = "libcurl.so.4";

CurlLibrary library;

absl::Status LoadOnce() {
  // Never closed: its libraries leave threads' exit handlers behind.
  void* handle = ::dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return absl::FailedPreconditionError(::dlerror());
  const char* missing = nullptr;
  const auto find = [&](const char* name, auto& function) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, name));
    if (function == nullptr) missing = name;
  };
  find("curl_global_init", library.global_init);
  find("curl_easy_init", library.easy_init);
  find("curl_easy_cleanup", library.easy_cleanup);
  find("curl_easy_setopt", library.easy_setopt);
  find("curl_easy_getinfo", library.easy_getinfo);
  find("curl_easy_pause", library.easy_pause);
  find("curl_easy_strerror", library.easy_strerror);
  find("curl_slist_append", library.slist_append);
  find("curl_slist_free_all", library.slist_free_all);
  find("curl_multi_init", library.multi_init);
  find("curl_multi_cleanup", library.multi_cleanup);
  find("curl_multi_add_handle", library.multi_add_handle);
  find("curl_multi_remove_handle", library.multi_remove_handle);
  find("curl_multi_perform", library.multi_perform);
  find("curl_multi_poll", library.multi_poll);
  find("curl_multi_wakeup", library.multi_wakeup);
  find("curl_multi_info_read", library.multi_info_read);
  if (missing != nullptr) {
    return absl::FailedPreconditionError(fmt::format("{} has no {}", kFile, missing));
  }
  if (library.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return base::Internal("curl_global_init failed");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadCurl() {
  static const absl::Status loaded = LoadOnce();
  return loaded;
}

const CurlLibrary& Curl() { return library; }

}  // namespace ctrd::registry
