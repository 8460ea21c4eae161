// SPDX-License-Identifier: Apache-2.0
#include "daemon/mounts/local_mount_manager.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/mounts/mount_template.h"
#include "daemon/mounts/mount_transformers.h"

namespace ctrd::mounts {
namespace {

using base::Activation;
using base::ActiveMount;
using base::Context;

constexpr char kRecord[] = "record";

std::string RecordFile(const std::string& directory) { return directory + "/" + kRecord; }

bool CallerMounts(const std::string& type, const std::vector<std::string>& caller_mounts) {
  return std::ranges::any_of(caller_mounts, [&](std::string_view allowed) {
    if (allowed.ends_with("/*")) return type.starts_with(allowed.substr(0, allowed.size() - 1));
    return type == allowed;
  });
}

template <typename Range>
bool Contains(const Range& range, std::string_view value) {
  return std::ranges::find(range, value) != range.end();
}

bool IsMountPoint(const std::string& path) {
  struct statx info = {};
  return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &info) == 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

absl::Status Unknown(std::string_view name) {
  return base::NotFound("mount {}", base::Quote(name));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalMountManager>> LocalMountManager::Open(
    const MountManagerOptions& options) {
  const std::string targets = options.directory + "/t";
  RETURN_IF_ERROR(base::MakeDirectories(options.directory, 0700));
  RETURN_IF_ERROR(base::MakeDirectories(targets, 0700));
  std::unique_ptr<LocalMountManager> manager(new LocalMountManager(targets, options));
  RETURN_IF_ERROR(manager->Load());
  return manager;
}

absl::Status LocalMountManager::Load() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, base::ListDirectory(targets_));
  for (const std::string& name : names) {
    uint64_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    next_id_ = std::max(next_id_, id + 1);
    const auto bytes = base::ReadFile(RecordFile(DirectoryOf(id)));
    Entry entry{.id = id, .record = DecodeActivation(bytes.ok() ? *bytes : "")};
    const Activation& activation = entry.record.activation;
    const bool whole = entry.record.complete &&
                       std::ranges::all_of(activation.active, [](const ActiveMount& mount) {
                         return IsMountPoint(mount.mount_point);
                       });
    if (whole) {
      entries_.emplace(Key(entry.record.namespace_name, activation.name), std::move(entry));
      continue;
    }
    base::LogInfo("removing mounts that were left half made",
                  {{"name", activation.name}, {"directory", DirectoryOf(id)}});
    if (const absl::Status status = TakeAway(id, activation.active); !status.ok()) {
      base::LogWarn("cannot remove mounts, trying again at the next start", {{"error", status}});
    }
  }
  return absl::OkStatus();
}

LocalMountManager::Share LocalMountManager::ShareOf(const base::Mounts& mounts,
                                                    const base::ActivateOptions& options) const {
  if (options.temporary) return {.any = !mounts.empty(), .active = mounts.size()};
  Share share;
  for (size_t i = 0; i < mounts.size(); ++i) {
    if (CallerMounts(mounts[i].type, options.caller_mounts)) continue;
    const TypedMount type = SplitType(mounts[i].type);
    const bool handled = Contains(handlers_, type.type);
    if (handled || !type.transformers.empty()) share.any = true;
    if (Contains(type.transformers, "format") && HasTemplate(mounts[i])) share.active = i;
    if (handled) share.active = i + 1;
  }
  return share;
}

absl::StatusOr<uint64_t> LocalMountManager::Reserve(const ActivationRecord& record, bool held) {
  const std::scoped_lock lock(mutex_);
  const std::string& name = record.activation.name;
  const auto [entry, added] = entries_.try_emplace(Key(record.namespace_name, name));
  if (!added) return base::AlreadyExists("mount {}", base::Quote(name));
  entry->second = {.id = next_id_++, .held = held, .record = record};
  return entry->second.id;
}

absl::StatusOr<Activation> LocalMountManager::Activate(const Context& context,
                                                       std::string_view name,
                                                       const base::Mounts& mounts,
                                                       const base::ActivateOptions& options) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  if (name.empty()) return base::InvalidArgument("mount name must not be empty");
  RETURN_IF_ERROR(base::ValidateLabels(options.labels, "mount.Labels"));
  const Share share = ShareOf(mounts, options);
  if (!share.any) return base::MakeError(absl::StatusCode::kUnimplemented, "");
  ActivationRecord record{.namespace_name = context.namespace_name(), .lease = context.lease()};
  record.activation.name = name;
  record.activation.labels = options.labels;
  ASSIGN_OR_RETURN(const uint64_t id, Reserve(record, options.held));
  const std::string directory = DirectoryOf(id);
  absl::Cleanup undo = [&] {
    if (const absl::Status status = TakeAway(id, record.activation.active); !status.ok()) {
      base::LogWarn("cannot undo mounts, trying again at the next start", {{"error", status}});
    }
    const std::scoped_lock lock(mutex_);
    entries_.erase(Key(record.namespace_name, record.activation.name));
  };
  RETURN_IF_ERROR(base::MakeDirectories(directory, 0700));
  RETURN_IF_ERROR(WriteRecord(id, record));
  RETURN_IF_ERROR(MountList(mounts, share.active, directory, options, record.activation));
  if (options.temporary) {
    const std::string& last = record.activation.active.back().mount_point;
    record.activation.system = {{"bind", last, "", {"rbind"}}};
  }
  record.complete = true;
  // What is held stays half made on disk: the next start takes it away.
  if (!options.held) RETURN_IF_ERROR(WriteRecord(id, record));
  std::move(undo).Cancel();  // Past this line it exists.
  Activation made = record.activation;
  // Later nobody is told more than after a restart.
  for (ActiveMount& mount : record.activation.active) mount.mount = {.type = mount.mount.type};
  const std::scoped_lock lock(mutex_);
  entries_.at(Key(record.namespace_name, record.activation.name)).record = record;
  return made;
}

