// SPDX-License-Identifier: Apache-2.0

// Transfers: images between registries, this host's stores and archives.
//
//   Pull   registry -> store     Push  store -> registry     Tag  store -> store
//   Import archive  -> store     Export store -> archive
//
// A pull runs fetches in parallel and applies each layer while it arrives, if the snapshotter can
// give it its parent afterwards; else as soon as its blob and its parent are there. Layers whose
// snapshot exists are not fetched. The image's name is written last: until then a failure leaves
// nothing but blobs and snapshots that the lease, and then nobody, keeps. What two transfers want
// at once is fetched and applied once; the second waits and finds it.
//
// Source documents: docs/api/transfer.md, docs/api/distribution.md, docs/formats/archives.md.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/context.h"
#include "base/identifiers.h"
#include "images/content/content_store.h"
#include "images/descriptor.h"
#include "images/diff/differ.h"
#include "images/diff/walking_differ.h"
#include "images/image_store.h"
#include "images/lease.h"
#include "images/registry/registry.h"
#include "snapshots/snapshotter.h"

namespace ctrd::transfer {

using images::Descriptor;
using images::Platform;

// What is told while a transfer runs. `event` is one of the texts of docs/api/transfer.md.
struct Progress {
  std::string event;
  std::string name;
  std::vector<std::string> parents;
  int64_t progress = 0;
  int64_t total = 0;
  std::optional<Descriptor> descriptor;
};
using ProgressSink = std::function<void(const Progress&)>;  // Called by one thread at a time.

// An archive's bytes from or to whoever asked for the transfer. One thread at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Exchanges `chunk` for the next piece, "" at the end.
  virtual absl::Status Read(const base::Context& context, std::string& chunk) = 0;
};
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual absl::Status Write(const base::Context& context, std::string_view data) = 0;
};

// ---- The ends of a transfer.

struct RegistryEnd {
  std::string reference;
  registry::RegistryOptions options;
  std::string text() const { return "OCI Registry (" + reference + ")"; }
};

struct UnpackRequest {
  Platform platform;        // Empty: that of the configuration's entry.
  std::string snapshotter;  // "": the default one.
};

struct ExtraReference {
  std::string name;
  bool is_prefix = false;
  bool allow_overwrite = false;
  bool add_digest = false;
  bool skip_named_digest = false;
};

struct StoreEnd {
  std::string name;
  base::Labels labels;
  std::vector<Platform> platforms;  // Empty: all.
  bool all_metadata = false;
  uint32_t manifest_limit = 0;  // 0: none.
  std::vector<ExtraReference> extra_references;
  std::vector<UnpackRequest> unpacks;
};

struct ImportEnd {
  ByteSource* source = nullptr;
  std::string media_type;  // "": compression is detected.
  bool force_compress = false;
};

struct ExportEnd {
  ByteSink* sink = nullptr;
  std::vector<Platform> platforms;  // Empty: this host's.
  bool all_platforms = false;
  bool skip_compatibility_manifest = false;
  bool skip_non_distributable = false;
};

// ---- The service.

// One entry of the list a pull's unpack requests are matched against.
struct UnpackTarget {
  Platform platform;
  std::string snapshotter_name;
  snapshots::Snapshotter* snapshotter = nullptr;
  diff::Differ* differ = nullptr;
  // Set where `differ` is the walking one: layers are then applied while they arrive.
  std::optional<diff::WalkingOptions> streaming;
  // The snapshotter gives a snapshot its parent when it is committed, and `differ` can fill one
  // that has none yet ("rebase"): layers are then applied side by side.
  bool rebase = false;
};

struct Stores {
  content::ContentStore* content = nullptr;
  images::ImageStore* images = nullptr;
  images::LeaseManager* leases = nullptr;
};

struct TransferConfig {
  int max_concurrent_downloads = 3;  // Of all pulls together.
  int max_concurrent_uploads = 3;
  int max_concurrent_unpacks = 3;  // Layers of one image; 1: one after the other.
  bool check_platform_supported = false;
  std::string default_snapshotter = "overlayfs";
  std::vector<UnpackTarget> unpack_targets;
  std::vector<std::string> host_directories;  // Where a caller names none.
  // Asked before anything of an image is fetched; an error stops the pull. May be empty.
  std::function<absl::Status(const base::Context&, const std::string& name, const Descriptor&)>
      verify;
};

// Thread-safe. All calls block; cancelling the context ends them soon.
class Transfer {
 public:
  virtual ~Transfer() = default;
  //   kNotFound         "failed to resolve image: <reference>: not found"
  //   kInvalidArgument  "unable to initialize unpacker: no unpack platforms defined: …"
  virtual absl::Status Pull(const base::Context& context, RegistryEnd from, StoreEnd to,
                            ProgressSink progress) = 0;
  virtual absl::Status Push(const base::Context& context, StoreEnd from, RegistryEnd to,
                            ProgressSink progress) = 0;
  virtual absl::Status Import(const base::Context& context, ImportEnd from, StoreEnd to,
                              ProgressSink progress) = 0;
  virtual absl::Status Export(const base::Context& context, StoreEnd from, ExportEnd to,
                              ProgressSink progress) = 0;
  virtual absl::Status Tag(const base::Context& context, StoreEnd from, StoreEnd to) = 0;
};

absl::StatusOr<std::unique_ptr<Transfer>> CreateTransfer(Stores stores, TransferConfig config);

}  // namespace ctrd::transfer
