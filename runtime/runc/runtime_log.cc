// SPDX-License-Identifier: Apache-2.0
#include "runtime/runc/runtime_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/status.h"
#include "base/unique_fd.h"
#include "nlohmann/json.hpp"

namespace ctrd::runtime::runc {
namespace {

constexpr int64_t kMostLogBytes = 1 << 20;

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

int64_t LogSize(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

absl::StatusOr<std::string> LastErrorOf(std::string_view log) {
  std::string message;
  bool garbage = false;
  while (!log.empty()) {
    const std::string_view line = log.substr(0, log.find('\n'));
    log.remove_prefix(std::min(log.size(), line.size() + 1));
    if (Trim(line).empty()) continue;
    const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object()) {
      garbage = true;
      continue;
    }
    const auto level = entry.find("level"), text = entry.find("msg");
    if (level == entry.end() || *level != "error") continue;
    if (text == entry.end() || !text->is_string()) continue;
    message = Trim(text->get_ref<const std::string&>());
  }
  if (message.empty() && garbage) return absl::UnknownError("log is not JSON");
  return message;
}

absl::StatusOr<std::string> LastError(const std::string& path, int64_t offset) {
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) {
    const bool missing = errno == ENOENT;
    return base::Unknown("open {}: {}", path,
                         missing ? "no such file or directory" : std::strerror(errno));
  }
  const int64_t size = LogSize(path);
  std::string text(static_cast<size_t>(std::clamp<int64_t>(size - offset, 0, kMostLogBytes)), '\0');
  const ssize_t count =
      ::pread(file.get(), text.data(), text.size(), size - static_cast<int64_t>(text.size()));
  text.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  return LastErrorOf(text);
}

}  // namespace ctrd::runtime::runc
