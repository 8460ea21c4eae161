// SPDX-License-Identifier: Apache-2.0

// ContentStore: blobs by digest, and the ingests they grow from.
//
//   OpenWriter(ref) --> Write… --> Commit(digest) --> a blob, read-only for ever
//                          \--> closed: the ingest stays, and a later OpenWriter(ref) goes on
//
// One writer per ref at a time. Two implementations matter: the local store (one directory of
// blobs, knows neither namespaces nor labels: images/content/local) and the namespaced one the
// daemon serves (daemon/metadata/content), where labels, visibility and leases are.
//
// Thread-safe; one Writer or Reader is used by one thread at a time. The suite in
// images/content/testing checks what is written here.
//
// Source document: docs/api/content.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/context.h"
#include "base/digest.h"
#include "base/filter.h"
#include "base/identifiers.h"

namespace ctrd::content {

using base::Digest;
using base::Labels;

struct Info {
  Digest digest;
  int64_t size_bytes = 0;
  absl::Time created;
  absl::Time updated;
  Labels labels;
};
base::FieldLookup FieldsOf(const Info& info);  // digest, labels.<key>

struct IngestStatus {
  std::string ref;
  int64_t offset_bytes = 0;  // Written so far.
  int64_t total_bytes = 0;   // Declared; 0 if nobody said.
  std::string expected;      // Declared digest, or "".
  absl::Time started;
  absl::Time updated;
};
base::FieldLookup FieldsOf(const IngestStatus& status);  // ref

// Random access to one blob.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual int64_t size_bytes() const = 0;
  // Up to `buffer.size()` bytes from `offset`; 0 at the end.
  virtual absl::StatusOr<size_t> ReadAt(int64_t offset, std::span<char> buffer) = 0;
};

// The open end of an ingest. The destructor closes it and keeps the ingest for resumption.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual absl::Status Write(std::string_view data) = 0;
  // Throws away what is beyond `size`. Only 0 is supported.
  virtual absl::Status Truncate(int64_t size_bytes) = 0;
  virtual IngestStatus status() const = 0;
  // Of what is written so far.
  virtual Digest digest() const = 0;
  // Makes the blob, durably: data, then directory, then (above) the record. `size_bytes` 0 and an
  // empty `expected` are not checked. Labels are ignored by stores that have none. The writer is
  // closed afterwards, whatever came of it.
  //   kFailedPrecondition  size or digest differ; the ingest stays
  //   kAlreadyExists       the blob was there; the ingest is gone
  virtual absl::Status Commit(const base::Context& context, int64_t size_bytes,
                              const Digest& expected, const Labels& labels) = 0;
};

struct WriterOptions {
  std::string ref;          // Not empty.
  int64_t total_bytes = 0;  // 0: not known.
  Digest expected;          // May be empty. As the caller sent it: a form check is the caller's.
};

struct LabelsUpdate {
  bool replace_all = true;
  std::vector<std::string> keys;  // With !replace_all; an empty value removes the label.
};

class ContentStore {
 public:
  virtual ~ContentStore() = default;

  //   kNotFound  `content digest <digest>: not found`
  virtual absl::StatusOr<Info> Stat(const base::Context& context, const Digest& digest) = 0;
  virtual absl::StatusOr<Info> Update(const base::Context& context, const Info& info,
                                      const LabelsUpdate& update) = 0;
  // In order of the digest, until `visit` fails.
  virtual absl::Status Walk(const base::Context& context, const base::Filter& filter,
                            const std::function<absl::Status(const Info&)>& visit) = 0;
  virtual absl::Status Delete(const base::Context& context, const Digest& digest) = 0;
  virtual absl::StatusOr<std::unique_ptr<Reader>> OpenReader(const base::Context& context,
                                                             const Digest& digest) = 0;

  //   kUnavailable    another writer holds the ref: `ref <ref> locked for <duration> (since …)…`
  //   kAlreadyExists  the expected blob is there: `content <digest>: already exists`
  virtual absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(const base::Context& context,
                                                             const WriterOptions& options) = 0;
  //   kNotFound  `reference <ref>: not found`
  virtual absl::StatusOr<IngestStatus> StatusOf(const base::Context& context,
                                                std::string_view ref) = 0;
  virtual absl::StatusOr<std::vector<IngestStatus>> ListStatuses(const base::Context& context,
                                                                 const base::Filter& filter) = 0;
  virtual absl::Status Abort(const base::Context& context, std::string_view ref) = 0;
};

// The whole blob, at most `limit_bytes`.  kResourceExhausted beyond.
absl::StatusOr<std::string> ReadBlob(const base::Context& context, ContentStore& store,
                                     const Digest& digest, int64_t limit_bytes = 8 << 20);
// Writes `data` as a blob under `ref`; a blob that is there already is success.
absl::Status WriteBlob(const base::Context& context, ContentStore& store, std::string_view ref,
                       std::string_view data, const Digest& expected, const Labels& labels);

}  // namespace ctrd::content
