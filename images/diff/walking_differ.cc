// SPDX-License-Identifier: Apache-2.0
#include "images/diff/walking_differ.h"

#include <fcntl.h>

#include <utility>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/status.h"
#include "images/archive/compression.h"
#include "images/archive/tar_writer.h"
#include "images/diff/apply_stream.h"
#include "images/diff/layer_writer.h"
#include "images/diff/media_types.h"
#include "images/diff/tree_changes.h"

namespace ctrd::diff {
namespace {

constexpr std::string_view kUncompressedLabel = "containerd.io/uncompressed";

// A blob from its first byte to its last.
class BlobSource : public archive::ByteSource {
 public:
  BlobSource(content::Reader& reader, const std::function<void(int64_t)>& progress)
      : reader_(reader), progress_(progress) {}
  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    absl::StatusOr<size_t> count = reader_.ReadAt(offset_, buffer);
    if (count.ok()) offset_ += static_cast<int64_t>(*count);
    if (count.ok() && progress_) progress_(offset_);
    return count;
  }

 private:
  content::Reader& reader_;
  const std::function<void(int64_t)>& progress_;
  int64_t offset_ = 0;
};

class BlobSink : public archive::ByteSink {
 public:
  explicit BlobSink(content::Writer& writer) : writer_(writer) {}
  absl::Status Write(std::string_view data) override { return writer_.Write(data); }

 private:
  content::Writer& writer_;
};

// As other tools know the ingests of diffs: "<unix nanoseconds>-<4 characters>".
std::string RandomRef() {
  const std::string name = base::GenerateName();
  return fmt::format("{}-{}", absl::ToUnixNanos(absl::Now()), name.substr(name.size() - 4));
}

// Writes the layer from the tree in `left` to the one in `right` as a tar.
absl::Status WriteLayer(const base::Context& context, const std::string& left,
                        const std::string& right, std::optional<absl::Time> latest,
                        archive::ByteSink& sink) {
  ASSIGN_OR_RETURN(const base::UniqueFd left_root, base::Open(left, O_RDONLY | O_DIRECTORY));
  ASSIGN_OR_RETURN(const base::UniqueFd right_root, base::Open(right, O_RDONLY | O_DIRECTORY));
  archive::TarWriter tar(sink);
  LayerWriter layer(tar, right_root.get(), latest);
  RETURN_IF_ERROR(FindChanges(context, left_root.get(), right_root.get(),
                              [&](const Change& change) { return layer.Add(change); }));
  return tar.Finish();
}

class WalkingDiffer : public Differ {
 public:
  WalkingDiffer(content::ContentStore& content, WalkingOptions options)
      : content_(content), walking_(std::move(options)) {}

  absl::StatusOr<images::Descriptor> Apply(const base::Context& context,
                                           const images::Descriptor& layer,
                                           const base::Mounts& mounts,
                                           const ApplyOptions& options) override {
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(layer.digest));
    auto reader = content_.OpenReader(context, digest);
    RETURN_IF_ERROR(base::Annotate(reader.status(), "failed to get reader from content store"));
    BlobSource source(**reader, options.progress);
    return ApplyStream(context, source, layer.media_type, mounts, walking_, options);
  }

  absl::StatusOr<images::Descriptor> Compare(const base::Context& context, const base::Mounts& left,
                                             const base::Mounts& right,
                                             const CompareOptions& options) override {
    ASSIGN_OR_RETURN(const archive::Compression compression, CompressionFor(options.media_type));
    ASSIGN_OR_RETURN(base::TempMount left_mount,
                     base::TempMount::Create(walking_.tmp_root, base::ForTemporaryUse(left)));
    ASSIGN_OR_RETURN(
        base::TempMount right_mount,
        base::TempMount::Create(walking_.tmp_root, base::ForTemporaryUse(base::ReadOnly(right))));
    const std::string ref = options.ref.empty() ? RandomRef() : options.ref;
    const auto write_layer = [&](archive::ByteSink& sink) {
      return WriteLayer(context, left_mount.path(), right_mount.path(), options.source_date_epoch,
                        sink);
    };
    auto descriptor = WriteBlob(context, ref, compression, options, write_layer);
    if (!descriptor.ok() && options.ref.empty()) {
      (void)content_.Abort(context.Detached(), ref);  // Nobody could find and resume it.
    }
    RETURN_IF_ERROR(descriptor.status());
    RETURN_IF_ERROR(right_mount.Close());
    RETURN_IF_ERROR(left_mount.Close());
    return descriptor;
  }

 private:
  absl::StatusOr<images::Descriptor> WriteBlob(
      const base::Context& context, const std::string& ref, archive::Compression compression,
      const CompareOptions& options,
      const std::function<absl::Status(archive::ByteSink&)>& write_layer) {
    ASSIGN_OR_RETURN(auto writer, content_.OpenWriter(context, {.ref = ref}));
    if (writer->status().offset_bytes > 0) RETURN_IF_ERROR(writer->Truncate(0));
    BlobSink blob(*writer);
    ASSIGN_OR_RETURN(const auto compressor, archive::OpenCompressor(compression, blob));
    archive::HashingSink tar(*compressor);
    RETURN_IF_ERROR(write_layer(tar));
    RETURN_IF_ERROR(compressor->Finish());

    base::Labels labels = options.labels;
    if (compression != archive::Compression::kNone) {
      labels[std::string(kUncompressedLabel)] = tar.digest().text();
    }
    const base::Digest digest = writer->digest();
    const int64_t size = writer->status().offset_bytes;
    const absl::Status committed = writer->Commit(context, 0, digest, labels);
    if (absl::IsAlreadyExists(committed)) {
      RETURN_IF_ERROR(AddUncompressedLabel(context, digest, labels));
    } else {
      RETURN_IF_ERROR(committed);
    }
    const bool gzip = options.media_type.empty();
    return images::Descriptor{
        .media_type = gzip ? std::string(kLayerMediaType) + "+gzip" : options.media_type,
        .digest = digest.text(),
        .size_bytes = size};
  }

  // For a blob that somebody stored before without saying what is in it.
  absl::Status AddUncompressedLabel(const base::Context& context, const base::Digest& digest,
                                    const base::Labels& labels) {
    const auto uncompressed = labels.find(std::string(kUncompressedLabel));
    if (uncompressed == labels.end()) return absl::OkStatus();
    ASSIGN_OR_RETURN(content::Info info, content_.Stat(context, digest));
    if (info.labels.contains(uncompressed->first)) return absl::OkStatus();
    info.labels = {*uncompressed};
    const absl::StatusOr<content::Info> updated =
        content_.Update(context, info, {.replace_all = false, .keys = {uncompressed->first}});
    return updated.status();
  }

  content::ContentStore& content_;
  const WalkingOptions walking_;
};

}  // namespace

std::unique_ptr<Differ> OpenWalkingDiffer(content::ContentStore& content, WalkingOptions options) {
  return std::make_unique<WalkingDiffer>(content, std::move(options));
}

}  // namespace ctrd::diff
