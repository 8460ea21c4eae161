// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "absl/cleanup/cleanup.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/log.h"
#include "base/mount.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace ctrd::runtime {
namespace {

constexpr size_t kSpecLimitBytes = 16 << 20;

absl::Status MakeDirectory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) != 0) {
    if (errno == EEXIST) return base::Unknown("mkdir {}: file exists", path);
    return base::WithCode(base::ErrnoStatus("mkdir", path), absl::StatusCode::kUnknown);
  }
  // mkdir applies the umask.
  if (::chmod(path.c_str(), mode) != 0) return base::ErrnoStatus("chmod", path);
  return absl::OkStatus();
}

absl::Status WriteNewFile(const std::string& path, std::string_view data, mode_t mode) {
  ASSIGN_OR_RETURN(const base::UniqueFd fd,
                   base::Open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  return base::WriteAll(fd.get(), data, path);
}

// The group on the host that is group 0 in the container's user namespace, if it has one.
std::optional<gid_t> RootGroupOf(const base::Any& spec) {
  // Few specs have mappings: the others are not worth parsing.
  if (spec.value.find("gidMappings") == spec.value.npos) return std::nullopt;
  const auto json = nlohmann::json::parse(spec.value, nullptr, false);
  if (!json.is_object() || !json.contains("linux")) return std::nullopt;
  const auto& linux_part = json["linux"];
  if (!linux_part.is_object() || !linux_part.contains("gidMappings")) return std::nullopt;
  for (const auto& mapping : linux_part["gidMappings"]) {
    if (!mapping.is_object()) continue;
    const auto inside = mapping.find("containerID"), outside = mapping.find("hostID");
    const bool root = inside == mapping.end() || (inside->is_number() && *inside == 0);
    if (!root) continue;
    if (outside == mapping.end()) return 0;
    if (outside->is_number_unsigned()) return outside->get<gid_t>();
  }
  return std::nullopt;
}

absl::Status Fill(const Bundle& bundle, const base::Any& spec) {
  if (const auto group = RootGroupOf(spec)) {
    if (::chown(bundle.path.c_str(), static_cast<uid_t>(-1), *group) != 0 ||
        ::chmod(bundle.path.c_str(), 0710) != 0) {
      return base::ErrnoStatus("chown", bundle.path);
    }
  }
  RETURN_IF_ERROR(MakeDirectory(bundle.File("rootfs"), 0711));
  if (::symlink(bundle.work_path.c_str(), bundle.File("work").c_str()) != 0) {
    return base::ErrnoStatus("symlink", bundle.File("work"));
  }
  if (::mkfifo(bundle.File("log").c_str(), 0700) != 0) {
    return base::ErrnoStatus("mkfifo", bundle.File("log"));
  }
  if (spec.value.empty()) return absl::OkStatus();
  if (spec.value.size() > kSpecLimitBytes) {
    return base::InvalidArgument("spec of {} bytes is too long", spec.value.size());
  }
  return WriteNewFile(bundle.File("config.json"), spec.value, 0666);
}

// Renames `<parent>/<name>` to a hidden name, which frees its own whatever happens after, and
// returns that; "" if there is no such directory. A mount below it comes along.
absl::StatusOr<std::string> HideDirectory(const std::string& parent, const std::string& name) {
  const std::string path = parent + "/" + name;
  std::string hidden = parent + "/." + name;
  if (::rename(path.c_str(), hidden.c_str()) == 0) return hidden;
  if (errno == ENOENT) return std::string();
  // A leftover of an earlier removal is in the way.
  hidden = fmt::format("{}.{}", hidden, base::GenerateName());
  if (::rename(path.c_str(), hidden.c_str()) != 0) return base::ErrnoStatus("rename", path);
  return hidden;
}

std::vector<std::string> Entries(const std::string& directory) {
  auto names = base::ListDirectory(directory);
  return names.ok() ? *std::move(names) : std::vector<std::string>{};
}

bool IsHidden(const std::string& name) { return name.empty() || name[0] == '.'; }

}  // namespace

