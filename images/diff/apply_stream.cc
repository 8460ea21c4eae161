// SPDX-License-Identifier: Apache-2.0
#include "images/diff/apply_stream.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "images/archive/apply.h"
#include "images/archive/compression.h"
#include "images/diff/activated_mounts.h"
#include "images/diff/layer_target.h"
#include "images/diff/media_types.h"

namespace ctrd::diff {
namespace {

constexpr size_t kProcessorLimit = 16;  // Of a chain: one that leads in a circle ends somewhere.

// The stages between a blob and its tar.
class Stages {
 public:
  Stages(const base::Context& context, archive::ByteSource& input, const WalkingOptions& walking,
         const ApplyOptions& options)
      : context_(context), walking_(walking), options_(options), last_(&input) {}
  ~Stages() {
    while (!stages_.empty()) stages_.pop_back();  // Each reads from the one before.
  }

  absl::StatusOr<archive::ByteSource*> TarOf(const std::string& original_type) {
    std::string type = original_type;
    do {
      if (stages_.size() == kProcessorLimit || !AddStage(type, status_)) {
        RETURN_IF_ERROR(status_);
        return base::Unknown("failed to get stream processor for {}: no processor for media-type",
                             original_type);
      }
    } while (type != kLayerMediaType);
    return last_;
  }

 private:
  // Adds what treats `type` and sets it to what comes out. False when nothing does, or it failed.
  bool AddStage(std::string& type, absl::Status& status) {
    for (const StreamProcessor& processor : walking_.stream_processors) {
      if (std::find(processor.accepts.begin(), processor.accepts.end(), type) ==
          processor.accepts.end()) {
        continue;
      }
      const auto payload = options_.payloads.find(processor.id);
      status = Add(StartStreamProcessor(
          context_, processor, type,
          payload == options_.payloads.end() ? nullptr : &payload->second, *last_));
      type = processor.returns;
      return status.ok();
    }
    const std::optional<LayerTreatment> treatment = TreatmentOf(type);
    if (!treatment.has_value()) return false;
    if (*treatment == LayerTreatment::kDecompress) {
      status = Add(archive::OpenDecompressor(*last_));
    }
    type = kLayerMediaType;
    return status.ok();
  }

  absl::Status Add(absl::StatusOr<std::unique_ptr<archive::ByteSource>> stage) {
    RETURN_IF_ERROR(stage.status());
    last_ = stage->get();
    stages_.push_back(*std::move(stage));
    return absl::OkStatus();
  }

  const base::Context& context_;
  const WalkingOptions& walking_;
  const ApplyOptions& options_;
  archive::ByteSource* last_;
  std::vector<std::unique_ptr<archive::ByteSource>> stages_;
  absl::Status status_;
};

// Reads `source` to its end.
absl::Status Drain(const base::Context& context, archive::ByteSource& source) {
  std::vector<char> buffer(64 << 10);
  while (true) {
    RETURN_IF_ERROR(context.Check());
    ASSIGN_OR_RETURN(const size_t count, source.Read(buffer));
    if (count == 0) return absl::OkStatus();
  }
}

}  // namespace

absl::StatusOr<images::Descriptor> ApplyStream(
    const base::Context& context, archive::ByteSource& input, const std::string& media_type,
    const base::Mounts& mounts, const WalkingOptions& walking, const ApplyOptions& options) {
  Stages stages(context, input, walking, options);
  ASSIGN_OR_RETURN(archive::ByteSource* const tar, stages.TarOf(media_type));
  archive::HashingSource hashing(*tar);
  ASSIGN_OR_RETURN(ActivatedMounts activated,
                   ActivatedMounts::Open(context, mounts, walking.mounts));
  ASSIGN_OR_RETURN(LayerTarget target, LayerTarget::Open(activated.mounts(), walking.tmp_root));
  archive::ApplyTarOptions tar_options = target.options();
  tar_options.lowers_unknown = options.must_stand_alone;
  absl::Status applied = archive::ApplyTar(context, hashing, target.root(), tar_options);
  // What a decompressor left of its input belongs to the blob too.
  if (applied.ok()) applied = Drain(context, input);
  if (applied.ok() && (options.sync_fs || walking.sync_fs)) applied = target.Sync();
  absl::Status closed = target.Close();
  closed.Update(activated.Close());
  RETURN_IF_ERROR(applied);
  RETURN_IF_ERROR(closed);
  return images::Descriptor{.media_type = std::string(kLayerMediaType),
                            .digest = hashing.digest().text(),
                            .size_bytes = hashing.size_bytes()};
}

}  // namespace ctrd::diff
