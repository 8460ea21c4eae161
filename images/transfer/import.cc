// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/import.h"

#include <map>

#include "base/status.h"
#include "images/archive/compression.h"
#include "images/archive/tar_reader.h"
#include "images/spec/documents.h"
#include "images/spec/media_types.h"
#include "images/transfer/docker_archive.h"
#include "images/transfer/fetcher.h"
#include "images/transfer/pull.h"

namespace ctrd::transfer {
namespace {

constexpr size_t kMaxSpecialFileBytes = 20 << 20;
constexpr int kMaxDepth = 8;

// The archive's bytes as the tar reader takes them.
class SourceAdapter : public archive::ByteSource {
 public:
  SourceAdapter(const base::Context& context, transfer::ByteSource& source)
      : context_(context), source_(source) {}

  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    if (used_ == chunk_.size()) {
      used_ = 0;
      RETURN_IF_ERROR(source_.Read(context_, chunk_));
    }
    const size_t count = chunk_.copy(buffer.data(), buffer.size(), used_);
    used_ += count;
    return count;
  }

 private:
  const base::Context& context_;
  transfer::ByteSource& source_;
  std::string chunk_;
  size_t used_ = 0;
};

absl::StatusOr<std::string> ReadSpecialFile(archive::TarReader& tar, const std::string& name) {
  std::string text;
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view data, tar.ReadData());
    if (data.empty()) return text;
    if (text.size() + data.size() > kMaxSpecialFileBytes) {
      return base::InvalidArgument("{} is larger than {} bytes", name, kMaxSpecialFileBytes);
    }
    text += data;
  }
}

// One file of the archive as a blob; its descriptor without a media type.
absl::StatusOr<Descriptor> Ingest(const base::Context& context, content::ContentStore& store,
                                  archive::TarReader& tar, const std::string& name) {
  ASSIGN_OR_RETURN(auto writer, OpenWriterPatiently(context, store, {.ref = "tar-" + name}));
  if (writer->status().offset_bytes > 0) RETURN_IF_ERROR(writer->Truncate(0));
  Descriptor blob;
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view data, tar.ReadData());
    if (data.empty()) break;
    RETURN_IF_ERROR(writer->Write(data));
    blob.size_bytes += static_cast<int64_t>(data.size());
  }
  const base::Digest digest = writer->digest();
  blob.digest = digest.text();
  const absl::Status committed = writer->Commit(context, blob.size_bytes, digest, {});
  if (!committed.ok() && !absl::IsAlreadyExists(committed)) return committed;
  return blob;
}

absl::Status ReadEntries(const base::Context& context, content::ContentStore& store,
                         archive::TarReader& tar, ArchiveFiles& files) {
  while (true) {
    RETURN_IF_ERROR(context.Check());
    ASSIGN_OR_RETURN(const archive::TarEntry* entry, tar.Next());
    if (entry == nullptr) return tar.Drain();
    const std::string name = CleanArchivePath(entry->name);
    if (entry->type == archive::TarType::kSymbolicLink) {
      const size_t slash = name.rfind('/');
      files.symlinks[name] = CleanArchivePath(
          (slash == std::string::npos ? "" : name.substr(0, slash + 1)) + entry->link);
    } else if (entry->type != archive::TarType::kRegular) {
      continue;
    } else if (name == "oci-layout") {
      ASSIGN_OR_RETURN(files.oci_layout, ReadSpecialFile(tar, name));
    } else if (name == "manifest.json") {
      ASSIGN_OR_RETURN(files.docker_manifest, ReadSpecialFile(tar, name));
    } else {
      ASSIGN_OR_RETURN(files.blobs[name], Ingest(context, store, tar, name));
    }
  }
}

// Labels and unpacks what `parent` leads to. Counts documents with children in `visited`.
class ImportWalk {
 public:
  ImportWalk(const base::Context& context, content::ContentStore& store, KeyedLocks& locks,
             const StoreEnd& to, const std::vector<ActiveUnpack>& unpacks)
      : context_(context), store_(store), locks_(locks), to_(to), unpacks_(unpacks) {}

