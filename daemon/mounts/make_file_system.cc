// SPDX-License-Identifier: Apache-2.0
#include "daemon/mounts/make_file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/identifiers.h"
#include "base/open_beneath.h"
#include "base/process.h"
#include "base/status.h"
#include "daemon/mounts/allowed_path.h"

namespace ctrd::mounts {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);
constexpr std::string_view kPrefix = "X-containerd.mkfs.";
constexpr std::array<std::string_view, 4> kFileSystems = {"ext2", "ext3", "ext4", "xfs"};

struct Wanted {
  int64_t size_bytes = 0;
  std::string type = "ext4";
  std::string uuid;
};

// "1048576", "64MiB", "1G": units are powers of 1024, with "B" alone or "kB" those of 1000.
absl::StatusOr<int64_t> ParseSize(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit(end, text.data() + text.size());
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) { return std::tolower(c); });
  const int64_t base = unit.size() == 2 && unit[1] == 'b' ? 1000 : 1024;
  if (unit.ends_with("ib")) unit.resize(unit.size() - 2);
  if (unit.ends_with("b")) unit.resize(unit.size() - 1);
  const size_t power = unit.empty() ? 0 : std::string_view("kmgt").find(unit) + 1;
  const bool known = unit.empty() || (unit.size() == 1 && power > 0);
  if (error != std::errc() || number <= 0 || !known) {
    return base::InvalidArgument("invalid mkfs size {}", base::Quote(text));
  }
  for (size_t i = 0; i < power; ++i) {
    if (__builtin_mul_overflow(number, base, &number)) {
      return base::InvalidArgument("mkfs size {} is too large", base::Quote(text));
    }
  }
  return number;
}

bool IsUuid(std::string_view text) {
  constexpr std::string_view kShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  return std::ranges::equal(text, kShape, [](unsigned char character, char shape) {
    return shape == 'x' ? std::isxdigit(character) != 0 : character == '-';
  });
}

absl::StatusOr<Wanted> TakeOptions(base::Mount& mount) {
  Wanted wanted;
  std::vector<std::string> kept;
  for (const std::string& option : mount.options) {
    const std::string_view view = option;
    if (!view.starts_with(kPrefix)) {
      kept.push_back(option);
      continue;
    }
    const size_t equals = std::min(view.find('='), view.size());
    const std::string_view key = view.substr(kPrefix.size(), equals - kPrefix.size());
    const std::string_view value = view.substr(std::min(equals + 1, view.size()));
    if (key == "size") {
      ASSIGN_OR_RETURN(wanted.size_bytes, ParseSize(value));
    } else if (key == "fs" && std::ranges::find(kFileSystems, value) != kFileSystems.end()) {
      wanted.type = value;
    } else if (key == "uuid" && IsUuid(value)) {
      wanted.uuid = value;
    } else {
      return base::InvalidArgument("invalid mkfs option {}", base::Quote(option));
    }
  }
  if (wanted.size_bytes == 0) return base::InvalidArgument("mkfs needs {}size", kPrefix);
  mount.options = std::move(kept);
  return wanted;
}

absl::Status RunMkfs(const Wanted& wanted, int file, const std::string& path) {
  constexpr int kFile = 3;
  base::SpawnOptions spawn{.argv = {"mkfs." + wanted.type, "-q"},
                           .environment = base::CurrentEnvironment(),
                           .working_directory = "",
                           .descriptors = {{file, kFile}}};
  if (wanted.type == "xfs") {
    spawn.argv.push_back("-f");
    if (!wanted.uuid.empty()) spawn.argv.insert(spawn.argv.end(), {"-m", "uuid=" + wanted.uuid});
  } else {
    spawn.argv.push_back("-F");
    if (!wanted.uuid.empty()) spawn.argv.insert(spawn.argv.end(), {"-U", wanted.uuid});
  }
  spawn.argv.push_back(fmt::format("/proc/self/fd/{}", kFile));
  ASSIGN_OR_RETURN(const base::RunResult result,
                   base::Run(std::move(spawn), "", absl::Now() + kPatience));
  if (result.exit_code == 0) return absl::OkStatus();
  return base::Unknown("mkfs.{} of '{}': exit status {}: {}", wanted.type, path, result.exit_code,
                       result.output);
}

}  // namespace

absl::Status MakeFileSystem(base::Mount& mount, const std::vector<std::string>& roots) {
  ASSIGN_OR_RETURN(const Wanted wanted, TakeOptions(mount));
  const std::string& path = mount.source;
  ASSIGN_OR_RETURN(const AllowedPath allowed, FindAllowed(path, roots, "mkfs"));
  const int directory = allowed.directory.get();
  if (base::OpenBeneath(directory, allowed.name, O_PATH).ok()) return absl::OkStatus();
  // Under another name until it is whole.
  const std::string temporary = fmt::format(".{}-{}", allowed.name, base::GenerateName());
  ASSIGN_OR_RETURN(const base::UniqueFd file,
                   base::OpenBeneath(directory, temporary, O_RDWR | O_CREAT | O_EXCL, 0640));
  const absl::Cleanup remove = [&] { (void)::unlinkat(directory, temporary.c_str(), 0); };
  if (::fchmod(file.get(), 0640) != 0) return base::ErrnoStatus("chmod", path);
  if (::ftruncate(file.get(), wanted.size_bytes) != 0) return base::ErrnoStatus("truncate", path);
  RETURN_IF_ERROR(RunMkfs(wanted, file.get(), path));
  if (::fsync(file.get()) != 0) return base::ErrnoStatus("fsync", path);
  // A link, not a rename: who was faster keeps the file that may be in use already.
  if (::linkat(directory, temporary.c_str(), directory, allowed.name.c_str(), 0) != 0 &&
      errno != EEXIST) {
    return base::ErrnoStatus("link", path);
  }
  return absl::OkStatus();
}

}  // namespace ctrd::mounts
