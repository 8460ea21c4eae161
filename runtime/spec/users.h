// SPDX-License-Identifier: Apache-2.0
// From the words of an image or a command line ("app", "1000:staff") to numbers, by the container's
// own /etc/passwd and /etc/group.
//
// Those files come from the image: their readers must be confined to its root, refuse what is no
// regular file and stop at kAccountFileLimit. A string of digits is always a number, and a number
// that does not fit is an error: it becomes neither a name nor, by wrapping around, root.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ctrd::runtime {

inline constexpr size_t kAccountFileLimit = 10 << 20;

// Reads "etc/passwd" or "etc/group". kNotFound if there is none.
using AccountFileReader = std::function<absl::StatusOr<std::string>(const std::string& path)>;

// A reader of the files below `root`, a directory: confined to it, regular files only, limited.
AccountFileReader ReadAccountFilesBelow(const std::string& root);

struct UserIds {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;  // The primary group first.

  friend bool operator==(const UserIds&, const UserIds&) = default;
};

// Whose memberships in /etc/group count.
enum class Memberships {
  kOfResultingUser,  // The user of an image: by its uid, mapped back to a name.
  kOfGivenText,      // The user of a command line: by the text as it was given.
};

// Accepts user, uid, user:group, uid:gid, uid:group, user:gid. "" is root.
//   "invalid USER value …"  malformed or out of range
//   "no users found", "no groups found"
absl::StatusOr<UserIds> ResolveUser(std::string_view user, Memberships memberships,
                                    const AccountFileReader& read);

}  // namespace ctrd::runtime
