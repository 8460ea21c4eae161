// SPDX-License-Identifier: Apache-2.0
#include "ctr/remap.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "base/digest.h"
#include "base/files.h"
#include "base/json.h"
#include "base/mount.h"
#include "ctr/output.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::snapshots::v1;
using Stub = api::Snapshots::Stub;

class Shifter {
 public:
  explicit Shifter(const IdMaps& maps) : maps_(maps) {}

  // The directory `directory` itself and all below it; `path` is for people.
  absl::Status ShiftTree(base::UniqueFd directory, const std::string& path) {
    struct stat info {};
    if (::fstat(directory.get(), &info) != 0) return base::ErrnoStatus("stat", path);
    RETURN_IF_ERROR(Shift(directory.get(), "", info, path));
    const int number = directory.get();
    DIR* stream = ::fdopendir(directory.Release());  // Owns the descriptor from here.
    if (stream == nullptr) return base::ErrnoStatus("read", path);
    absl::Status status;
    while (status.ok()) {
      errno = 0;
      const dirent* entry = ::readdir(stream);
      if (entry == nullptr) {
        if (errno != 0) status = base::ErrnoStatus("read", path);
        break;
      }
      const std::string name = entry->d_name;
      if (name != "." && name != "..") status = ShiftEntry(number, name, path + "/" + name);
    }
    ::closedir(stream);
    return status;
  }

 private:
  absl::Status ShiftEntry(int directory, const std::string& name, const std::string& path) {
    struct stat info {};
    if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return base::ErrnoStatus("stat", path);
    }
    if (!S_ISDIR(info.st_mode)) return Shift(directory, name, info, path);
    base::UniqueFd child(
        ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child.valid()) return base::ErrnoStatus("open", path);
    return ShiftTree(std::move(child), path);
  }

  // `name` in `directory`, or the directory itself if it is "".
  absl::Status Shift(int directory, const std::string& name, const struct stat& info,
                     const std::string& path) {
    if (info.st_nlink > 1 && !S_ISDIR(info.st_mode) &&
        !shifted_.emplace(info.st_dev, info.st_ino).second) {
      return absl::OkStatus();
    }
    const auto uid = ToHostId(maps_.uids, info.st_uid);
    const auto gid = ToHostId(maps_.gids, info.st_gid);
    if (!uid.ok()) return base::Annotate(uid.status(), "owner of " + path);
    if (!gid.ok()) return base::Annotate(gid.status(), "group of " + path);
    if (::fchownat(directory, name.c_str(), *uid, *gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
      return base::ErrnoStatus("chown", path);
    }
    // Another owner costs a program its set-uid bit.
    if (!S_ISREG(info.st_mode) || (info.st_mode & (S_ISUID | S_ISGID)) == 0) {
      return absl::OkStatus();
    }
    return ::fchmodat(directory, name.c_str(), info.st_mode & 07777U, 0) == 0
               ? absl::OkStatus()
               : base::ErrnoStatus("chmod", path);
  }

  const IdMaps& maps_;
  std::set<std::pair<dev_t, ino_t>> shifted_;
};

Json ToJson(const std::vector<runtime::IdMapping>& maps) {
  Json list = Json::array();
  for (const runtime::IdMapping& map : maps) {
    list.push_back(
        {{"ContainerID", map.container_id}, {"HostID", map.host_id}, {"Size", map.size}});
  }
  return list;
}

std::string TemporaryDirectory() {
  const char* directory = std::getenv("TMPDIR");
  return directory != nullptr && *directory == '/' ? directory : "/tmp";
}

absl::Status ShiftMounts(const google::protobuf::RepeatedPtrField<containerd::types::Mount>& list,
                         const IdMaps& maps) {
  base::Mounts mounts;
  for (const auto& mount : list) {
    mounts.push_back({.type = mount.type(),
                      .source = mount.source(),
                      .target = mount.target(),
                      .options = {mount.options().begin(), mount.options().end()}});
  }
  ASSIGN_OR_RETURN(base::TempMount mounted, base::TempMount::Create(TemporaryDirectory(), mounts));
  absl::Status status = ShiftOwners(mounted.path(), maps);
  status.Update(mounted.Close());
  return status;
}

}  // namespace

absl::StatusOr<uint32_t> ToHostId(const std::vector<runtime::IdMapping>& maps, uint32_t id) {
  for (const runtime::IdMapping& map : maps) {
    if (id >= map.container_id && id - map.container_id < map.size) {
      return map.host_id + (id - map.container_id);
    }
  }
  return base::Unknown("container ID {} cannot be mapped to a host ID", id);
}

absl::Status ShiftOwners(const std::string& root, const IdMaps& maps) {
  ASSIGN_OR_RETURN(base::UniqueFd directory, base::Open(root, O_RDONLY | O_DIRECTORY));
  return Shifter(maps).ShiftTree(std::move(directory), "");
}

absl::StatusOr<std::string> RemappedSnapshot(const Client& client, const std::string& snapshotter,
                                             const std::string& parent, const IdMaps& maps) {
  const Json identity{
      {"Parent", parent}, {"UidMap", ToJson(maps.uids)}, {"GidMap", ToJson(maps.gids)}};
  const std::string name = base::Digest::Of(base::DumpJson(identity)).text();
  api::StatSnapshotRequest stat;
  stat.set_snapshotter(snapshotter);
  stat.set_key(name);
  const auto known = client.Call(&Stub::Stat, stat);
  if (known.ok()) return name;
  if (!absl::IsNotFound(known.status())) return known.status();
  api::PrepareSnapshotRequest prepare;
  prepare.set_snapshotter(snapshotter);
  prepare.set_key(name + "-remap");
  prepare.set_parent(parent);
  ASSIGN_OR_RETURN(const auto prepared, client.Call(&Stub::Prepare, prepare));
  absl::Status status = ShiftMounts(prepared.mounts(), maps);
  if (status.ok()) {
    api::CommitSnapshotRequest commit;
    commit.set_snapshotter(snapshotter);
    commit.set_name(name);
    commit.set_key(prepare.key());
    status = client.Call(&Stub::Commit, commit).status();
    if (status.ok()) return name;
  }
  api::RemoveSnapshotRequest removal;
  removal.set_snapshotter(snapshotter);
  removal.set_key(prepare.key());
  (void)client.Call(&Stub::Remove, removal);  // The first error counts.
  return status;
}

}  // namespace ctrd::ctr
