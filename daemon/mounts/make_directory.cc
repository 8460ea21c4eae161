// SPDX-License-Identifier: Apache-2.0
#include "daemon/mounts/make_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/identifiers.h"
#include "base/mount_options.h"
#include "base/open_beneath.h"
#include "base/status.h"
#include "daemon/mounts/allowed_path.h"

namespace ctrd::mounts {
namespace {

constexpr std::string_view kPath = "X-containerd.mkdir.path=";

struct Wanted {
  std::string path;
  mode_t mode = 0700;
  uid_t uid = 0;
  gid_t gid = 0;
};

bool ReadNumber(std::string_view text, int radix, uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, radix);
  return error == std::errc() && end == text.data() + text.size();
}

absl::StatusOr<Wanted> ParseWanted(std::string_view value) {
  const std::vector<std::string> parts = base::SplitUnescaped(value, ':');
  Wanted wanted{.path = base::Unescape(parts[0])};
  uint32_t mode = wanted.mode;
  const bool good = (parts.size() == 1 || parts.size() == 2 || parts.size() == 4) &&
                    (parts.size() < 2 || (ReadNumber(parts[1], 8, mode) && mode <= 07777)) &&
                    (parts.size() < 4 || (ReadNumber(parts[2], 10, wanted.uid) &&
                                          ReadNumber(parts[3], 10, wanted.gid)));
  if (!good) return base::InvalidArgument("invalid mkdir option {}", base::Quote(value));
  wanted.mode = mode;
  return wanted;
}

absl::Status CheckExisting(const Wanted& wanted, int directory) {
  struct stat info = {};
  if (::fstat(directory, &info) != 0) return base::ErrnoStatus("stat", wanted.path);
  if ((info.st_mode & 07777) != wanted.mode) {
    return base::Unimplemented("directory {} has mode {:o}, not {:o}", base::Quote(wanted.path),
                               info.st_mode & 07777, wanted.mode);
  }
  if (info.st_uid != wanted.uid || info.st_gid != wanted.gid) {
    return base::Unimplemented("directory {} belongs to {}:{}, not {}:{}", base::Quote(wanted.path),
                               info.st_uid, info.st_gid, wanted.uid, wanted.gid);
  }
  return absl::OkStatus();
}

absl::Status MakeOne(const Wanted& wanted, const std::vector<std::string>& roots) {
  ASSIGN_OR_RETURN(const AllowedPath allowed, FindAllowed(wanted.path, roots, "mkdir"));
  const bool made = ::mkdirat(allowed.directory.get(), allowed.name.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return base::ErrnoStatus("mkdir", wanted.path);
  ASSIGN_OR_RETURN(
      const base::UniqueFd directory,
      base::OpenBeneath(allowed.directory.get(), allowed.name, O_RDONLY | O_DIRECTORY));
  if (!made) return CheckExisting(wanted, directory.get());
  // The owner first: changing it may take set-id bits away.
  if (::fchown(directory.get(), wanted.uid, wanted.gid) != 0) {
    return base::ErrnoStatus("chown", wanted.path);
  }
  if (::fchmod(directory.get(), wanted.mode) != 0) return base::ErrnoStatus("chmod", wanted.path);
  return absl::OkStatus();
}

}  // namespace

absl::Status MakeDirectoriesOf(base::Mount& mount, const std::vector<std::string>& roots) {
  std::vector<std::string> kept;
  for (const std::string& option : mount.options) {
    if (!std::string_view(option).starts_with(kPath)) {
      kept.push_back(option);
      continue;
    }
    ASSIGN_OR_RETURN(const Wanted wanted,
                     ParseWanted(std::string_view(option).substr(kPath.size())));
    RETURN_IF_ERROR(MakeOne(wanted, roots));
  }
  mount.options = std::move(kept);
  return absl::OkStatus();
}

}  // namespace ctrd::mounts
