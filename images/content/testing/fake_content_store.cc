// SPDX-License-Identifier: Apache-2.0
#include "images/content/testing/fake_content_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"

namespace ctrd::content {
namespace {

class FakeReader : public Reader {
 public:
  explicit FakeReader(std::shared_ptr<const std::string> data) : data_(std::move(data)) {}
  int64_t size_bytes() const override { return static_cast<int64_t>(data_->size()); }
  absl::StatusOr<size_t> ReadAt(int64_t offset, std::span<char> buffer) override {
    if (offset >= size_bytes()) return 0;
    const size_t count = std::min(buffer.size(), data_->size() - static_cast<size_t>(offset));
    std::memcpy(buffer.data(), data_->data() + offset, count);
    return count;
  }

 private:
  std::shared_ptr<const std::string> data_;
};

}  // namespace

class FakeWriter : public Writer {
 public:
  FakeWriter(FakeContentStore* store, std::shared_ptr<FakeContentStore::Ingest> ingest)
      : store_(store), ingest_(std::move(ingest)) {}
  ~FakeWriter() override {
    absl::MutexLock lock(&store_->mutex_);
    Close();
  }

  absl::Status Write(std::string_view data) override {
    absl::MutexLock lock(&store_->mutex_);
    if (closed_) return base::FailedPrecondition("cannot write on closed writer");
    RETURN_IF_ERROR(store_->write_failure_);
    ingest_->data.append(data);
    ingest_->status.offset_bytes = static_cast<int64_t>(ingest_->data.size());
    ingest_->status.updated = absl::Now();
    return absl::OkStatus();
  }

  absl::Status Truncate(int64_t size_bytes) override {
    absl::MutexLock lock(&store_->mutex_);
    if (size_bytes != 0) return base::Unknown("truncate: unsupported size");
    ingest_->data.clear();
    ingest_->status.offset_bytes = 0;
    return absl::OkStatus();
  }

  IngestStatus status() const override {
    absl::MutexLock lock(&store_->mutex_);
    return ingest_->status;
  }
  Digest digest() const override {
    absl::MutexLock lock(&store_->mutex_);
    return Digest::Of(ingest_->data);
  }

  absl::Status Commit(const base::Context&, int64_t size_bytes, const Digest& expected,
                      const Labels& labels) override {
    absl::MutexLock lock(&store_->mutex_);
    if (closed_) return base::FailedPrecondition("cannot commit on closed writer");
    const absl::Status status = CommitLocked(size_bytes, expected, labels);
    Close();
    return status;
  }

 private:
  absl::Status CommitLocked(int64_t size_bytes, const Digest& expected, const Labels& labels)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex_) {
    const IngestStatus& status = ingest_->status;
    if (size_bytes > 0 && size_bytes != status.offset_bytes) {
      return base::FailedPrecondition("unexpected commit size {}, expected {}", status.offset_bytes,
                                      size_bytes);
    }
    base::Hasher hasher(expected.empty() ? "sha256" : expected.algorithm());
    hasher.Update(ingest_->data);
    const Digest digest = hasher.Current();
    if (!expected.empty() && digest != expected) {
      return base::FailedPrecondition("unexpected commit digest {}, expected {}", digest.text(),
                                      expected.text());
    }
    const auto ingest = store_->ingests_.find(status.ref);
    if (ingest == store_->ingests_.end() || ingest->second != ingest_) {
      return base::NotFound("reference {}", status.ref);  // Aborted meanwhile.
    }
    store_->ingests_.erase(ingest);
    const absl::Time now = absl::Now();
    const bool added =
        store_->blobs_
            .try_emplace(digest.text(),
                         FakeContentStore::Blob{Info{digest, status.offset_bytes, now, now, labels},
                                                std::make_shared<const std::string>(ingest_->data)})
            .second;
    return added ? absl::OkStatus() : base::AlreadyExists("content {}", digest.text());
  }

  void Close() {
    closed_ = true;
    if (ingest_->writer == this) ingest_->writer = nullptr;
  }

  friend class FakeContentStore;
  FakeContentStore* store_;
  std::shared_ptr<FakeContentStore::Ingest> ingest_;
  bool closed_ = false;
};

absl::StatusOr<Info> FakeContentStore::Stat(const base::Context&, const Digest& digest) {
  absl::MutexLock lock(&mutex_);
  const auto blob = blobs_.find(digest.text());
  if (blob == blobs_.end()) return base::NotFound("content digest {}", digest.text());
  return blob->second.info;
}

