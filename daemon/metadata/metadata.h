// SPDX-License-Identifier: Apache-2.0

// Metadata: everything the daemon knows by namespace, over one store file, one content store and
// any number of snapshot drivers.
//
//   clients' names, labels, leases, visibility     here, one transaction per change
//   bytes and mounts                               in the back ends, which know no namespaces
//   what nobody refers to any more                 removed by gc()
//
// Thread-safe. A change is durable when its call returns; its event is published after that.
//
// Source document: docs/formats/metadata.md.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event.h"
#include "base/metric.h"
#include "daemon/metadata/collectible_mounts.h"
#include "daemon/metadata/container_store.h"
#include "daemon/metadata/garbage_collector.h"
#include "daemon/metadata/namespace_store.h"
#include "daemon/metadata/sandbox_store.h"
#include "images/content/content_store.h"
#include "images/image_store.h"
#include "images/lease.h"
#include "snapshots/snapshotter.h"

namespace ctrd::metadata {

// Whether a namespace may take over blobs that are there because of another one.
enum class SharingPolicy {
  kShared,    // By naming their digest.
  kIsolated,  // Only from namespaces labelled containerd.io/namespace.shareable=true.
};
// "shared", "isolated".  kInvalidArgument "unknown policy: <value>: invalid argument"
absl::StatusOr<SharingPolicy> ParseSharingPolicy(std::string_view text);

struct MetadataOptions {
  std::string path;  // The store file; its directory must exist.
  bool sync = true;
  absl::Duration lock_timeout = absl::ZeroDuration();  // For another process to let go of it.
  SharingPolicy sharing = SharingPolicy::kShared;
};

class Metadata final : public base::MetricSource {
 public:
  // Back ends and `events` (which may be null) are borrowed and must live longer.
  // See store::OpenStore for errors.
  static absl::StatusOr<std::unique_ptr<Metadata>> Open(
      const MetadataOptions& options, content::ContentStore* backend,
      std::map<std::string, snapshots::Snapshotter*> drivers, base::EventSink* events);
  ~Metadata() override;

  NamespaceStore& namespaces();
  ContainerStore& containers();
  SandboxStore& sandboxes();
  images::ImageStore& images();
  images::LeaseManager& leases();
  content::ContentStore& content();
  // The namespaced face of a driver, or null if there is no such driver.
  snapshots::Snapshotter* snapshotter(std::string_view name);
  std::vector<std::string> snapshotter_names() const;
  GarbageCollector& gc();
  // Has the collector look after activated mounts, too. Before gc().Start; borrowed.
  void CollectMounts(CollectibleMounts* mounts);

  // Updates and syncs of the store, runs of the collector.
  void Report(base::MetricSink& sink) const override;

 private:
  struct Parts;
  explicit Metadata(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ctrd::metadata
