// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/transfer.h"

#include "absl/time/clock.h"
#include "base/status.h"
#include "images/spec/documents.h"
#include "images/spec/media_types.h"
#include "images/transfer/concurrency.h"
#include "images/transfer/export.h"
#include "images/transfer/fetcher.h"
#include "images/transfer/import.h"
#include "images/transfer/naming.h"
#include "images/transfer/progress.h"
#include "images/transfer/pull.h"
#include "images/transfer/push.h"
#include "images/transfer/unpacker.h"

namespace ctrd::transfer {
namespace {

class LocalTransfer : public Transfer {
 public:
  LocalTransfer(Stores stores, TransferConfig config, std::unique_ptr<registry::HttpClient> http)
      : stores_(stores),
        config_(std::move(config)),
        http_(std::move(http)),
        downloads_(config_.max_concurrent_downloads),
        uploads_(config_.max_concurrent_uploads) {}

  absl::Status Pull(const base::Context& caller, RegistryEnd from, StoreEnd to,
                    ProgressSink sink) override {
    ASSIGN_OR_RETURN(const auto lease, images::TemporaryLease::Create(caller, *stores_.leases));
    const base::Context& context = lease.context();
    ProgressTracker progress(std::move(sink), "downloading");
    progress.Tell("Resolving from " + from.text());
    ASSIGN_OR_RETURN(const auto registry, OpenRegistry(from));
    auto resolved = registry->Resolve(context);
    if (!resolved.ok()) return base::Annotate(resolved.status(), "failed to resolve image");
    const Descriptor& target = *resolved;
    if (target.media_type == images::kDockerSchema1) {
      return base::InvalidArgument("schema 1 image manifests are no longer supported");
    }
    if (config_.verify) RETURN_IF_ERROR(config_.verify(context, from.reference, target));
    ASSIGN_OR_RETURN(auto unpacks, MatchUnpacks(config_, to.unpacks));
    const auto stored = ImagesFor(to, target, Origin::kNamed, absl::Now());
    progress.Tell("Pulling from " + from.text());
    progress.Tell("fetching image content", to.name, target);

    Fetcher fetcher(*stores_.content, *registry, downloads_, locks_);
    PullWalk walk(*stores_.content, locks_, fetcher, progress, to, std::move(unpacks),
                  config_.max_concurrent_downloads, config_.max_concurrent_unpacks);
    RETURN_IF_ERROR(walk.Run(context, target));
    progress.Flush();
    RETURN_IF_ERROR(Store(context, stored, progress));
    if (stored.empty()) return base::NotFound("no image name found");
    progress.Tell("Completed pull from " + from.text());
    return absl::OkStatus();
  }

  absl::Status Push(const base::Context& context, StoreEnd from, RegistryEnd to,
                    ProgressSink sink) override {
    ProgressTracker progress(std::move(sink), "uploading");
    progress.Tell("Pushing to " + to.text());
    ASSIGN_OR_RETURN(const images::Image image, stores_.images->Get(context, from.name));
    RegistryEnd pinned = to;
    if (pinned.reference.find('@') == std::string::npos) {
      pinned.reference += "@" + image.target.digest;
    }
    ASSIGN_OR_RETURN(const auto registry, OpenRegistry(pinned));
    progress.Tell("pushing content", from.name, image.target);
    RETURN_IF_ERROR(PushTree(context, *stores_.content, *registry, image.target, from.platforms,
                             uploads_, static_cast<size_t>(config_.max_concurrent_uploads),
                             progress, from.name));
    progress.Flush();
    progress.Tell("pushed content", from.name, image.target);
    progress.Tell("Completed push to " + to.text(), "", image.target);
    return absl::OkStatus();
  }

  absl::Status Import(const base::Context& caller, ImportEnd from, StoreEnd to,
                      ProgressSink sink) override {
    ASSIGN_OR_RETURN(const auto lease, images::TemporaryLease::Create(caller, *stores_.leases));
    const base::Context& context = lease.context();
    ProgressTracker progress(std::move(sink), "");
    progress.Tell("Importing");
    ASSIGN_OR_RETURN(const auto unpacks, MatchUnpacks(config_, to.unpacks));
    ASSIGN_OR_RETURN(const Descriptor index, ReadArchive(context, *stores_.content, from));
    ASSIGN_OR_RETURN(const auto entries,
                     UnpackImported(context, *stores_.content, locks_, to, unpacks, index));
    std::vector<images::Image> stored = ImagesFor(to, index, Origin::kNamed, absl::Now());
    for (const Descriptor& entry : entries) {
      for (auto& image : ImagesFor(to, entry, Origin::kArchiveEntry, absl::Now())) {
        stored.push_back(std::move(image));
      }
    }
    RETURN_IF_ERROR(Store(context, stored, progress));
    progress.Tell("Completed import");
    return absl::OkStatus();
  }

  absl::Status Export(const base::Context& caller, StoreEnd from, ExportEnd to,
                      ProgressSink sink) override {
    ASSIGN_OR_RETURN(const auto lease, images::TemporaryLease::Create(caller, *stores_.leases));
    const base::Context& context = lease.context();
    ProgressTracker progress(std::move(sink), "");
    progress.Tell("Exporting");
    std::vector<std::string> names;
    if (!from.name.empty()) names.push_back(from.name);
    for (const ExtraReference& reference : from.extra_references) {
      if (reference.is_prefix) {
        return base::Unimplemented("prefix lookup on export not implemented");
      }
      names.push_back(reference.name);
    }
    std::vector<images::Image> list;
    for (const std::string& name : names) {
      ASSIGN_OR_RETURN(images::Image image, stores_.images->Get(context, name));
      list.push_back(std::move(image));
    }
    RETURN_IF_ERROR(WriteArchive(context, *stores_.content, list, to));
    progress.Tell("Completed export");
    return absl::OkStatus();
  }

  absl::Status Tag(const base::Context& caller, StoreEnd from, StoreEnd to) override {
    ASSIGN_OR_RETURN(const auto lease, images::TemporaryLease::Create(caller, *stores_.leases));
    ASSIGN_OR_RETURN(const images::Image image, stores_.images->Get(lease.context(), from.name));
    const auto stored = ImagesFor(to, image.target, Origin::kNamed, absl::Now());
    if (stored.empty()) return base::NotFound("no image name found");
    for (const images::Image& each : stored) {
      RETURN_IF_ERROR(StoreImage(lease.context(), *stores_.images, each));
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::unique_ptr<registry::Registry>> OpenRegistry(const RegistryEnd& end) {
    ASSIGN_OR_RETURN(auto reference, images::Reference::Parse(end.reference));
    registry::RegistryOptions options = end.options;
    if (options.hosts.directories.empty()) options.hosts.directories = config_.host_directories;
    return registry::Registry::Open(*http_, std::move(reference), std::move(options));
  }

  absl::Status Store(const base::Context& context, const std::vector<images::Image>& stored,
                     ProgressTracker& progress) {
    for (const images::Image& image : stored) {
      RETURN_IF_ERROR(StoreImage(context, *stores_.images, image));
      progress.Tell("saved", image.name, image.target);
    }
    return absl::OkStatus();
  }

  const Stores stores_;
  const TransferConfig config_;
  const std::unique_ptr<registry::HttpClient> http_;
  Limiter downloads_;
  Limiter uploads_;
  KeyedLocks locks_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Transfer>> CreateTransfer(Stores stores, TransferConfig config) {
  return std::make_unique<LocalTransfer>(stores, std::move(config), registry::HttpClient::Create());
}

}  // namespace ctrd::transfer
