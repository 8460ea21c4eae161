// SPDX-License-Identifier: Apache-2.0

// Applying a layer's tar stream to a directory.
// Source document: docs/api/diff.md (extraction, whiteouts).
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/context.h"
#include "images/archive/byte_stream.h"

namespace ctrd::archive {

// What a whiteout does to the directory.
enum class WhiteoutMode {
  kRemove,   // The directory shows all layers: what is deleted is removed from it.
  kOverlay,  // The directory is an overlay's upper one: deletions become its device 0:0 and xattr.
};

struct ApplyTarOptions {
  WhiteoutMode whiteouts = WhiteoutMode::kRemove;
  // Where a directory that the layer leaves out is looked up, nearest first, to be copied up.
  std::vector<std::string> lower_directories;
  // There are layers below that cannot be looked at: a directory left out is kAborted.
  bool lowers_unknown = false;
  bool in_user_namespace = false;  // Devices are skipped.
};

// Whether this process is in a user namespace other than the first.
bool InUserNamespace();

// Applies the uncompressed tar `source` to the directory `root`. All of `source` is read, also what
// follows the archive's end. Nothing outside `root` is touched, whatever the archive says. After an
// error the directory holds a part.
absl::Status ApplyTar(const base::Context& context, ByteSource& source, int root,
                      const ApplyTarOptions& options);

}  // namespace ctrd::archive
