// SPDX-License-Identifier: Apache-2.0
#include "daemon/mounts/allowed_path.h"

#include <fcntl.h>

#include "base/files.h"
#include "base/identifiers.h"
#include "base/open_beneath.h"
#include "base/status.h"

namespace ctrd::mounts {
namespace {

bool IsPlain(std::string_view path) {
  if (!path.starts_with('/') || path.ends_with('/')) return false;
  const std::string parts = fmt::format("{}/", path);
  for (const char* bad : {"//", "/./", "/../"}) {
    if (parts.find(bad) != std::string::npos) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<AllowedPath> FindAllowed(const std::string& path,
                                        const std::vector<std::string>& roots,
                                        std::string_view purpose) {
  if (!IsPlain(path)) return base::InvalidArgument("path {} is not plain", base::Quote(path));
  for (const std::string& root : roots) {
    if (!path.starts_with(root + "/")) continue;
    const std::string below = path.substr(root.size() + 1);
    const size_t slash = below.find_last_of('/');
    AllowedPath allowed;
    ASSIGN_OR_RETURN(allowed.directory, base::Open(root, O_PATH | O_DIRECTORY));
    if (slash != std::string::npos) {
      ASSIGN_OR_RETURN(
          allowed.directory,
          base::OpenBeneath(allowed.directory.get(), below.substr(0, slash), O_PATH | O_DIRECTORY));
    }
    allowed.name = slash == std::string::npos ? below : below.substr(slash + 1);
    return allowed;
  }
  return base::Unimplemented("no root {} configured for {}", base::Quote(path), purpose);
}

}  // namespace ctrd::mounts
