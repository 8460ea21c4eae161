// SPDX-License-Identifier: Apache-2.0

// Differ: applies layers to mounts and computes layers from mounts. Thread-safe.
// Source document: docs/api/diff.md.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/any.h"
#include "base/context.h"
#include "base/identifiers.h"
#include "base/mount.h"
#include "images/descriptor.h"

namespace ctrd::diff {

struct ApplyOptions {
  std::map<std::string, base::Any> payloads;  // By id of the stream processor.
  bool sync_fs = false;
  // The mounts do not show the layers below, though there are some. kAborted if they matter: the
  // layer leaves out a directory whose owner and mode only they know.
  bool must_stand_alone = false;
  // Told how many bytes of the blob have been read, now and then.
  std::function<void(int64_t bytes)> progress;
};

struct CompareOptions {
  std::string media_type;  // "" for the gzip-compressed OCI layer.
  std::string ref;         // "" for a random one.
  base::Labels labels;
  std::optional<absl::Time> source_date_epoch;
};

class Differ {
 public:
  virtual ~Differ() = default;
  // Applies the blob `layer` to `mounts`. The result describes the uncompressed stream: media type
  // application/vnd.oci.image.layer.v1.tar, digest (the diff id) and size.
  //   kUnimplemented  not a layer for this differ: the next one is asked
  virtual absl::StatusOr<images::Descriptor> Apply(const base::Context& context,
                                                   const images::Descriptor& layer,
                                                   const base::Mounts& mounts,
                                                   const ApplyOptions& options) = 0;
  // Writes what `right` has that `left` has not as a blob, and describes it.
  virtual absl::StatusOr<images::Descriptor> Compare(const base::Context& context,
                                                     const base::Mounts& left,
                                                     const base::Mounts& right,
                                                     const CompareOptions& options) = 0;
};

}  // namespace ctrd::diff
