// SPDX-License-Identifier: Apache-2.0
#include "runtime/spec/users.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/files.h"
#include "base/identifiers.h"
#include "base/status.h"

namespace ctrd::runtime {
namespace {

constexpr uint32_t kMaximumId = 2147483647;

struct PasswdEntry {
  std::string_view name;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct GroupEntry {
  std::string_view name;
  uint32_t gid = 0;
  std::string_view members;
};

bool IsNumber(std::string_view text) {
  const size_t digits = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  return text.size() > digits && std::all_of(text.begin() + digits, text.end(),
                                             [](char c) { return c >= '0' && c <= '9'; });
}

// A number of the range that an id may have; nullopt for everything else.
std::optional<uint32_t> ParseId(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > kMaximumId) {
    return std::nullopt;
  }
  return static_cast<uint32_t>(value);
}

std::vector<std::string_view> SplitFields(std::string_view line, char separator) {
  std::vector<std::string_view> fields;
  while (true) {
    const size_t end = line.find(separator);
    fields.push_back(line.substr(0, end));
    if (end == std::string_view::npos) return fields;
    line.remove_prefix(end + 1);
  }
}

// Calls `visit` with the fields of each line that has some, until it returns false.
template <typename Visit>
void ForEachLine(std::string_view file, Visit visit) {
  while (!file.empty()) {
    const size_t end = std::min(file.find('\n'), file.size());
    const std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.empty() || line.starts_with('#')) continue;
    if (!visit(SplitFields(line, ':'))) return;
  }
}

// Lines whose numbers are malformed or out of range stand for nobody.
template <typename Matches>
std::optional<PasswdEntry> FindUser(std::string_view passwd, Matches matches) {
  std::optional<PasswdEntry> found;
  ForEachLine(passwd, [&](const std::vector<std::string_view>& fields) {
    if (fields.size() < 4) return true;
    const auto uid = ParseId(fields[2]);
    const auto gid = ParseId(fields[3]);
    if (!uid || !gid) return true;
    const PasswdEntry entry{fields[0], *uid, *gid};
    if (matches(entry)) found = entry;
    return !found;
  });
  return found;
}

template <typename Visit>
void ForEachGroup(std::string_view group, Visit visit) {
  ForEachLine(group, [&](const std::vector<std::string_view>& fields) {
    if (fields.size() < 3) return true;
    const auto gid = ParseId(fields[2]);
    if (!gid) return true;
    return visit(GroupEntry{fields[0], *gid, fields.size() > 3 ? fields[3] : std::string_view()});
  });
}

std::vector<uint32_t> GroupsOf(std::string_view name, std::string_view group) {
  std::vector<uint32_t> gids;
  ForEachGroup(group, [&](const GroupEntry& entry) {
    if (entry.name == name) return true;  // The user's own group is no supplementary one.
    const auto members = SplitFields(entry.members, ',');
    if (std::find(members.begin(), members.end(), name) != members.end()) gids.push_back(entry.gid);
    return true;
  });
  return gids;
}

absl::Status InvalidUser(std::string_view user, std::string_view reason) {
  return base::Unknown("invalid USER value {}: {}", base::Quote(user), reason);
}

class Resolver {
 public:
  explicit Resolver(const AccountFileReader& read) : read_(read) {}

  absl::Status SetUser(std::string_view text, std::string_view whole) {
    if (IsNumber(text)) {
      const auto uid = ParseId(text);
      if (!uid) return InvalidUser(whole, "uid out of range");
      ids_.uid = *uid;
      ids_.gid = 0;
      ASSIGN_OR_RETURN(const std::string passwd, ReadIfThere("etc/passwd"));
      if (auto entry = FindUser(passwd, [&](const auto& e) { return e.uid == *uid; })) {
        ids_.gid = entry->gid;
      }
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::string passwd, read_("etc/passwd"));
    const auto entry = FindUser(passwd, [&](const auto& e) { return e.name == text; });
    if (!entry) return base::Unknown("no users found");
    ids_.uid = entry->uid;
    ids_.gid = entry->gid;
    return absl::OkStatus();
  }

