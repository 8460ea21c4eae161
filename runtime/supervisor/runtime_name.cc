// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/runtime_name.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/process.h"
#include "base/status.h"

namespace ctrd::runtime {

absl::StatusOr<std::string> ShimBinaryName(std::string_view runtime) {
  const size_t last = runtime.rfind('.');
  if (runtime.find('/') != runtime.npos || last == runtime.npos || runtime[0] == '.') {
    return base::Unknown(
        "invalid runtime name {}, correct runtime name should be either format like "
        "`io.containerd.runc.v2` or a full path to the binary",
        runtime);
  }
  const size_t before = last == 0 ? runtime.npos : runtime.rfind('.', last - 1);
  const size_t begin = before == runtime.npos ? 0 : before + 1;
  return fmt::format("containerd-shim-{}-{}", runtime.substr(begin, last - begin),
                     runtime.substr(last + 1));
}

absl::StatusOr<std::string> ShimResolver::Resolve(const std::string& runtime) {
  if (runtime.empty()) return base::Unknown("no runtime name");
  if (runtime[0] == '/') {
    struct stat info;
    if (::stat(runtime.c_str(), &info) == 0) return runtime;
    return base::Unknown("invalid custom binary path: stat {}: {}", runtime,
                         errno == ENOENT ? "no such file or directory" : ::strerror(errno));
  }
  ASSIGN_OR_RETURN(const std::string name, ShimBinaryName(runtime));
  const std::scoped_lock lock(mutex_);
  if (const auto it = found_.find(name); it != found_.end()) return it->second;
  const auto extra = extra_directory_.empty() ? std::vector<std::string>{}
                                              : std::vector<std::string>{extra_directory_};
  auto path = base::FindExecutable(name, extra);
  if (!path.ok()) {
    return base::Unknown("runtime \"{}\" binary not installed \"{}\": file does not exist", runtime,
                         name);
  }
  found_[name] = *path;
  return path;
}

}  // namespace ctrd::runtime
