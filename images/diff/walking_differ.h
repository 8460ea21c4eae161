// SPDX-License-Identifier: Apache-2.0

// The differ that extracts tar layers into mounts and finds changes by walking two trees.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/mount_manager.h"
#include "images/content/content_store.h"
#include "images/diff/differ.h"
#include "images/diff/stream_processor.h"

namespace ctrd::diff {

struct WalkingOptions {
  std::string tmp_root;  // Where temporary mounts are made.
  std::vector<StreamProcessor> stream_processors;
  bool sync_fs = false;                  // For every Apply.
  base::MountManager* mounts = nullptr;  // For lists that the kernel does not take; may be null.
};

// `content` must outlive the differ.
std::unique_ptr<Differ> OpenWalkingDiffer(content::ContentStore& content, WalkingOptions options);

}  // namespace ctrd::diff