// Fills `activation` as far as it comes.
absl::Status LocalMountManager::MountList(const base::Mounts& mounts, size_t active_count,
                                          const std::string& directory,
                                          const base::ActivateOptions& options,
                                          Activation& activation) const {
  std::vector<ActiveMount>& active = activation.active;
  for (base::Mount mount : mounts) {
    const bool rest = active.size() == active_count;
    // What the caller mounts itself it gets as it gave it.
    if (!rest || !CallerMounts(mount.type, options.caller_mounts)) {
      RETURN_IF_ERROR(Transform(mount, active, roots_));
    }
    if (rest) {
      activation.system.push_back(std::move(mount));
      continue;
    }
    std::string point = fmt::format("{}/{}", directory, active.size());
    // With a target it goes into what was mounted before.
    if (!mount.target.empty() && !active.empty()) {
      point = active.back().mount_point;
    } else {
      RETURN_IF_ERROR(base::MakeDirectories(point, 0700));
    }
    RETURN_IF_ERROR(MountPrepared(mount, point));
    active.push_back({std::move(mount), std::move(point), absl::Now()});
  }
  return absl::OkStatus();
}

absl::Status LocalMountManager::WriteRecord(uint64_t id, const ActivationRecord& record) const {
  return base::WriteFileAtomically(RecordFile(DirectoryOf(id)), Encode(record), 0600);
}

absl::Status LocalMountManager::TakeAway(uint64_t id,
                                         const std::vector<ActiveMount>& active) const {
  const std::string directory = DirectoryOf(id);
  for (auto mount = active.rbegin(); mount != active.rend(); ++mount) {
    RETURN_IF_ERROR(base::UnmountAll(mount->mount_point));
  }
  // A crash leaves mounts that no record names.
  RETURN_IF_ERROR(base::UnmountAll(directory));
  return base::RemoveTree(directory);
}

absl::Status LocalMountManager::Remove(const Key& key,
                                       const std::function<bool(const Entry&)>& wanted) {
  Entry entry;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end() || !found->second.record.complete || !wanted(found->second)) {
      return Unknown(key.second);
    }
    entry = std::move(found->second);
    entries_.erase(found);
  }
  // Without its record a directory is what a crash left: from here on a start takes it away.
  const std::string record = RecordFile(DirectoryOf(entry.id));
  if (::unlink(record.c_str()) != 0 && errno != ENOENT) return base::ErrnoStatus("unlink", record);
  return TakeAway(entry.id, entry.record.activation.active);
}

absl::Status LocalMountManager::Deactivate(const Context& context, std::string_view name) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  return Remove(Key(context.namespace_name(), name), [](const Entry&) { return true; });
}

absl::StatusOr<Activation> LocalMountManager::Info(const Context& context, std::string_view name) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(Key(context.namespace_name(), name));
  if (found == entries_.end() || !found->second.record.complete) return Unknown(name);
  return found->second.record.activation;
}

absl::StatusOr<std::vector<Activation>> LocalMountManager::List(const Context& context) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  std::vector<Activation> all;
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, entry] : entries_) {
    if (key.first == context.namespace_name() && entry.record.complete) {
      all.push_back(entry.record.activation);
    }
  }
  return all;
}

std::vector<std::string> LocalMountManager::MountNamespaces() {
  std::vector<std::string> names;
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, entry] : entries_) {
    if (names.empty() || names.back() != key.first) names.push_back(key.first);
  }
  return names;
}

std::vector<metadata::CollectibleMount> LocalMountManager::MountsOf(
    std::string_view namespace_name) {
  std::vector<metadata::CollectibleMount> mounts;
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, entry] : entries_) {
    if (key.first != namespace_name || entry.held || !entry.record.complete) continue;
    mounts.push_back({.id = entry.id,
                      .name = key.second,
                      .lease = entry.record.lease,
                      .labels = entry.record.activation.labels});
  }
  return mounts;
}

void LocalMountManager::CollectMount(std::string_view namespace_name,
                                     const metadata::CollectibleMount& mount) {
  const absl::Status status = Remove(Key(namespace_name, mount.name),
                                     [&](const Entry& entry) { return entry.id == mount.id; });
  if (!status.ok() && !absl::IsNotFound(status)) {
    base::LogWarn("cannot unmount what was collected", {{"name", mount.name}, {"error", status}});
  }
}

}  // namespace ctrd::mounts
