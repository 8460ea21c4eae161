// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/task_checkpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <span>

#include "base/files.h"
#include "base/identifiers.h"
#include "base/log.h"
#include "base/status.h"
#include "base/wire.h"
#include "images/archive/apply.h"
#include "images/archive/compression.h"
#include "images/archive/tar_writer.h"

namespace ctrd::services {
namespace {

constexpr char kDumpType[] = "application/vnd.containerd.container.criu.checkpoint.criu.tar";
constexpr char kSpecType[] = "application/vnd.containerd.container.checkpoint.config.v1+proto";

absl::StatusOr<UnpackedCheckpoint> MakeDirectory() {
  const char* runtime_dir = std::getenv("XDG_RUNTIME_DIR");
  ASSIGN_OR_RETURN(
      std::string path,
      base::MakeTempDirectory(runtime_dir == nullptr ? "/tmp" : runtime_dir, "ctrd-checkpoint"));
  return UnpackedCheckpoint(std::move(path));
}

class BlobSource final : public archive::ByteSource {
 public:
  explicit BlobSource(content::Reader& reader) : reader_(reader) {}
  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    ASSIGN_OR_RETURN(const size_t count, reader_.ReadAt(offset_, buffer));
    offset_ += static_cast<int64_t>(count);
    return count;
  }

 private:
  content::Reader& reader_;
  int64_t offset_ = 0;
};

class FileSource final : public archive::ByteSource {
 public:
  FileSource(int fd, const std::string& path) : fd_(fd), path_(path) {}
  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    const ssize_t count = ::read(fd_, buffer.data(), buffer.size());
    if (count < 0) return base::ErrnoStatus("read", path_);
    return static_cast<size_t>(count);
  }

 private:
  const int fd_;
  const std::string& path_;
};

class BlobSink final : public archive::ByteSink {
 public:
  explicit BlobSink(content::Writer& writer) : writer_(writer) {}
  absl::Status Write(std::string_view data) override { return writer_.Write(data); }

 private:
  content::Writer& writer_;
};

// CRIU's images are regular files in one directory.
absl::Status PackFile(const std::string& directory, const std::string& name,
                      archive::TarWriter& tar) {
  const std::string path = directory + "/" + name;
  ASSIGN_OR_RETURN(const base::UniqueFd fd, base::Open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return base::ErrnoStatus("fstat", path);
  if (!S_ISREG(info.st_mode)) return absl::OkStatus();
  archive::TarEntry entry{.name = name,
                          .mode = static_cast<uint32_t>(info.st_mode & 07777),
                          .uid = info.st_uid,
                          .gid = info.st_gid,
                          .size_bytes = info.st_size,
                          .mtime = info.st_mtim};
  RETURN_IF_ERROR(tar.WriteHeader(entry));
  std::vector<char> buffer(1 << 18);
  for (int64_t left = info.st_size; left > 0;) {
    const ssize_t count =
        ::read(fd.get(), buffer.data(), std::min<int64_t>(left, std::ssize(buffer)));
    if (count < 0) return base::ErrnoStatus("read", path);
    if (count == 0) return base::DataLoss("{} shrank while it was read", path);
    RETURN_IF_ERROR(tar.WriteData({buffer.data(), static_cast<size_t>(count)}));
    left -= count;
  }
  return absl::OkStatus();
}

absl::StatusOr<images::Descriptor> StoreDump(const base::Context& context,
                                             content::ContentStore& content,
                                             const std::string& directory) {
  ASSIGN_OR_RETURN(const std::unique_ptr<content::Writer> writer,
                   content.OpenWriter(context, {.ref = "checkpoint-" + base::GenerateName()}));
  BlobSink sink(*writer);
  archive::TarWriter tar(sink);
  ASSIGN_OR_RETURN(const auto names, base::ListDirectory(directory));
  for (const std::string& name : names) RETURN_IF_ERROR(PackFile(directory, name, tar));
  RETURN_IF_ERROR(tar.Finish());
  const base::Digest digest = writer->digest();
  const int64_t size = writer->status().offset_bytes;
  const absl::Status committed = writer->Commit(context, size, digest, {});
  if (!committed.ok() && !absl::IsAlreadyExists(committed)) return committed;
  return images::Descriptor{.media_type = kDumpType, .digest = digest.text(), .size_bytes = size};
}

absl::StatusOr<images::Descriptor> StoreSpec(const base::Context& context,
                                             content::ContentStore& content,
                                             const base::Any& spec) {
  const std::string bytes = base::WireWriter().Bytes(1, spec.type_url).Bytes(2, spec.value).Take();
  const base::Digest digest = base::Digest::Of(bytes);
  RETURN_IF_ERROR(content::WriteBlob(context, content, "checkpoint-" + base::GenerateName(), bytes,
                                     digest, {}));
  return images::Descriptor{.media_type = kSpecType,
                            .digest = digest.text(),
                            .size_bytes = static_cast<int64_t>(bytes.size())};
}

}  // namespace

