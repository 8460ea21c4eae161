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

absl::Status Unpacker::Apply(const base::Context& context, size_t index, const FetchLayer& fetch,
                             ProgressTracker::Item* item) {
  const std::string& chain_id = chain_ids_[index];
  ASSIGN_OR_RETURN(const auto held,
                   locks_.Lock(context, fmt::format("sn://{}/{}/{}", context.namespace_name(),
                                                    target_.snapshotter_name, chain_id)));
  // Another transfer may have made it while this one waited.
  ASSIGN_OR_RETURN(const bool made_meanwhile, HasSnapshot(context, index));
  if (made_meanwhile) return absl::OkStatus();
  for (int attempt = 1;; ++attempt) {
    const std::string key = fmt::format("extract-{} {}", base::GenerateName(), chain_id);
    const auto mounts = target_.snapshotter->Prepare(
        context, key, index == 0 ? "" : chain_ids_[index - 1], SnapshotLabels(index));
    if (mounts.ok()) {
      absl::Status status = Extract(context, index, key, *mounts, fetch, item);
      if (!status.ok()) (void)target_.snapshotter->Remove(context.Detached(), key);
      return status;
    }
    if (!absl::IsAlreadyExists(mounts.status()) || attempt == kMaxPrepareAttempts) {
      return base::Annotate(mounts.status(), fmt::format("failed to prepare extraction snapshot {}",
                                                         base::Quote(key)));
    }
    // A snapshotter may know the layer without us.
    ASSIGN_OR_RETURN(const bool present, HasSnapshot(context, index));
    if (present) return absl::OkStatus();
  }
}

absl::StatusOr<Descriptor> Unpacker::FetchAndApply(const base::Context& context,
                                                   const Descriptor& layer,
                                                   const base::Mounts& mounts,
                                                   const FetchLayer& fetch,
                                                   ProgressTracker::Item* item) {
  diff::ApplyOptions options;
  if (item != nullptr) options.progress = [item](int64_t bytes) { item->Extracted(bytes); };
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

absl::Status Unpacker::Extract(const base::Context& context, size_t index, const std::string& key,
                               const base::Mounts& mounts, const FetchLayer& fetch,
                               ProgressTracker::Item* item) {
  const Descriptor& layer = layers_[index];
  ASSIGN_OR_RETURN(const Descriptor diff, FetchAndApply(context, layer, mounts, fetch, item));
  if (diff.digest != diff_ids_[index]) {
    return base::Unknown("wrong diff id {} calculated on extraction {}, desc {}",
                         base::Quote(diff.digest), base::Quote(diff_ids_[index]),
                         base::Quote(layer.digest));
  }
  if (item != nullptr) item->ExtractionDone();
  const absl::Status committed =
      target_.snapshotter->Commit(context, chain_ids_[index], key, SnapshotLabels(index), "");
  if (absl::IsAlreadyExists(committed)) {
    RETURN_IF_ERROR(target_.snapshotter->Remove(context, key));
  } else {
    RETURN_IF_ERROR(committed);
  }
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(layer.digest));
  return MergeLabels(context, store_, digest,
                     {{std::string(images::kUncompressedLabel), diff_ids_[index]}});
}

absl::Status Unpacker::Finish(const base::Context& context) {
  if (chain_ids_.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(config_.digest));
  return MergeLabels(context, store_, digest,
                     {{std::string(images::kGcSnapshotLabelPrefix) + target_.snapshotter_name,
                       chain_ids_.back()}});
}

}  // namespace ctrd::transfer
