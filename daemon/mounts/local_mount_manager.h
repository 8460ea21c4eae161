// SPDX-License-Identifier: Apache-2.0

// The mount manager of this host. Activation <id> is a directory of its own:
//
//   <directory>/t/<id>/record   what it is; written before the first mount and again after the last
//   <directory>/t/<id>/<n>      the mount points
//
// A directory whose record is missing or incomplete is what a crash left: opening removes it. The
// directory is to lie where a reboot empties it; records whose mounts are gone go too.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/mount_manager.h"
#include "daemon/metadata/collectible_mounts.h"
#include "daemon/mounts/activation_record.h"

namespace ctrd::mounts {

struct MountManagerOptions {
  std::string directory;              // Made if missing.
  std::string daemon_root;            // Below it "mkfs" and "mkdir" may make things.
  std::vector<std::string> handlers;  // The types that handlers take over, of those there are.
};

class LocalMountManager final : public base::MountManager, public metadata::CollectibleMounts {
 public:
  static absl::StatusOr<std::unique_ptr<LocalMountManager>> Open(
      const MountManagerOptions& options);

  bool Needs(const base::Mounts& mounts) const override { return ShareOf(mounts, {}).any; }
  absl::StatusOr<base::Activation> Activate(const base::Context& context, std::string_view name,
                                            const base::Mounts& mounts,
                                            const base::ActivateOptions& options) override;
  absl::Status Deactivate(const base::Context& context, std::string_view name) override;
  absl::StatusOr<base::Activation> Info(const base::Context& context,
                                        std::string_view name) override;
  absl::StatusOr<std::vector<base::Activation>> List(const base::Context& context) override;

  std::vector<std::string> MountNamespaces() override;
  std::vector<metadata::CollectibleMount> MountsOf(std::string_view namespace_name) override;
  void CollectMount(std::string_view namespace_name,
                    const metadata::CollectibleMount& mount) override;

 private:
  using Key = std::pair<std::string, std::string>;  // {namespace, name}
  struct Entry {
    uint64_t id = 0;
    bool held = false;
    ActivationRecord record;  // Incomplete: somebody is at work on it.
  };
  // How much of a list is the manager's: so many mounts of it have to be made before anything can
  // be said of the rest.
  struct Share {
    bool any = false;
    size_t active = 0;
  };

  LocalMountManager(std::string targets, const MountManagerOptions& options)
      : targets_(std::move(targets)),
        roots_{options.daemon_root, targets_},
        handlers_(options.handlers) {}
  Share ShareOf(const base::Mounts& mounts, const base::ActivateOptions& options) const;
  absl::Status Load();
  absl::StatusOr<uint64_t> Reserve(const ActivationRecord& record, bool held);
  absl::Status MountList(const base::Mounts& mounts, size_t active_count,
                         const std::string& directory, const base::ActivateOptions& options,
                         base::Activation& activation) const;
  absl::Status WriteRecord(uint64_t id, const ActivationRecord& record) const;
  // Forgets what is complete and `wanted`, then takes it away.
  absl::Status Remove(const Key& key, const std::function<bool(const Entry&)>& wanted);
  absl::Status TakeAway(uint64_t id, const std::vector<base::ActiveMount>& active) const;
  std::string DirectoryOf(uint64_t id) const { return fmt::format("{}/{}", targets_, id); }

  const std::string targets_;
  const std::vector<std::string> roots_;
  const std::vector<std::string> handlers_;
  std::mutex mutex_;  // Of what follows; not held while anything is mounted.
  std::map<Key, Entry> entries_;
  uint64_t next_id_ = 1;
};

}  // namespace ctrd::mounts
