// SPDX-License-Identifier: Apache-2.0
#include "images/archive/apply.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <climits>
#include <unordered_set>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "images/archive/metadata.h"
#include "images/archive/tar_reader.h"
#include "images/archive/tree_root.h"

namespace ctrd::archive {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueMarker = ".wh..wh..opq";
constexpr char kOpaqueXattr[] = "trusted.overlay.opaque";

bool IsWhiteoutDevice(const struct stat& file) {
  return S_ISCHR(file.st_mode) && file.st_rdev == ::makedev(0, 0);
}

// One extraction.
class Extraction {
 public:
  Extraction(const base::Context& context, TarReader& reader, int root,
             const ApplyTarOptions& options)
      : context_(context), reader_(reader), root_(root), tree_(root), options_(options) {}

  absl::Status Run();

 private:
  // Where an entry goes: a directory inside the root and one component in it.
  struct Place {
    int directory;
    const std::string& base;
    const std::string& name;  // Clean, below the root.
  };

  absl::Status OpenLowers();
  absl::Status ApplyEntry(const TarEntry& entry);
  absl::StatusOr<int> ParentFor(const std::string& parent);
  absl::Status FurnishParent(int directory, const std::string& name);
  absl::Status ApplyWhiteout(const TarEntry& entry, const Place& place);
  absl::Status WriteWhiteout(const TarEntry& entry, const Place& place, const std::string& victim);
  absl::Status MakeOpaque(const Place& place);
  absl::Status RemoveUnwritten(int directory, const std::string& path);

  absl::Status MakeObject(const TarEntry& entry, const Place& place);
  absl::Status MakeFile(const TarEntry& entry, const Place& place);
  absl::Status MakeDirectory(const TarEntry& entry, const Place& place);
  absl::Status MakeLink(const TarEntry& entry, const Place& place);
  absl::Status MakeOther(const TarEntry& entry, const Place& place);
  // Runs `make`; if the name is taken, removes what has it and runs it again.
  template <typename Make>
  absl::Status MakeReplacing(const Place& place, const char* call, const Make& make);
  absl::Status Furnish(const TarEntry& entry, const Place& place);
  absl::Status ApplyDirectoryTimes();

  // Removal mode keeps the real paths of what it wrote, for opaque markers.
  absl::StatusOr<std::string> RealPath(int directory);
  absl::Status NoteWritten(int directory, const std::string& base);