  // What the document's children are, of those that are selected.
  absl::Status Visit(const Descriptor& parent, int depth) {
    if (depth > kMaxDepth) return base::InvalidArgument("indexes are nested too deeply");
    const bool index = images::IsIndex(parent.media_type);
    if (!index && !images::IsManifest(parent.media_type)) return absl::OkStatus();
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(parent.digest));
    ASSIGN_OR_RETURN(const std::string text,
                     content::ReadBlob(context_, store_, digest, images::kMaxDocumentBytes));
    ASSIGN_OR_RETURN(auto children, images::ChildrenOf(parent, text));
    RETURN_IF_ERROR(MergeLabels(context_, store_, digest, images::GcLabelsFor(children)));
    if (depth == 0) entries_ = children;
    if (!index) return VisitManifest(children);
    StoreEnd all_of_these = to_;
    all_of_these.all_metadata = false;
    ASSIGN_OR_RETURN(const auto selected, SelectManifests(all_of_these, std::move(children)));
    for (const Selected& each : selected) RETURN_IF_ERROR(Visit(each.descriptor, depth + 1));
    return absl::OkStatus();
  }

  bool found_image() const { return found_image_; }
  std::vector<Descriptor> TakeEntries() { return std::move(entries_); }

 private:
  absl::Status VisitManifest(const std::vector<Descriptor>& children) {
    found_image_ = found_image_ || !children.empty();
    std::vector<Descriptor> layers;
    const Descriptor* config_descriptor = nullptr;
    for (const Descriptor& child : children) {
      if (images::IsLayer(child.media_type)) layers.push_back(child);
      if (images::IsConfig(child.media_type) && config_descriptor == nullptr) {
        config_descriptor = &child;
      }
    }
    if (config_descriptor == nullptr || unpacks_.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(config_descriptor->digest));
    ASSIGN_OR_RETURN(const std::string text,
                     content::ReadBlob(context_, store_, digest, images::kMaxDocumentBytes));
    ASSIGN_OR_RETURN(images::ImageConfig config, images::ParseImageConfig(text));
    for (const ActiveUnpack& unpack : unpacks_) {
      if (!unpack.platforms.Matches(config.platform)) continue;
      Unpacker unpacker(store_, locks_, unpack.target);
      RETURN_IF_ERROR(unpacker.Open(*config_descriptor, layers, std::move(config.diff_ids)));
      ASSIGN_OR_RETURN(const size_t present, unpacker.CountPresent(context_));
      for (size_t i = present; i < layers.size(); ++i) {
        RETURN_IF_ERROR(unpacker.Apply(
            context_, i, [](const Tap&) { return false; }, nullptr));
      }
      return unpacker.Finish(context_);
    }
    return absl::OkStatus();
  }

  const base::Context& context_;
  content::ContentStore& store_;
  KeyedLocks& locks_;
  const StoreEnd& to_;
  const std::vector<ActiveUnpack>& unpacks_;
  std::vector<Descriptor> entries_;
  bool found_image_ = false;
};

}  // namespace

absl::StatusOr<Descriptor> ReadArchive(const base::Context& context, content::ContentStore& store,
                                       const ImportEnd& from) {
  SourceAdapter raw(context, *from.source);
  std::unique_ptr<archive::ByteSource> inflated;
  if (from.media_type.empty()) {
    ASSIGN_OR_RETURN(inflated, archive::OpenDecompressor(raw));
  }
  archive::TarReader tar(inflated != nullptr ? *inflated : raw);
  ArchiveFiles files;
  RETURN_IF_ERROR(ReadEntries(context, store, tar, files));
  if (!files.oci_layout.empty()) {
    ASSIGN_OR_RETURN(const std::string version, images::ParseLayoutVersion(files.oci_layout));
    if (version != "1.0.0") return base::Unknown("unsupported OCI version {}", version);
    const auto index = files.blobs.find("index.json");
    if (index == files.blobs.end()) {
      return base::Unknown("missing index.json in OCI layout {}", version);
    }
    Descriptor out = index->second;
    out.media_type = images::kOciIndex;
    return out;
  }
  if (files.docker_manifest.empty()) return base::Unknown("unrecognized image format");
  return IndexDockerArchive(context, store, files, from.force_compress);
}

absl::StatusOr<std::vector<Descriptor>> UnpackImported(const base::Context& context,
                                                       content::ContentStore& store,
                                                       KeyedLocks& locks, const StoreEnd& to,
                                                       const std::vector<ActiveUnpack>& unpacks,
                                                       const Descriptor& index) {
  ImportWalk walk(context, store, locks, to, unpacks);
  RETURN_IF_ERROR(walk.Visit(index, 0));
  if (!walk.found_image()) return base::Unknown("image might be filtered out");
  return walk.TakeEntries();
}

}  // namespace ctrd::transfer
