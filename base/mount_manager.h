// SPDX-License-Identifier: Apache-2.0

// MountManager: makes mounts that a caller cannot make from a list as it stands.
//
//   Activate(name, mounts) --> active: mounted already, each on a directory of the manager's
//                              system: the rest, for the caller to mount
//   Deactivate(name)       --> unmounted, forgotten
//
// A mount needs the manager if its type begins with transformers ("format/", "mkfs/", "mkdir/") or
// is one that a handler takes over. Names are unique in a namespace; an activation outlives the
// daemon but not the host, and is given back by Deactivate or by the garbage collector.
//
// Thread-safe. All-or-nothing: what fails leaves no mount. Source document: docs/api/mounts.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/context.h"
#include "base/identifiers.h"
#include "base/mount.h"

namespace ctrd::base {

struct ActiveMount {
  Mount mount;              // As it was made. Later Info knows only its type.
  std::string mount_point;  // Absolute.
  absl::Time mounted_at;
};

struct Activation {
  std::string name;
  std::vector<ActiveMount> active;
  Mounts system;
  Labels labels;
};

struct ActivateOptions {
  Labels labels;
  // Mounts the whole list; `system` is then one bind mount that shows it.
  bool temporary = false;
  // Not the collector's business, and gone with the daemon: for what the daemon does itself.
  bool held = false;
  // Types that the caller can mount itself, as they stand in the list or "<transformer>/*".
  std::vector<std::string> caller_mounts;
};

class MountManager {
 public:
  virtual ~MountManager() = default;

  // Is there anything in `mounts` that only a manager can do? If not, Activate is not needed.
  virtual bool Needs(const Mounts& mounts) const = 0;
  // The lease of the context keeps what is activated.
  //   kUnimplemented    "not implemented": nothing of the list needs the manager
  //   kAlreadyExists    `mount "<name>": already exists`
  //   kInvalidArgument  a transformer's option or a template is malformed
  virtual absl::StatusOr<Activation> Activate(const Context& context, std::string_view name,
                                              const Mounts& mounts,
                                              const ActivateOptions& options) = 0;
  // Forgets the name, then unmounts in reverse order.
  //   kNotFound  `mount "<name>": not found`; others: something could not be unmounted now and
  //              goes when the daemon starts next
  virtual absl::Status Deactivate(const Context& context, std::string_view name) = 0;
  virtual absl::StatusOr<Activation> Info(const Context& context, std::string_view name) = 0;
  // Of the namespace, in order of their names.
  virtual absl::StatusOr<std::vector<Activation>> List(const Context& context) = 0;
};

}  // namespace ctrd::base