  const base::Context& context_;
  TarReader& reader_;
  const int root_;
  TreeRoot tree_;
  const ApplyTarOptions& options_;
  std::vector<base::UniqueFd> lowers_;
  std::vector<std::pair<std::string, EntryTimes>> directory_times_;
  std::unordered_set<std::string> written_;
};

absl::Status Extraction::Run() {
  RETURN_IF_ERROR(OpenLowers());
  while (true) {
    RETURN_IF_ERROR(context_.Check());
    ASSIGN_OR_RETURN(const TarEntry* entry, reader_.Next());
    if (entry == nullptr) break;
    if (entry->type == TarType::kPaxGlobal) continue;
    RETURN_IF_ERROR(ApplyEntry(*entry));
  }
  RETURN_IF_ERROR(reader_.Drain());
  return ApplyDirectoryTimes();
}

absl::Status Extraction::OpenLowers() {
  for (const std::string& path : options_.lower_directories) {
    ASSIGN_OR_RETURN(base::UniqueFd lower, base::Open(path, O_PATH | O_DIRECTORY));
    lowers_.push_back(std::move(lower));
  }
  return absl::OkStatus();
}

absl::Status Extraction::ApplyEntry(const TarEntry& entry) {
  const std::string name = CleanName(entry.name);
  if (name.empty()) return absl::OkStatus();  // The root keeps what the snapshotter gave it.
  const bool device =
      entry.type == TarType::kBlockDevice || entry.type == TarType::kCharacterDevice;
  if (device && options_.in_user_namespace) {
    base::LogWarn("device is not made in a user namespace, ignoring", {{"name", name}});
    return absl::OkStatus();
  }
  const SplitName split(name);
  ASSIGN_OR_RETURN(const int directory, ParentFor(split.parent));
  const Place place = {directory, split.base, name};
  if (split.base.starts_with(kWhiteoutPrefix)) return ApplyWhiteout(entry, place);
  if (options_.whiteouts == WhiteoutMode::kRemove) {
    RETURN_IF_ERROR(NoteWritten(directory, split.base));
  }
  return MakeObject(entry, place);
}

absl::StatusOr<int> Extraction::ParentFor(const std::string& parent) {
  return tree_.Directory(parent, [this](int directory, const std::string& name) {
    return FurnishParent(directory, name);
  });
}

// Gives a directory that the layer did not mention what the nearest layer below has for it.
absl::Status Extraction::FurnishParent(int directory, const std::string& name) {
  if (options_.lowers_unknown) {
    return absl::AbortedError(fmt::format("the layers below know directory \"{}\"", name));
  }
  const Object made = {directory, name, false};
  for (const base::UniqueFd& lower : lowers_) {
    const base::UniqueFd probe = OpenInTree(lower.get(), name, O_PATH);
    if (!probe.valid()) continue;
    struct stat found;
    if (::fstat(probe.get(), &found) != 0) return base::ErrnoStatus("stat", name);
    if (!S_ISDIR(found.st_mode)) break;
    const base::UniqueFd below(::openat(probe.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!below.valid()) return base::ErrnoStatus("open", name);
    RETURN_IF_ERROR(CopyUp({below.get(), name, false}, found, made));
    TarEntry times;
    times.atime = found.st_atim;
    times.mtime = found.st_mtim;
    directory_times_.emplace_back(name, EntryTimes(times));
    return absl::OkStatus();
  }
  if (::geteuid() == 0) RETURN_IF_ERROR(SetOwner(made, 0, 0));
  return SetMode(made, 0755);
}

absl::Status Extraction::ApplyWhiteout(const TarEntry& entry, const Place& place) {
  if (place.base == kOpaqueMarker) return MakeOpaque(place);
  const std::string victim = place.base.substr(kWhiteoutPrefix.size());
  if (victim.empty() || victim == "." || victim == "..") {
    return base::Unknown("invalid whiteout name: {}: invalid archive", place.base);
  }
  if (options_.whiteouts == WhiteoutMode::kOverlay) return WriteWhiteout(entry, place, victim);
  return base::Annotate(tree_.Remove(place.directory, victim),
                        fmt::format("failed to convert whiteout file \"{}\"", entry.name));
}

absl::Status Extraction::WriteWhiteout(const TarEntry& entry, const Place& place,
                                       const std::string& victim) {
  if (::mknodat(place.directory, victim.c_str(), S_IFCHR, ::makedev(0, 0)) != 0) {
    return base::Annotate(base::ErrnoStatus("mknod", victim),
                          fmt::format("failed to convert whiteout file \"{}\"", entry.name));
  }
  const base::UniqueFd made(
      ::openat(place.directory, victim.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!made.valid()) return base::ErrnoStatus("open", victim);
  return SetOwner({made.get(), place.name, true}, entry.uid, entry.gid);
}

absl::Status Extraction::MakeOpaque(const Place& place) {
  if (options_.whiteouts == WhiteoutMode::kOverlay) {
    if (::fsetxattr(place.directory, kOpaqueXattr, "y", 1, 0) != 0) {
      return base::ErrnoStatus("setxattr trusted.overlay.opaque", place.name);
    }
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string path, RealPath(place.directory));
  const absl::Status removed = RemoveUnwritten(place.directory, path);
  tree_.Forget();
  return removed;
}

absl::Status Extraction::RemoveUnwritten(int directory, const std::string& path) {
  const int scan = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (scan < 0) return base::ErrnoStatus("open", path);
  DIR* listing = ::fdopendir(scan);
  if (listing == nullptr) {
    ::close(scan);
    return base::ErrnoStatus("fdopendir", path);
  }
  absl::Status status;
  while (status.ok()) {
    const dirent* entry = ::readdir(listing);
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string child = fmt::format("{}/{}", path, name);
    if (!written_.contains(child)) {
      status = tree_.Remove(scan, name);
      continue;
    }
    base::UniqueFd below(
        ::openat(scan, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (below.valid()) status = RemoveUnwritten(below.get(), child);
  }
  ::closedir(listing);
  return status;
}

template <typename Make>
absl::Status Extraction::MakeReplacing(const Place& place, const char* call, const Make& make) {
  if (make() == 0) return absl::OkStatus();
  if (errno != EEXIST) return base::ErrnoStatus(call, place.name);
  RETURN_IF_ERROR(tree_.Remove(place.directory, place.base));
  return make() == 0 ? absl::OkStatus() : base::ErrnoStatus(call, place.name);
}

absl::Status Extraction::MakeObject(const TarEntry& entry, const Place& place) {
  switch (entry.type) {
    case TarType::kRegular:
      return MakeFile(entry, place);
    case TarType::kDirectory:
      return MakeDirectory(entry, place);
    case TarType::kHardLink:
      return MakeLink(entry, place);
    case TarType::kSymbolicLink:
    case TarType::kCharacterDevice:
    case TarType::kBlockDevice:
    case TarType::kFifo:
      return MakeOther(entry, place);
    default:
      return base::Unknown("unhandled tar header type {}",
                           static_cast<int>(static_cast<uint8_t>(entry.type)));
  }
}

absl::Status Extraction::MakeFile(const TarEntry& entry, const Place& place) {
  base::UniqueFd file;
  RETURN_IF_ERROR(MakeReplacing(place, "open", [&] {
    file.Reset(::openat(place.directory, place.base.c_str(),
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, entry.mode & 0777));
    return file.valid() ? 0 : -1;
  }));
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view data, reader_.ReadData());
    if (data.empty()) break;
    RETURN_IF_ERROR(base::WriteAll(file.get(), data, place.name));
    RETURN_IF_ERROR(context_.Check());
  }
  const Object object = {file.get(), place.name, false};
  RETURN_IF_ERROR(SetOwner(object, entry.uid, entry.gid));
  RETURN_IF_ERROR(SetXattrs(object, entry.xattrs, true));
  RETURN_IF_ERROR(SetMode(object, entry.mode));
  return SetTimes(object, EntryTimes(entry));
}

absl::Status Extraction::MakeDirectory(const TarEntry& entry, const Place& place) {
  bool replaces_whiteout = false;
  if (::mkdirat(place.directory, place.base.c_str(), 0755) != 0) {
    struct stat old;
    if (errno != EEXIST ||
        ::fstatat(place.directory, place.base.c_str(), &old, AT_SYMLINK_NOFOLLOW) != 0) {
      return base::ErrnoStatus("mkdir", place.name);
    }
    if (!S_ISDIR(old.st_mode)) {
      replaces_whiteout = options_.whiteouts == WhiteoutMode::kOverlay && IsWhiteoutDevice(old);
      RETURN_IF_ERROR(tree_.Remove(place.directory, place.base));
      if (::mkdirat(place.directory, place.base.c_str(), 0755) != 0) {
        return base::ErrnoStatus("mkdir", place.name);
      }
    }
  }
  base::UniqueFd made(::openat(place.directory, place.base.c_str(),
                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!made.valid()) return base::ErrnoStatus("open", place.name);
  // Deleted and made anew in one layer: without this the lower layers' files would show again.
  if (replaces_whiteout && ::fsetxattr(made.get(), kOpaqueXattr, "y", 1, 0) != 0) {
    return base::ErrnoStatus("setxattr trusted.overlay.opaque", place.name);
  }
  const Object object = {made.get(), place.name, false};
  RETURN_IF_ERROR(SetOwner(object, entry.uid, entry.gid));
  RETURN_IF_ERROR(SetXattrs(object, entry.xattrs, true));
  RETURN_IF_ERROR(SetMode(object, entry.mode));
  directory_times_.emplace_back(place.name, EntryTimes(entry));  // What follows changes them again.
  // Its own files are likely to come next. No link was followed for the last component.
  tree_.Remember(place.name, std::move(made));
  return absl::OkStatus();
}

absl::Status Extraction::MakeLink(const TarEntry& entry, const Place& place) {
  const SplitName target(CleanName(entry.link));
  // Not through tree_: its one remembered directory is the one we are about to write into.
  const base::UniqueFd directory = OpenInTree(root_, target.parent, O_PATH | O_DIRECTORY);
  if (!directory.valid()) return base::ErrnoStatus("link", entry.link);
  const std::string last = target.base.empty() ? "." : target.base;
  RETURN_IF_ERROR(MakeReplacing(place, "link", [&] {
    return ::linkat(directory.get(), last.c_str(), place.directory, place.base.c_str(), 0);
  }));
  return Furnish(entry, place);
}

absl::Status Extraction::MakeOther(const TarEntry& entry, const Place& place) {
  RETURN_IF_ERROR(MakeReplacing(place, "mknod", [&] {
    const char* base = place.base.c_str();
    switch (entry.type) {
      case TarType::kSymbolicLink:
        return ::symlinkat(entry.link.c_str(), place.directory, base);
      case TarType::kFifo:
        return ::mknodat(place.directory, base, S_IFIFO | entry.mode, 0);
      default:
        return ::mknodat(place.directory, base,
                         (entry.type == TarType::kBlockDevice ? S_IFBLK : S_IFCHR) | entry.mode,
                         ::makedev(entry.device_major, entry.device_minor));
    }
  }));
  return Furnish(entry, place);
}

// The metadata of what cannot be opened, or must not: links, devices, fifos.
absl::Status Extraction::Furnish(const TarEntry& entry, const Place& place) {
  const base::UniqueFd made(
      ::openat(place.directory, place.base.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!made.valid()) return base::ErrnoStatus("open", place.name);
  struct stat file;
  if (::fstat(made.get(), &file) != 0) return base::ErrnoStatus("stat", place.name);
  const Object object = {made.get(), place.name, true};
  RETURN_IF_ERROR(SetOwner(object, entry.uid, entry.gid));
  RETURN_IF_ERROR(SetXattrs(object, entry.xattrs, S_ISREG(file.st_mode) || S_ISDIR(file.st_mode)));
  // A hard link may be one to a symbolic link, which has no mode of its own.
  if (!S_ISLNK(file.st_mode)) RETURN_IF_ERROR(SetMode(object, entry.mode));
  return SetTimes(object, EntryTimes(entry));
}

absl::Status Extraction::ApplyDirectoryTimes() {
  for (const auto& [name, times] : directory_times_) {
    const SplitName split(name);
    // Not cached: each is visited once, and most have a parent of their own.
    const base::UniqueFd parent = OpenInTree(root_, split.parent, O_PATH | O_DIRECTORY);
    if (!parent.valid()) continue;  // Removed or replaced by a later entry.
    const base::UniqueFd directory(::openat(parent.get(), split.base.c_str(),
                                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (directory.valid()) RETURN_IF_ERROR(SetTimes({directory.get(), name, false}, times));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Extraction::RealPath(int directory) {
  char path[PATH_MAX];
  const ssize_t length =
      ::readlink(fmt::format("/proc/self/fd/{}", directory).c_str(), path, sizeof(path));
  if (length < 0) return base::ErrnoStatus("readlink", "/proc/self/fd");
  return std::string(path, static_cast<size_t>(length));
}

absl::Status Extraction::NoteWritten(int directory, const std::string& base) {
  ASSIGN_OR_RETURN(std::string path, RealPath(directory));
  written_.insert(fmt::format("{}/{}", path, base));
  // The directories on the way stay too, for what is in them.
  while (!path.empty() && written_.insert(path).second) path.resize(path.rfind('/'));
  return absl::OkStatus();
}

}  // namespace

bool InUserNamespace() {
  const absl::StatusOr<std::string> map = base::ReadFile("/proc/self/uid_map", 64 << 10);
  if (!map.ok()) return false;
  std::string compact;
  for (const char c : *map) {
    if (c != ' ' && c != '\t') compact += c;
  }
  return compact != "004294967295\n";  // 0 0 4294967295
}

absl::Status ApplyTar(const base::Context& context, ByteSource& source, int root,
                      const ApplyTarOptions& options) {
  TarReader reader(source);
  return Extraction(context, reader, root, options).Run();
}

}  // namespace ctrd::archive
