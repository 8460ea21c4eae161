// SPDX-License-Identifier: Apache-2.0
#include "runtime/cgroups/cgroup_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/files.h"
#include "base/status.h"
#include "base/wire.h"

namespace ctrd::runtime::cgroups {
namespace {

constexpr size_t kMostBytes = 1 << 20;
constexpr uint64_t kRdmaMax = 4294967295;

}  // namespace

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::string ReadText(const std::string& path) {
  absl::StatusOr<std::string> text = base::ReadFile(path, kMostBytes);
  if (!text.ok()) return "";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *std::move(text);
}

absl::Status WriteText(const std::string& path, std::string_view text) {
  const base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return base::ErrnoStatus("open", path);
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return base::ErrnoStatus("write", path);
  }
  return absl::OkStatus();
}

uint64_t ParseNumber(std::string_view text, uint64_t max) {
  if (text == "max") return max;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

uint64_t ReadNumber(const std::string& path, uint64_t max) {
  return ParseNumber(ReadText(path), max);
}

absl::StatusOr<KeyValues> ParseKeyValues(std::string_view text) {
  KeyValues values;
  for (const std::string_view line : Split(text, '\n')) {
    const std::vector<std::string_view> words = Split(line, ' ');
    if (words.size() != 2) return base::Unknown("invalid format: {:?}", line);
    values.emplace(words[0], ParseNumber(words[1], UINT64_MAX));
  }
  return values;
}

absl::StatusOr<KeyValues> ReadKeyValues(const std::string& path) {
  return ParseKeyValues(ReadText(path));
}

uint64_t ValueOf(const KeyValues& values, std::string_view key) {
  const auto value = values.find(key);
  return value == values.end() ? 0 : value->second;
}

std::vector<std::string> HugePageSizes() {
  constexpr std::string_view kPrefix = "hugepages-", kSuffix = "kB";
  std::vector<std::string> sizes;
  const auto names = base::ListDirectory("/sys/kernel/mm/hugepages");
  if (!names.ok()) return sizes;
  for (const std::string& name : *names) {
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const uint64_t kilobytes =
        ParseNumber(std::string_view(name).substr(kPrefix.size(),
                                                  name.size() - kPrefix.size() - kSuffix.size()),
                    0);
    if (kilobytes >= 1 << 20) {
      sizes.push_back(fmt::format("{}GB", kilobytes >> 20));
    } else if (kilobytes >= 1 << 10) {
      sizes.push_back(fmt::format("{}MB", kilobytes >> 10));
    } else {
      sizes.push_back(fmt::format("{}KB", kilobytes));
    }
  }
  return sizes;
}

// Lines of "device hca_handle=2 hca_object=2000".
std::string EncodeRdma(const std::string& directory) {
  base::WireWriter rdma;
  if (directory.empty()) return rdma.Take();
  for (const auto& [field, name] : {std::pair(1, "current"), std::pair(2, "max")}) {
    const std::string text = ReadText(directory + "/rdma." + name);
    for (const std::string_view line : Split(text, '\n')) {
      const std::vector<std::string_view> words = Split(line, ' ');
      if (words.empty()) continue;
      base::WireWriter entry;
      entry.Bytes(1, words[0]);
      for (size_t i = 1; i < words.size(); ++i) {
        const size_t equals = words[i].find('=');
        if (equals == std::string_view::npos) continue;
        const uint64_t value = ParseNumber(words[i].substr(equals + 1), kRdmaMax);
        if (words[i].starts_with("hca_handle=")) entry.Varint(2, value);
        if (words[i].starts_with("hca_object=")) entry.Varint(3, value);
      }
      rdma.Message(field, entry.Take());
    }
  }
  return rdma.Take();
}

}  // namespace ctrd::runtime::cgroups
