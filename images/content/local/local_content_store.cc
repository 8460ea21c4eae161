// SPDX-License-Identifier: Apache-2.0
#include "images/content/local/local_content_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/time.h"
#include "images/content/local/ingest_directory.h"
#include "images/content/local/local_writer.h"

namespace ctrd::content {
namespace {

// Who is writing which ref, and since when.
class RefLocks {
 public:
  absl::Status Lock(const std::string& ref) {
    const absl::Time now = absl::Now();
    absl::MutexLock lock(&mutex_);
    const auto [held, taken] = since_.try_emplace(ref, now);
    if (taken) return absl::OkStatus();
    // The duration helps to tell a lock that leaked from two writers that met.
    return base::Unavailable(
        "ref {} locked for {} (since {})", ref, base::FormatDuration(now - held->second),
        absl::FormatTime("%Y-%m-%d %H:%M:%E*S +0000 UTC", held->second, absl::UTCTimeZone()));
  }
  void Unlock(const std::string& ref) {
    absl::MutexLock lock(&mutex_);
    since_.erase(ref);
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, absl::Time> since_ ABSL_GUARDED_BY(mutex_);
};

class LocalReader : public Reader {
 public:
  LocalReader(base::UniqueFd fd, int64_t size_bytes) : fd_(std::move(fd)), size_(size_bytes) {}
  int64_t size_bytes() const override { return size_; }
  absl::StatusOr<size_t> ReadAt(int64_t offset, std::span<char> buffer) override {
    while (true) {
      const ssize_t count = ::pread(fd_.get(), buffer.data(), buffer.size(), offset);
      if (count >= 0) return static_cast<size_t>(count);
      if (errno != EINTR) return base::ErrnoStatus("read", "blob");
    }
  }

 private:
  base::UniqueFd fd_;
  int64_t size_;
};

// The names in a directory, sorted; none if there is no such directory.
absl::StatusOr<std::vector<std::string>> NamesIn(int parent, const char* name) {
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == ENOENT) return std::vector<std::string>();
  if (fd < 0) return base::ErrnoStatus("open", name);
  DIR* listing = ::fdopendir(fd);
  if (listing == nullptr) {
    ::close(fd);
    return base::ErrnoStatus("fdopendir", name);
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(listing)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(listing);
  std::sort(names.begin(), names.end());
  return names;
}

Info InfoFrom(const Digest& digest, const struct stat& file) {
  const absl::Time changed = absl::TimeFromTimespec(file.st_mtim);
  return {.digest = digest, .size_bytes = file.st_size, .created = changed, .updated = changed};
}

absl::Status NoContent(const Digest& digest) {
  return base::NotFound("content digest {}", digest.text());
}
absl::Status NoReference(std::string_view ref) { return base::NotFound("reference {}", ref); }

class LocalContentStore : public ContentStore {
 public:
  explicit LocalContentStore(StoreDirectories directories) : directories_(std::move(directories)) {}

  absl::StatusOr<Info> Stat(const base::Context& context, const Digest& digest) override;
  absl::StatusOr<Info> Update(const base::Context& context, const Info& info,
                              const LabelsUpdate& update) override;
  absl::Status Walk(const base::Context& context, const base::Filter& filter,
                    const std::function<absl::Status(const Info&)>& visit) override;
  absl::Status Delete(const base::Context& context, const Digest& digest) override;
  absl::StatusOr<std::unique_ptr<Reader>> OpenReader(const base::Context& context,
                                                     const Digest& digest) override;
  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(const base::Context& context,
                                                     const WriterOptions& options) override;
  absl::StatusOr<IngestStatus> StatusOf(const base::Context& context,
                                        std::string_view ref) override;
  absl::StatusOr<std::vector<IngestStatus>> ListStatuses(const base::Context& context,
                                                         const base::Filter& filter) override;
  absl::Status Abort(const base::Context& context, std::string_view ref) override;
  void RemoveNamelessIngests();

 private:
  absl::StatusOr<IngestStatus> ReadNamed(const std::string& name);

