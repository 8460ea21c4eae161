// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/unpacker.h"

#include <algorithm>

#include "base/identifiers.h"
#include "base/log.h"
#include "base/status.h"
#include "images/diff/layer_applier.h"
#include "images/spec/documents.h"

namespace ctrd::transfer {
namespace {

constexpr int kMaxPrepareAttempts = 3;
constexpr std::string_view kSnapshotRefLabel = "containerd.io/snapshot.ref";
constexpr std::string_view kSnapshotLabelPrefix = "containerd.io/snapshot/";

bool Supports(const TransferConfig& config, const UnpackTarget& target,
              const UnpackRequest& request) {
  if (!request.snapshotter.empty() && request.snapshotter != target.snapshotter_name) return false;
  if (request.platform.empty()) return true;
  if (config.check_platform_supported) {
    return images::PlatformMatcher::Only(target.platform).Matches(request.platform);
  }
  const Platform wanted = images::NormalizePlatform(request.platform);
  const Platform offered = images::NormalizePlatform(target.platform);
  return wanted.os == offered.os && wanted.os_features == offered.os_features;
}

const UnpackTarget* Find(const TransferConfig& config, const UnpackRequest& request) {
  const UnpackTarget* first = nullptr;
  for (const UnpackTarget& target : config.unpack_targets) {
    if (!Supports(config, target, request)) continue;
    if (target.snapshotter_name == config.default_snapshotter) return &target;
    if (first == nullptr) first = &target;
  }
  return first;
}

}  // namespace

absl::StatusOr<std::vector<ActiveUnpack>> MatchUnpacks(const TransferConfig& config,
                                                       const std::vector<UnpackRequest>& requests) {
  std::vector<ActiveUnpack> out;
  for (const UnpackRequest& request : requests) {
    const UnpackTarget* target = Find(config, request);
    if (target == nullptr) {
      base::LogDebug("no unpack target, skipping",
                     {{"platform", images::FormatPlatform(request.platform)},
                      {"snapshotter", request.snapshotter}});
      continue;
    }
    const Platform& platform = request.platform.empty() ? target->platform : request.platform;
    out.push_back({images::PlatformMatcher::Only(platform), *target});
  }
  if (!requests.empty() && out.empty()) {
    return base::InvalidArgument("unable to initialize unpacker: no unpack platforms defined");
  }
  return out;
}

absl::Status Unpacker::Open(const Descriptor& config, std::vector<Descriptor> layers,
                            std::vector<std::string> diff_ids) {
  if (layers.size() != diff_ids.size()) {
    return base::Unknown("number of layers and diffIDs don't match: {} != {}", layers.size(),
                         diff_ids.size());
  }
  for (const std::string& diff_id : diff_ids) {
    RETURN_IF_ERROR(base::Digest::Parse(diff_id).status());
  }
  config_ = config;
  layers_ = std::move(layers);
  diff_ids_ = std::move(diff_ids);
  chain_ids_ = images::ChainIds(diff_ids_);
  return absl::OkStatus();
}

absl::StatusOr<bool> Unpacker::HasSnapshot(const base::Context& context, size_t index) {
  const absl::Status status = target_.snapshotter->Stat(context, chain_ids_[index]).status();
  if (absl::IsNotFound(status)) return false;
  RETURN_IF_ERROR(status);
  return true;
}

absl::StatusOr<size_t> Unpacker::CountPresent(const base::Context& context) {
  // From the top: a snapshot cannot be without its parents.
  for (size_t index = chain_ids_.size(); index > 0; --index) {
    ASSIGN_OR_RETURN(const bool present, HasSnapshot(context, index - 1));
    if (present) return index;
  }
  return size_t{0};
}

base::Labels Unpacker::SnapshotLabels(size_t index) const {
  base::Labels labels;
  for (const auto& [key, value] : layers_[index].annotations) {
    if (key.starts_with(kSnapshotLabelPrefix)) labels[key] = value;
  }
  labels[std::string(kSnapshotRefLabel)] = chain_ids_[index];
  labels["containerd.io/snapshot/diff-id"] = diff_ids_[index];
  if (index > 0) labels["containerd.io/snapshot/parent-chain-id"] = chain_ids_[index - 1];
  return labels;
}

absl::StatusOr<KeyedLocks::Held> Unpacker::LockLayer(const base::Context& context, size_t index) {
  return locks_.Lock(context, fmt::format("sn://{}/{}/{}", context.namespace_name(),
                                          target_.snapshotter_name, chain_ids_[index]));
}

absl::StatusOr<Unpacker::Prepared> Unpacker::Prepare(const base::Context& context, size_t index,
                                                     const std::string& parent) {
  for (int attempt = 1;; ++attempt) {
    // Another transfer may have made it while this one waited, or the snapshotter knows it.
    ASSIGN_OR_RETURN(const bool present, HasSnapshot(context, index));
    if (present) return Prepared{};
    std::string key = fmt::format("extract-{} {}", base::GenerateName(), chain_ids_[index]);
    auto mounts = target_.snapshotter->Prepare(context, key, parent, SnapshotLabels(index));
    if (mounts.ok()) return Prepared{std::move(key), *std::move(mounts)};
    if (!absl::IsAlreadyExists(mounts.status()) || attempt == kMaxPrepareAttempts) {
      return base::Annotate(mounts.status(), fmt::format("failed to prepare extraction snapshot {}",
                                                         base::Quote(key)));
    }
  }
}

absl::Status Unpacker::Apply(const base::Context& context, size_t index, const FetchLayer& fetch,
                             ProgressTracker::Item* item) {
  ASSIGN_OR_RETURN(const auto held, LockLayer(context, index));
  ASSIGN_OR_RETURN(const Prepared prepared,
                   Prepare(context, index, index == 0 ? "" : chain_ids_[index - 1]));
  if (prepared.key.empty()) return absl::OkStatus();
  absl::Status status = Extract(context, index, prepared.mounts, {}, fetch, item);
  if (status.ok()) status = Commit(context, index, prepared.key, "");
  if (!status.ok()) (void)target_.snapshotter->Remove(context.Detached(), prepared.key);
  return status;
}

absl::StatusOr<LooseLayer> Unpacker::ApplyLoose(const base::Context& context, size_t index,
                                                const FetchLayer& fetch,
                                                ProgressTracker::Item* item) {
  ASSIGN_OR_RETURN(auto held, LockLayer(context, index));
  LooseLayer layer(*this, context, index, std::move(held));
  ASSIGN_OR_RETURN(Prepared prepared, Prepare(context, index, ""));
  if (prepared.key.empty()) return layer;
  layer.key_ = std::move(prepared.key);
  diff::ApplyOptions options;
  if (index > 0) {
    // What is deleted has to be kept for the layers below, as in the upper directory of an overlay.
    options.must_stand_alone = true;
    if (prepared.mounts.size() == 1 && prepared.mounts[0].type == "bind") {
      prepared.mounts = {{.type = "overlay",
                          .source = "overlay",
                          .options = {"upperdir=" + prepared.mounts[0].source}}};
    }
  }
  RETURN_IF_ERROR(Extract(context, index, prepared.mounts, options, fetch, item));
  return layer;
}

LooseLayer::~LooseLayer() {
  if (key_.empty()) return;
  // What cannot be removed has no lease for long.
  (void)unpacker_->target_.snapshotter->Remove(context_->Detached(), key_);
}

absl::Status LooseLayer::Commit() {
  if (key_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(unpacker_->Commit(*context_, index_, key_,
                                    index_ == 0 ? "" : unpacker_->chain_ids_[index_ - 1]));
  key_.clear();
  return absl::OkStatus();
}

absl::StatusOr<Descriptor> Unpacker::FetchAndApply(const base::Context& context,
                                                   const Descriptor& layer,
                                                   const base::Mounts& mounts,
                                                   const diff::ApplyOptions& options,
                                                   const FetchLayer& fetch) {
  std::unique_ptr<diff::LayerApplier> applier;
  // Kept until the blob's digest is known: bytes that were not ours to apply are the better reason.
  absl::Status applying;
  Tap tap;
  if (target_.streaming) {
    tap = [&](std::string_view data) {
      if (applying.ok() && applier == nullptr) {
        auto started = diff::LayerApplier::Start(context, *target_.streaming, layer.media_type,
                                                 mounts, options);
        applying = started.status();
        if (started.ok()) applier = *std::move(started);
      }
      if (applying.ok()) applying = applier->Write(data);
    };
  }
  ASSIGN_OR_RETURN(const bool tapped, fetch(tap));
  if (tapped && applying.ok() && applier != nullptr) return applier->Finish();
  if (tapped && !absl::IsUnimplemented(applying)) RETURN_IF_ERROR(applying);
  return target_.differ->Apply(context, layer, mounts, options);
}

absl::Status Unpacker::Extract(const base::Context& context, size_t index,
                               const base::Mounts& mounts, const diff::ApplyOptions& options,
                               const FetchLayer& fetch, ProgressTracker::Item* item) {
  const Descriptor& layer = layers_[index];
  diff::ApplyOptions watched = options;
  if (item != nullptr) watched.progress = [item](int64_t bytes) { item->Extracted(bytes); };
  ASSIGN_OR_RETURN(const Descriptor diff, FetchAndApply(context, layer, mounts, watched, fetch));
  if (diff.digest != diff_ids_[index]) {
    return base::Unknown("wrong diff id {} calculated on extraction {}, desc {}",
                         base::Quote(diff.digest), base::Quote(diff_ids_[index]),
                         base::Quote(layer.digest));
  }
  if (item != nullptr) item->ExtractionDone();
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(layer.digest));
  return MergeLabels(context, store_, digest,
                     {{std::string(images::kUncompressedLabel), diff_ids_[index]}});
}

absl::Status Unpacker::Commit(const base::Context& context, size_t index, const std::string& key,
                              const std::string& new_parent) {
  const absl::Status committed = target_.snapshotter->Commit(context, chain_ids_[index], key,
                                                             SnapshotLabels(index), new_parent);
  if (!absl::IsAlreadyExists(committed)) return committed;
  return target_.snapshotter->Remove(context, key);
}

absl::Status Unpacker::Finish(const base::Context& context) {
  if (chain_ids_.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(config_.digest));
  return MergeLabels(context, store_, digest,
                     {{std::string(images::kGcSnapshotLabelPrefix) + target_.snapshotter_name,
                       chain_ids_.back()}});
}

}  // namespace ctrd::transfer