UnpackedCheckpoint::~UnpackedCheckpoint() {
  if (path_.empty()) return;
  const absl::Status removed = base::RemoveTree(path_);
  if (!removed.ok()) base::LogWarn("checkpoint directory stays", {{"error", removed}});
}

std::string RestorePathOf(const images::Descriptor& checkpoint) {
  const auto it = checkpoint.annotations.find("RestoreFromPath");
  return it == checkpoint.annotations.end() ? "" : it->second;
}

absl::Status ApplyRootfsDiff(const base::Context& context, const std::string& directory,
                             const std::string& rootfs) {
  const std::string path = directory + "/../rootfs-diff.tar";
  auto file = base::Open(path, O_RDONLY);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const base::UniqueFd root, base::Open(rootfs, O_RDONLY | O_DIRECTORY));
  FileSource bytes(file->get(), path);
  ASSIGN_OR_RETURN(const auto tar, archive::OpenDecompressor(bytes));
  return base::Annotate(archive::ApplyTar(context, *tar, root.get(), {}), "apply rootfs diff");
}

absl::StatusOr<UnpackedCheckpoint> UnpackCheckpoint(const base::Context& context,
                                                    content::ContentStore* content,
                                                    const images::Descriptor& checkpoint) {
  if (checkpoint.media_type != kDumpType) {
    return base::Unknown("unsupported checkpoint type \"{}\"", checkpoint.media_type);
  }
  if (content == nullptr) return base::Unimplemented("checkpoints as content");
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(checkpoint.digest));
  ASSIGN_OR_RETURN(const auto reader, content->OpenReader(context, digest));
  ASSIGN_OR_RETURN(UnpackedCheckpoint directory, MakeDirectory());
  ASSIGN_OR_RETURN(const base::UniqueFd root, base::Open(directory.path(), O_RDONLY | O_DIRECTORY));
  BlobSource source(*reader);
  RETURN_IF_ERROR(archive::ApplyTar(context, source, root.get(), {}));
  return directory;
}

absl::StatusOr<std::vector<images::Descriptor>> StoreCheckpoint(
    const base::Context& context, content::ContentStore* content, const base::Any& spec,
    const std::function<absl::Status(const std::string& directory)>& dump) {
  if (content == nullptr) return base::Unimplemented("checkpoints as content");
  ASSIGN_OR_RETURN(const UnpackedCheckpoint directory, MakeDirectory());
  RETURN_IF_ERROR(dump(directory.path()));
  ASSIGN_OR_RETURN(images::Descriptor files, StoreDump(context, *content, directory.path()));
  ASSIGN_OR_RETURN(images::Descriptor record, StoreSpec(context, *content, spec));
  return std::vector<images::Descriptor>{std::move(files), std::move(record)};
}

}  // namespace ctrd::services