  const StoreDirectories directories_;
  RefLocks locks_;
};

absl::StatusOr<Info> LocalContentStore::Stat(const base::Context&, const Digest& digest) {
  struct stat file;
  if (digest.empty() || ::fstatat(directories_.blobs.get(), BlobPath(digest).c_str(), &file,
                                  AT_SYMLINK_NOFOLLOW) != 0) {
    if (digest.empty() || errno == ENOENT) return NoContent(digest);
    return base::ErrnoStatus("stat", digest.text());
  }
  return InfoFrom(digest, file);
}

absl::StatusOr<Info> LocalContentStore::Update(const base::Context&, const Info&,
                                               const LabelsUpdate&) {
  return base::Unimplemented("update of labels in the local content store");
}

absl::Status LocalContentStore::Walk(const base::Context& context, const base::Filter& filter,
                                     const std::function<absl::Status(const Info&)>& visit) {
  for (const char* algorithm : {"sha256", "sha384", "sha512"}) {
    ASSIGN_OR_RETURN(const auto names, NamesIn(directories_.blobs.get(), algorithm));
    for (const std::string& name : names) {
      RETURN_IF_ERROR(context.Check());
      const auto digest = Digest::Parse(fmt::format("{}:{}", algorithm, name));
      if (!digest.ok()) continue;  // A stranger in the directory.
      const absl::StatusOr<Info> info = Stat(context, *digest);
      if (absl::IsNotFound(info.status())) continue;  // Deleted since it was listed.
      RETURN_IF_ERROR(info.status());
      if (filter.Matches(FieldsOf(*info))) RETURN_IF_ERROR(visit(*info));
    }
  }
  return absl::OkStatus();
}

absl::Status LocalContentStore::Delete(const base::Context&, const Digest& digest) {
  // Not synced: a blob that comes back after a power loss is an orphan for the next clean-up.
  if (digest.empty() || ::unlinkat(directories_.blobs.get(), BlobPath(digest).c_str(), 0) != 0) {
    if (digest.empty() || errno == ENOENT) return NoContent(digest);
    return base::ErrnoStatus("unlink", digest.text());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Reader>> LocalContentStore::OpenReader(const base::Context&,
                                                                      const Digest& digest) {
  if (digest.empty()) return NoContent(digest);
  base::UniqueFd fd(::openat(directories_.blobs.get(), BlobPath(digest).c_str(),
                             O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid() && errno == ENOENT) return NoContent(digest);
  if (!fd.valid()) return base::ErrnoStatus("open", digest.text());
  struct stat file;
  if (::fstat(fd.get(), &file) != 0) return base::ErrnoStatus("stat", digest.text());
  return std::make_unique<LocalReader>(std::move(fd), file.st_size);
}

absl::StatusOr<std::unique_ptr<Writer>> LocalContentStore::OpenWriter(
    const base::Context& context, const WriterOptions& options) {
  if (options.ref.empty()) return base::InvalidArgument("ref must not be empty");
  RETURN_IF_ERROR(context.Check());
  if (!options.expected.empty() && HasBlob(directories_, options.expected)) {
    return base::AlreadyExists("content {}", options.expected.text());
  }
  RETURN_IF_ERROR(locks_.Lock(options.ref));
  return LocalWriter::Open(context, directories_, options,
                           [this, ref = options.ref] { locks_.Unlock(ref); });
}

absl::StatusOr<IngestStatus> LocalContentStore::ReadNamed(const std::string& name) {
  base::UniqueFd directory(::openat(directories_.ingests.get(), name.c_str(),
                                    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory.valid()) return base::ErrnoStatus("open", "ingest/" + name);
  return ReadIngest(directory.get());
}

absl::StatusOr<IngestStatus> LocalContentStore::StatusOf(const base::Context&,
                                                         std::string_view ref) {
  absl::StatusOr<IngestStatus> status = ReadNamed(IngestName(ref));
  if (absl::IsNotFound(status.status())) return NoReference(ref);
  return status;
}

absl::StatusOr<std::vector<IngestStatus>> LocalContentStore::ListStatuses(
    const base::Context& context, const base::Filter& filter) {
  ASSIGN_OR_RETURN(const auto names, NamesIn(directories_.ingests.get(), "."));
  std::vector<IngestStatus> statuses;
  for (const std::string& name : names) {
    RETURN_IF_ERROR(context.Check());
    absl::StatusOr<IngestStatus> status = ReadNamed(name);
    if (!status.ok()) continue;  // Being made or removed, or torn by a crash.
    if (filter.Matches(FieldsOf(*status))) statuses.push_back(*std::move(status));
  }
  return statuses;
}

absl::Status LocalContentStore::Abort(const base::Context&, std::string_view ref) {
  const absl::Status removed = RemoveIngest(directories_.ingests.get(), IngestName(ref));
  return absl::IsNotFound(removed) ? NoReference(ref) : removed;
}

void LocalContentStore::RemoveNamelessIngests() {
  const auto names = NamesIn(directories_.ingests.get(), ".");
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const std::string ref = name + "/ref";
    if (::faccessat(directories_.ingests.get(), ref.c_str(), F_OK, 0) == 0) continue;
    if (absl::Status removed = RemoveIngest(directories_.ingests.get(), name); !removed.ok()) {
      base::LogWarn("cannot remove left ingest, ignoring", {{"name", name}, {"error", removed}});
    }
  }
}

absl::StatusOr<base::UniqueFd> MakeBelow(int root, const char* name, mode_t mode) {
  if (::mkdirat(root, name, mode) == 0) {
    if (::fsync(root) != 0) return base::ErrnoStatus("fsync", name);
  } else if (errno != EEXIST) {
    return base::ErrnoStatus("mkdir", name);
  }
  base::UniqueFd directory(::openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return base::ErrnoStatus("open", name);
  return directory;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ContentStore>> OpenLocalContentStore(const std::string& root) {
  if (!base::Exists(root)) RETURN_IF_ERROR(base::MakeDirectories(root, 0755));
  StoreDirectories directories;
  ASSIGN_OR_RETURN(directories.root, base::Open(root, O_RDONLY | O_DIRECTORY));
  ASSIGN_OR_RETURN(directories.blobs, MakeBelow(directories.root.get(), "blobs", 0755));
  ASSIGN_OR_RETURN(directories.ingests, MakeBelow(directories.root.get(), "ingest", 0777));
  auto store = std::make_unique<LocalContentStore>(std::move(directories));
  store->RemoveNamelessIngests();
  return store;
}

}  // namespace ctrd::content