Bundle BundleStore::Locate(const std::string& namespace_name, const std::string& id) const {
  return {.namespace_name = namespace_name,
          .id = id,
          .path = fmt::format("{}/{}/{}", state_dir_, namespace_name, id),
          .work_path = fmt::format("{}/{}/{}", root_dir_, namespace_name, id)};
}

absl::StatusOr<Bundle> BundleStore::Create(const std::string& namespace_name, const std::string& id,
                                           const base::Any& spec) const {
  RETURN_IF_ERROR(
      base::Annotate(base::ValidateIdentifier(id), fmt::format("invalid task id {}", id)));
  const Bundle bundle = Locate(namespace_name, id);
  RETURN_IF_ERROR(base::MakeDirectories(state_dir_ + "/" + namespace_name, 0711));
  RETURN_IF_ERROR(base::MakeDirectories(root_dir_ + "/" + namespace_name, 0711));
  // No task owns a directory that is there: the removal of one that did has failed.
  if (base::Exists(bundle.path)) RETURN_IF_ERROR(Remove(bundle));
  RETURN_IF_ERROR(MakeDirectory(bundle.path, 0700));
  absl::Cleanup undo = [&] { (void)Remove(bundle); };  // The first error is the one to tell.
  // No task owns a work directory whose bundle is gone.
  RETURN_IF_ERROR(base::RemoveTree(bundle.work_path));
  RETURN_IF_ERROR(MakeDirectory(bundle.work_path, 0711));
  RETURN_IF_ERROR(Fill(bundle, spec));
  std::move(undo).Cancel();
  return bundle;
}

absl::StatusOr<std::vector<Bundle>> BundleStore::List() const {
  std::vector<Bundle> bundles;
  for (const std::string& name : Entries(state_dir_)) {
    if (IsHidden(name)) continue;
    for (const std::string& id : Entries(state_dir_ + "/" + name)) {
      if (!IsHidden(id)) bundles.push_back(Locate(name, id));
    }
  }
  return bundles;
}

absl::StatusOr<BundleStore::Hidden> BundleStore::Hide(const Bundle& bundle) const {
  auto state = HideDirectory(state_dir_ + "/" + bundle.namespace_name, bundle.id);
  auto work = HideDirectory(root_dir_ + "/" + bundle.namespace_name, bundle.id);
  RETURN_IF_ERROR(state.status());
  RETURN_IF_ERROR(work.status());
  return Hidden{.state = *std::move(state), .work = *std::move(work)};
}

absl::Status BundleStore::RemoveHidden(const Hidden& hidden) const {
  absl::Status status;
  if (!hidden.state.empty()) {
    // The mounts first: what is mounted is not ours to remove.
    status = base::Annotate(base::UnmountAll(hidden.state + "/rootfs"), "unmount rootfs");
    if (status.ok()) status = base::RemoveTree(hidden.state);
  }
  if (!hidden.work.empty()) status.Update(base::RemoveTree(hidden.work));
  return status;
}

absl::Status BundleStore::Remove(const Bundle& bundle) const {
  ASSIGN_OR_RETURN(const Hidden hidden, Hide(bundle));
  return RemoveHidden(hidden);
}

void BundleStore::RemoveLeftovers() const {
  for (const std::string& top : {state_dir_, root_dir_}) {
    for (const std::string& name : Entries(top)) {
      const std::string directory = top + "/" + name;
      for (const std::string& id : Entries(directory)) {
        const bool orphan =
            !IsHidden(id) && top == root_dir_ && !base::Exists(Locate(name, id).path);
        if (!IsHidden(id) && !orphan) continue;
        if (top == state_dir_) (void)base::UnmountAll(directory + "/" + id + "/rootfs");
        const absl::Status status = base::RemoveTree(directory + "/" + id);
        if (!status.ok()) base::LogWarn("leftover of a task stays", {{"error", status}});
      }
    }
  }
}

}  // namespace ctrd::runtime
