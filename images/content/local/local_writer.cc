// SPDX-License-Identifier: Apache-2.0
#include "images/content/local/local_writer.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "images/content/local/ingest_directory.h"

namespace ctrd::content {
namespace {

constexpr size_t kBufferBytes = 1 << 20;
constexpr int64_t kWriteBackBytes = 8 << 20;

// Makes blobs/<algorithm>, durably, if it is missing.
absl::StatusOr<base::UniqueFd> OpenBlobDirectory(const StoreDirectories& directories,
                                                 const std::string& algorithm) {
  if (::mkdirat(directories.blobs.get(), algorithm.c_str(), 0755) == 0) {
    if (::fsync(directories.blobs.get()) != 0) return base::ErrnoStatus("fsync", "blobs");
  } else if (errno != EEXIST) {
    return base::ErrnoStatus("mkdir", "blobs/" + algorithm);
  }
  base::UniqueFd directory(
      ::openat(directories.blobs.get(), algorithm.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return base::ErrnoStatus("open", "blobs/" + algorithm);
  return directory;
}

int RenameNoReplace(int from, const char* old_name, int to, const char* new_name) {
  const int result = ::renameat2(from, old_name, to, new_name, RENAME_NOREPLACE);
  if (result == 0 || (errno != EINVAL && errno != ENOSYS)) return result;
  // The file system cannot: replacing a blob with the same bytes harms nobody.
  return ::renameat(from, old_name, to, new_name);
}

}  // namespace

std::string BlobPath(const Digest& digest) {
  return fmt::format("{}/{}", digest.algorithm(), digest.hex());
}

bool HasBlob(const StoreDirectories& directories, const Digest& digest) {
  struct stat found;
  return ::fstatat(directories.blobs.get(), BlobPath(digest).c_str(), &found,
                   AT_SYMLINK_NOFOLLOW) == 0;
}

absl::StatusOr<std::unique_ptr<Writer>> LocalWriter::Open(const base::Context& context,
                                                          const StoreDirectories& directories,
                                                          const WriterOptions& options,
                                                          std::function<void()> unlock) {
  std::unique_ptr<LocalWriter> writer(new LocalWriter(directories, std::move(unlock)));
  RETURN_IF_ERROR(writer->OpenIngest(context, options));
  return writer;
}

LocalWriter::~LocalWriter() { Close(); }

absl::Status LocalWriter::OpenIngest(const base::Context& context, const WriterOptions& options) {
  name_ = IngestName(options.ref);
  const int parent = directories_.ingests.get();
  const bool created = ::mkdirat(parent, name_.c_str(), 0755) == 0;
  if (!created && errno != EEXIST) return base::ErrnoStatus("mkdir", "ingest/" + name_);
  ingest_.Reset(::openat(parent, name_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!ingest_.valid()) return base::ErrnoStatus("open", "ingest/" + name_);
  if (!created) {
    absl::StatusOr<IngestStatus> found = ReadIngest(ingest_.get());
    const bool same_total = found.ok() && (options.total_bytes == 0 || found->total_bytes == 0 ||
                                           options.total_bytes == found->total_bytes);
    if (same_total && found->ref == options.ref) {
      if (found->total_bytes == 0) found->total_bytes = options.total_bytes;
      found->expected = options.expected.text();
      return Resume(context, *found);
    }
  }
  const absl::Time now = absl::Now();
  status_ = {.ref = options.ref,
             .offset_bytes = 0,
             .total_bytes = options.total_bytes,
             .expected = options.expected.text(),
             .started = now,
             .updated = now};
  RETURN_IF_ERROR(InitializeIngest(ingest_.get(), status_));
  return OpenData(0);
}

absl::Status LocalWriter::Resume(const base::Context& context, const IngestStatus& found) {
  status_ = found;
  RETURN_IF_ERROR(OpenData(0));
  RETURN_IF_ERROR(HashData(context, hasher_));
  const off_t end = ::lseek(data_.get(), 0, SEEK_END);
  if (end < 0) return base::ErrnoStatus("lseek", "data");
  if (end != status_.offset_bytes) return base::Unavailable("ref {} is being written", found.ref);
  flushed_bytes_ = status_.offset_bytes;
  return absl::OkStatus();
}

absl::Status LocalWriter::OpenData(int flags) {
  data_.Reset(::openat(ingest_.get(), "data", O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags));
  if (!data_.valid()) return base::ErrnoStatus("open", "data");
  return absl::OkStatus();
}

// Feeds the first `offset_bytes` of the data file to `hasher`.
absl::Status LocalWriter::HashData(const base::Context& context, base::Hasher& hasher) {
  if (status_.offset_bytes == 0) return absl::OkStatus();
  std::string buffer(kBufferBytes, '\0');
  for (int64_t offset = 0; offset < status_.offset_bytes;) {
    RETURN_IF_ERROR(context.Check());
    const ssize_t count = ::pread(data_.get(), buffer.data(), buffer.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoStatus("read", "data");
    if (count == 0) return base::DataLoss("ingest {} was cut", status_.ref);
    hasher.Update(std::string_view(buffer.data(), static_cast<size_t>(count)));
    offset += count;
  }
  return absl::OkStatus();
}

absl::Status LocalWriter::Write(std::string_view data) {
  if (!data_.valid()) return base::FailedPrecondition("cannot write on closed writer");
  while (!data.empty()) {
    const ssize_t count = ::write(data_.get(), data.data(), data.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoStatus("write", status_.ref);
    // Hashed as far as written: after a full disk, offset and digest tell what is there.
    hasher_.Update(data.substr(0, static_cast<size_t>(count)));
    status_.offset_bytes += count;
    data.remove_prefix(static_cast<size_t>(count));
  }
  status_.updated = absl::Now();
  if (status_.offset_bytes - flushed_bytes_ >= kWriteBackBytes) {
    // Starts the disk early, so that the fsync of the commit has little left to wait for.
    (void)::sync_file_range(data_.get(), flushed_bytes_, status_.offset_bytes - flushed_bytes_,
                            SYNC_FILE_RANGE_WRITE);
    flushed_bytes_ = status_.offset_bytes;
  }
  return absl::OkStatus();
}

absl::Status LocalWriter::Truncate(int64_t size_bytes) {
  if (size_bytes != 0) return base::Unknown("truncate: unsupported size");
  if (!data_.valid()) return base::FailedPrecondition("cannot truncate closed writer");
  if (::ftruncate(data_.get(), 0) != 0) return base::ErrnoStatus("truncate", status_.ref);
  if (::lseek(data_.get(), 0, SEEK_SET) < 0) return base::ErrnoStatus("lseek", status_.ref);
  hasher_ = base::Hasher();
  status_.offset_bytes = 0;
  flushed_bytes_ = 0;
  status_.updated = absl::Now();
  return absl::OkStatus();
}

// The digest of the data in the algorithm of `expected`.
absl::StatusOr<Digest> LocalWriter::DigestLike(const base::Context& context,
                                               const Digest& expected) {
  if (expected.empty() || expected.algorithm() == "sha256") return hasher_.Current();
  base::Hasher hasher(expected.algorithm());
  RETURN_IF_ERROR(HashData(context, hasher));
  return hasher.Current();
}

absl::Status LocalWriter::Commit(const base::Context& context, int64_t size_bytes,
                                 const Digest& expected, const Labels&) {
  if (!data_.valid()) return base::FailedPrecondition("cannot commit on closed writer");
  const absl::Status committed = CommitOpen(context, size_bytes, expected);
  Close();
  return committed;
}

absl::Status LocalWriter::CommitOpen(const base::Context& context, int64_t size_bytes,
                                     const Digest& expected) {
  if (size_bytes > 0 && size_bytes != status_.offset_bytes) {
    return base::FailedPrecondition("unexpected commit size {}, expected {}", status_.offset_bytes,
                                    size_bytes);
  }
  ASSIGN_OR_RETURN(const Digest digest, DigestLike(context, expected));
  if (!expected.empty() && digest != expected) {
    return base::FailedPrecondition("unexpected commit digest {}, expected {}", digest.text(),
                                    expected.text());
  }
  const absl::Status published = Publish(digest);
  if (!published.ok() && !absl::IsAlreadyExists(published)) return published;
  ingest_.Reset();
  if (absl::Status removed = RemoveIngest(directories_.ingests.get(), name_); !removed.ok()) {
    base::LogWarn("ingest of committed content stays, ignoring",
                  {{"ref", status_.ref}, {"error", removed}});
  }
  return published;
}

// Data, then directory. The record that makes the blob visible is the caller's, after this.
absl::Status LocalWriter::Publish(const Digest& digest) {
  ASSIGN_OR_RETURN(const base::UniqueFd directory,
                   OpenBlobDirectory(directories_, std::string(digest.algorithm())));
  const std::string hex(digest.hex());
  absl::Status outcome;
  if (HasBlob(directories_, digest)) {
    outcome = base::AlreadyExists("content {}", digest.text());
  } else {
    struct stat data;
    if (::fstat(data_.get(), &data) != 0) return base::ErrnoStatus("stat", status_.ref);
    // Mode and times before the sync, so that it covers them; a failure of theirs harms nobody.
    (void)::fchmod(data_.get(), data.st_mode & 0444);
    (void)::futimens(data_.get(), nullptr);
    if (::fsync(data_.get()) != 0) {
      return base::Annotate(base::ErrnoStatus("fsync", status_.ref), "failed to perform sync");
    }
    if (RenameNoReplace(ingest_.get(), "data", directory.get(), hex.c_str()) != 0) {
      if (errno != EEXIST) {
        const absl::Status failed = base::ErrnoStatus("rename", "blobs/" + BlobPath(digest));
        (void)::fchmod(data_.get(), data.st_mode & 07777);
        return failed;
      }
      outcome = base::AlreadyExists("content {}", digest.text());
    }
  }
  // Also when another writer's rename came first: it may not have synced it yet.
  if (::fsync(directory.get()) != 0) return base::ErrnoStatus("fsync", "blobs");
  return outcome;
}

void LocalWriter::Close() {
  if (ingest_.valid() && data_.valid()) {
    // Fails if the ingest was aborted meanwhile: then there is nothing to date.
    (void)TouchIngest(ingest_.get(), absl::Now());
  }
  data_.Reset();
  ingest_.Reset();
  if (unlock_) std::exchange(unlock_, nullptr)();
}

}  // namespace ctrd::content