absl::StatusOr<Info> FakeContentStore::Update(const base::Context&, const Info& info,
                                              const LabelsUpdate& update) {
  absl::MutexLock lock(&mutex_);
  const auto blob = blobs_.find(info.digest.text());
  if (blob == blobs_.end()) return base::NotFound("content digest {}", info.digest.text());
  Labels& labels = blob->second.info.labels;
  if (update.replace_all) {
    labels = info.labels;
  } else {
    for (const std::string& key : update.keys) {
      const auto value = info.labels.find(key);
      if (value == info.labels.end() || value->second.empty()) {
        labels.erase(key);
      } else {
        labels[key] = value->second;
      }
    }
  }
  blob->second.info.updated = absl::Now();
  return blob->second.info;
}

absl::Status FakeContentStore::Walk(const base::Context& context, const base::Filter& filter,
                                    const std::function<absl::Status(const Info&)>& visit) {
  std::vector<Info> infos;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [digest, blob] : blobs_) {
      if (filter.Matches(FieldsOf(blob.info))) infos.push_back(blob.info);
    }
  }
  for (const Info& info : infos) {
    RETURN_IF_ERROR(context.Check());
    RETURN_IF_ERROR(visit(info));
  }
  return absl::OkStatus();
}

absl::Status FakeContentStore::Delete(const base::Context&, const Digest& digest) {
  absl::MutexLock lock(&mutex_);
  if (blobs_.erase(digest.text()) == 0) return base::NotFound("content digest {}", digest.text());
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Reader>> FakeContentStore::OpenReader(const base::Context&,
                                                                     const Digest& digest) {
  absl::MutexLock lock(&mutex_);
  const auto blob = blobs_.find(digest.text());
  if (blob == blobs_.end()) return base::NotFound("content digest {}", digest.text());
  return std::make_unique<FakeReader>(blob->second.data);
}

absl::StatusOr<std::unique_ptr<Writer>> FakeContentStore::OpenWriter(const base::Context&,
                                                                     const WriterOptions& options) {
  if (options.ref.empty()) return base::InvalidArgument("ref must not be empty");
  absl::MutexLock lock(&mutex_);
  if (blobs_.contains(options.expected.text())) {
    return base::AlreadyExists("content {}", options.expected.text());
  }
  std::shared_ptr<Ingest>& ingest = ingests_[options.ref];
  if (ingest != nullptr && ingest->writer != nullptr) {
    return base::Unavailable("ref {} locked for 0s (since now)", options.ref);
  }
  const auto differ = [&](const IngestStatus& old) {
    return old.total_bytes > 0 && options.total_bytes > 0 && old.total_bytes != options.total_bytes;
  };
  if (ingest == nullptr || differ(ingest->status)) {
    ingest = std::make_shared<Ingest>();
    ingest->status = {.ref = options.ref, .started = absl::Now(), .updated = absl::Now()};
  }
  if (options.total_bytes > 0) ingest->status.total_bytes = options.total_bytes;
  ingest->status.expected = options.expected.text();
  auto writer = std::make_unique<FakeWriter>(this, ingest);
  ingest->writer = writer.get();
  return writer;
}

absl::StatusOr<IngestStatus> FakeContentStore::StatusOf(const base::Context&,
                                                        std::string_view ref) {
  absl::MutexLock lock(&mutex_);
  const auto ingest = ingests_.find(ref);
  if (ingest == ingests_.end()) return base::NotFound("reference {}", ref);
  return ingest->second->status;
}

absl::StatusOr<std::vector<IngestStatus>> FakeContentStore::ListStatuses(
    const base::Context&, const base::Filter& filter) {
  absl::MutexLock lock(&mutex_);
  std::vector<IngestStatus> statuses;
  for (const auto& [ref, ingest] : ingests_) {
    if (filter.Matches(FieldsOf(ingest->status))) statuses.push_back(ingest->status);
  }
  return statuses;
}

absl::Status FakeContentStore::Abort(const base::Context&, std::string_view ref) {
  absl::MutexLock lock(&mutex_);
  const auto ingest = ingests_.find(ref);
  if (ingest == ingests_.end()) return base::NotFound("reference {}", ref);
  ingests_.erase(ingest);
  return absl::OkStatus();
}

void FakeContentStore::FailWrites(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  write_failure_ = std::move(status);
}

Digest FakeContentStore::Add(std::string data, Labels labels) {
  const Digest digest = Digest::Of(data);
  const auto size = static_cast<int64_t>(data.size());
  absl::MutexLock lock(&mutex_);
  const absl::Time now = absl::Now();
  blobs_[digest.text()] = {Info{digest, size, now, now, std::move(labels)},
                           std::make_shared<const std::string>(std::move(data))};
  return digest;
}

}  // namespace ctrd::content
