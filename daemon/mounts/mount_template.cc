// SPDX-License-Identifier: Apache-2.0
#include "daemon/mounts/mount_template.h"

#include <algorithm>
#include <charconv>

#include "base/status.h"

namespace ctrd::mounts {
namespace {

using base::ActiveMount;
using Active = std::vector<ActiveMount>;

constexpr std::string_view kOpen = "{{", kClose = "}}";

std::vector<std::string_view> WordsOf(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

absl::StatusOr<size_t> IndexOf(std::string_view word, const Active& active) {
  int64_t index = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), index);
  if (error != std::errc() || end != word.data() + word.size()) {
    return base::InvalidArgument("bad number {} in a mount template", base::Quote(word));
  }
  if (index < 0 || static_cast<size_t>(index) >= active.size()) {
    return base::InvalidArgument("index out of bounds: {}, has {} active mounts", index,
                                 active.size());
  }
  return static_cast<size_t>(index);
}

std::string MountPoints(size_t from, size_t to, const Active& active) {
  std::string joined = active[from].mount_point;
  while (from != to) {
    from = from < to ? from + 1 : from - 1;
    joined += ":" + active[from].mount_point;
  }
  return joined;
}

absl::StatusOr<std::string> Meaning(std::string_view expression, const Active& active) {
  const std::vector<std::string_view> words = WordsOf(expression);
  if (words.size() == 3 && words[0] == "overlay") {
    ASSIGN_OR_RETURN(const size_t from, IndexOf(words[1], active));
    ASSIGN_OR_RETURN(const size_t to, IndexOf(words[2], active));
    return MountPoints(from, to, active);
  }
  if (words.size() == 2 && (words[0] == "mount" || words[0] == "source" || words[0] == "target")) {
    ASSIGN_OR_RETURN(const size_t index, IndexOf(words[1], active));
    const ActiveMount& mount = active[index];
    if (words[0] == "mount") return mount.mount_point;
    return words[0] == "source" ? mount.mount.source : mount.mount.target;
  }
  return base::InvalidArgument("unknown mount template {}",
                               base::Quote(fmt::format("{}{}{}", kOpen, expression, kClose)));
}

}  // namespace

absl::StatusOr<std::string> Expand(std::string_view text, const Active& active) {
  std::string result;
  while (true) {
    const size_t open = text.find(kOpen);
    result += text.substr(0, open);
    if (open == std::string_view::npos) return result;
    text.remove_prefix(open + kOpen.size());
    const size_t close = text.find(kClose);
    if (close == std::string_view::npos) {
      return base::InvalidArgument("mount template {} does not end", base::Quote(text));
    }
    ASSIGN_OR_RETURN(const std::string meaning, Meaning(text.substr(0, close), active));
    result += meaning;
    text.remove_prefix(close + kClose.size());
  }
}

absl::Status ExpandMount(base::Mount& mount, const Active& active) {
  ASSIGN_OR_RETURN(mount.source, Expand(mount.source, active));
  ASSIGN_OR_RETURN(mount.target, Expand(mount.target, active));
  for (std::string& option : mount.options) {
    ASSIGN_OR_RETURN(option, Expand(option, active));
  }
  return absl::OkStatus();
}

bool HasTemplate(const base::Mount& mount) {
  const auto has = [](std::string_view text) { return text.find(kOpen) != text.npos; };
  return has(mount.source) || has(mount.target) ||
         std::any_of(mount.options.begin(), mount.options.end(), has);
}

}  // namespace ctrd::mounts
