// SPDX-License-Identifier: Apache-2.0
#include "base/mount_options.h"

#include <algorithm>
#include <charconv>

#include "base/identifiers.h"
#include "base/status.h"
#include "fmt/ranges.h"

namespace ctrd::base {
namespace {

struct Word {
  std::string_view name;
  bool clear;
  unsigned long flag;
};
constexpr Word kFlagWords[] = {
    {"async", true, MS_SYNCHRONOUS},
    {"atime", true, MS_NOATIME},
    {"bind", false, MS_BIND},
    {"dev", true, MS_NODEV},
    {"diratime", true, MS_NODIRATIME},
    {"dirsync", false, MS_DIRSYNC},
    {"exec", true, MS_NOEXEC},
    {"mand", false, MS_MANDLOCK},
    {"noatime", false, MS_NOATIME},
    {"nodev", false, MS_NODEV},
    {"nodiratime", false, MS_NODIRATIME},
    {"noexec", false, MS_NOEXEC},
    {"nomand", true, MS_MANDLOCK},
    {"norelatime", true, MS_RELATIME},
    {"nostrictatime", true, MS_STRICTATIME},
    {"nosuid", false, MS_NOSUID},
    {"rbind", false, MS_BIND | MS_REC},
    {"relatime", false, MS_RELATIME},
    {"remount", false, MS_REMOUNT},
    {"ro", false, MS_RDONLY},
    {"rw", true, MS_RDONLY},
    {"strictatime", false, MS_STRICTATIME},
    {"suid", true, MS_NOSUID},
    {"sync", false, MS_SYNCHRONOUS},
};
constexpr Word kPropagationWords[] = {
    {"private", false, MS_PRIVATE},
    {"rprivate", false, MS_PRIVATE | MS_REC},
    {"rshared", false, MS_SHARED | MS_REC},
    {"rslave", false, MS_SLAVE | MS_REC},
    {"runbindable", false, MS_UNBINDABLE | MS_REC},
    {"shared", false, MS_SHARED},
    {"slave", false, MS_SLAVE},
    {"unbindable", false, MS_UNBINDABLE},
};

const Word* FindWord(std::span<const Word> words, std::string_view name) {
  const auto found = std::ranges::find(words, name, &Word::name);
  return found == words.end() ? nullptr : &*found;
}

bool ReadNumber(std::string_view text, uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

absl::Status InvalidMap(std::string_view map) {
  return InvalidArgument("invalid id mapping {}", Quote(map));
}

}  // namespace

std::string MountOptions::JoinedData() const { return fmt::format("{}", fmt::join(data, ",")); }

absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options) {
  MountOptions parsed;
  for (const std::string& option : options) {
    const std::string_view word = option;
    if (const Word* flag = FindWord(kFlagWords, word)) {
      parsed.flags = flag->clear ? parsed.flags & ~flag->flag : parsed.flags | flag->flag;
    } else if (const Word* propagation = FindWord(kPropagationWords, word)) {
      parsed.propagation = propagation->flag;
    } else if (word == "loop") {
      parsed.loop = true;
    } else if (word == "direct-io") {
      parsed.direct_io = true;
    } else if (word.starts_with("uidmap=")) {
      parsed.uid_map = word.substr(7);
    } else if (word.starts_with("gidmap=")) {
      parsed.gid_map = word.substr(7);
    } else if (word.starts_with("X-containerd.")) {
      return absl::InvalidArgumentError(ToAbsl(fmt::format(
          "internal mount option {} was not consumed by the mount manager", Quote(word))));
    } else if (!word.empty()) {
      parsed.data.push_back(option);
    }
  }
  if (parsed.uid_map.empty() != parsed.gid_map.empty()) {
    return InvalidArgument("an id-mapped mount needs both uidmap and gidmap");
  }
  return parsed;
}

struct mount_attr AttributesOf(unsigned long flags) {
  struct mount_attr attributes = {};
  if ((flags & MS_RDONLY) != 0) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  if ((flags & MS_NOSUID) != 0) attributes.attr_set |= MOUNT_ATTR_NOSUID;
  if ((flags & MS_NODEV) != 0) attributes.attr_set |= MOUNT_ATTR_NODEV;
  if ((flags & MS_NOEXEC) != 0) attributes.attr_set |= MOUNT_ATTR_NOEXEC;
  if ((flags & MS_NODIRATIME) != 0) attributes.attr_set |= MOUNT_ATTR_NODIRATIME;
  if ((flags & (MS_NOATIME | MS_STRICTATIME | MS_RELATIME)) != 0) {
    attributes.attr_clr |= MOUNT_ATTR__ATIME;
    if ((flags & MS_NOATIME) != 0) {
      attributes.attr_set |= MOUNT_ATTR_NOATIME;
    } else if ((flags & MS_STRICTATIME) != 0) {
      attributes.attr_set |= MOUNT_ATTR_STRICTATIME;
    }
  }
  return attributes;
}

absl::StatusOr<std::string> IdMapLines(std::string_view map) {
  std::string lines;
  for (const std::string& entry : SplitUnescaped(map, ',')) {
    const std::vector<std::string> parts = SplitUnescaped(entry, ':');
    uint32_t container = 0, host = 0, size = 0;
    if (parts.size() != 3 || !ReadNumber(parts[0], container) || !ReadNumber(parts[1], host) ||
        !ReadNumber(parts[2], size) || size == 0) {
      return InvalidMap(map);
    }
    lines += fmt::format("{} {} {}\n", container, host, size);
  }
  return lines;
}

std::vector<std::string> SplitUnescaped(std::string_view value, char separator) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\\' && i + 1 < value.size()) {
      parts.back() += value.substr(i++, 2);
    } else if (value[i] == separator) {
      parts.emplace_back();
    } else {
      parts.back() += value[i];
    }
  }
  return parts;
}

std::string Unescape(std::string_view value) {
  std::string plain;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\\' && i + 1 < value.size()) ++i;
    plain += value[i];
  }
  return plain;
}

}  // namespace ctrd::base