  absl::Status SetUid(std::string_view text, std::string_view whole) {  // Without a look at files.
    const auto uid = ParseId(text);
    if (!uid) return InvalidUser(whole, "uid out of range");
    ids_.uid = *uid;
    return absl::OkStatus();
  }

  absl::Status SetGroup(std::string_view text, std::string_view whole) {
    if (IsNumber(text)) {
      const auto gid = ParseId(text);
      if (!gid) return InvalidUser(whole, "gid out of range");
      ids_.gid = *gid;
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::string group, read_("etc/group"));
    bool found = false;
    ForEachGroup(group, [&](const GroupEntry& entry) {
      if (entry.name == text) {
        found = true;
        ids_.gid = entry.gid;
      }
      return !found;
    });
    return found ? absl::OkStatus() : base::Unknown("no groups found");
  }

  absl::Status AddMemberships(Memberships memberships, std::string_view given) {
    ids_.additional_gids = {ids_.gid};
    std::string name(given);
    if (memberships == Memberships::kOfResultingUser) {
      ASSIGN_OR_RETURN(const std::string passwd, ReadIfThere("etc/passwd"));
      const auto entry = FindUser(passwd, [&](const auto& e) { return e.uid == ids_.uid; });
      if (!entry) return absl::OkStatus();
      name = std::string(entry->name);
    }
    ASSIGN_OR_RETURN(const std::string group, ReadIfThere("etc/group"));
    for (uint32_t gid : GroupsOf(name, group)) {
      if (std::find(ids_.additional_gids.begin(), ids_.additional_gids.end(), gid) ==
          ids_.additional_gids.end()) {
        ids_.additional_gids.push_back(gid);
      }
    }
    return absl::OkStatus();
  }

  UserIds Take() { return std::move(ids_); }

 private:
  absl::StatusOr<std::string> ReadIfThere(const std::string& path) {
    auto data = read_(path);
    if (!data.ok() && absl::IsNotFound(data.status())) return std::string();
    return data;
  }

  const AccountFileReader& read_;
  UserIds ids_;
};

absl::StatusOr<std::string> ReadAccountFile(const std::string& root, const std::string& path) {
  ASSIGN_OR_RETURN(base::UniqueFd directory, base::Open(root, O_RDONLY | O_DIRECTORY));
  // O_NONBLOCK: a FIFO in the image must not hold us.
  ASSIGN_OR_RETURN(base::UniqueFd file,
                   base::OpenInRoot(directory.get(), path, O_RDONLY | O_NONBLOCK));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return base::ErrnoStatus("stat", path);
  if (!S_ISREG(info.st_mode)) return base::Unknown("{} is not a regular file", base::Quote(path));
  auto data = base::ReadAll(file.get(), path, kAccountFileLimit);
  if (!data.ok() && absl::IsResourceExhausted(data.status())) {
    return base::Unknown("{} exceeds {} bytes", base::Quote(path), kAccountFileLimit);
  }
  return data;
}

}  // namespace

AccountFileReader ReadAccountFilesBelow(const std::string& root) {
  return [root](const std::string& path) { return ReadAccountFile(root, path); };
}

absl::StatusOr<UserIds> ResolveUser(std::string_view user, Memberships memberships,
                                    const AccountFileReader& read) {
  Resolver resolver(read);
  const std::vector<std::string_view> parts = SplitFields(user, ':');
  if (parts.size() > 2) return base::Unknown("invalid USER value {}", user);
  if (user.empty()) {
    RETURN_IF_ERROR(resolver.SetUid("0", user));
  } else if (parts.size() == 2 && IsNumber(parts[0]) && IsNumber(parts[1])) {
    RETURN_IF_ERROR(resolver.SetUid(parts[0], user));
    RETURN_IF_ERROR(resolver.SetGroup(parts[1], user));
  } else {
    RETURN_IF_ERROR(resolver.SetUser(parts[0], user));
    if (parts.size() == 2) RETURN_IF_ERROR(resolver.SetGroup(parts[1], user));
  }
  RETURN_IF_ERROR(resolver.AddMemberships(memberships, user));
  return resolver.Take();
}

}  // namespace ctrd::runtime
