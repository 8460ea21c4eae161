// SPDX-License-Identifier: Apache-2.0

// Bundle: the directory of one task, the working directory of its shim.
//
//   <state>/<namespace>/<id>/   config.json  rootfs/  work -> <root>/<namespace>/<id>  log (FIFO)
//                               shim-binary-path  bootstrap.json  …and what the shim puts there
//   <root>/<namespace>/<id>/    the persistent side
//
// Removal renames `<id>` to `.<id>` first, so that the name is free whatever hinders the rest: what
// a crash leaves starts with a dot, is not looked at by any scan and goes with RemoveLeftovers.
//
// Source document: docs/api/shim.md, section 2.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/any.h"

namespace ctrd::runtime {

// Where a bundle is. A value; owns nothing.
struct Bundle {
  std::string namespace_name;
  std::string id;
  std::string path;
  std::string work_path;

  std::string File(const char* name) const { return path + "/" + name; }
};

class BundleStore {
 public:
  // `state_dir` and `root_dir` are this store's own ("…/io.containerd.runtime.v2.task").
  BundleStore(std::string state_dir, std::string root_dir)
      : state_dir_(std::move(state_dir)), root_dir_(std::move(root_dir)) {}

  // Makes both directories of a new task, which nobody else uses, and what is in them before the
  // shim starts. On failure nothing is left.
  //   kInvalidArgument  "invalid task id X: identifier …"
  //   kUnknown          "mkdir <path>: file exists"
  absl::StatusOr<Bundle> Create(const std::string& namespace_name, const std::string& id,
                                const base::Any& spec) const;
  Bundle Locate(const std::string& namespace_name, const std::string& id) const;
  // All bundles on disk.
  absl::StatusOr<std::vector<Bundle>> List() const;
  // Frees the names, unmounts the root file system and removes both directories. Absent is fine.
  absl::Status Remove(const Bundle& bundle) const;
  // The halves of Remove: what Hide has taken out of sight no longer is a bundle, whatever happens
  // then, and RemoveHidden, which may take long, does the rest.
  struct Hidden {
    std::string state, work;  // Paths; "" where there was nothing.
  };
  absl::StatusOr<Hidden> Hide(const Bundle& bundle) const;
  absl::Status RemoveHidden(const Hidden& hidden) const;
  // Removes half-removed bundles, and work directories that have no bundle.
  void RemoveLeftovers() const;

 private:
  const std::string state_dir_;
  const std::string root_dir_;
};

}  // namespace ctrd::runtime
