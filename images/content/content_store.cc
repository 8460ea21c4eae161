// SPDX-License-Identifier: Apache-2.0
#include "images/content/content_store.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace ctrd::content {

base::FieldLookup FieldsOf(const Info& info) {
  return [&info](const base::FieldPath& path) -> std::optional<std::string> {
    if (path.empty()) return std::nullopt;
    if (path[0] == "digest") return info.digest.text();
    if (path[0] != "labels" || path.size() < 2) return std::nullopt;
    const auto label = info.labels.find(base::JoinFieldPath(path, 1));
    if (label == info.labels.end()) return std::nullopt;
    return label->second;
  };
}

base::FieldLookup FieldsOf(const IngestStatus& status) {
  return [&status](const base::FieldPath& path) -> std::optional<std::string> {
    if (path.size() != 1 || path[0] != "ref") return std::nullopt;
    return status.ref;
  };
}

absl::StatusOr<std::string> ReadBlob(const base::Context& context, ContentStore& store,
                                     const Digest& digest, int64_t limit_bytes) {
  ASSIGN_OR_RETURN(std::unique_ptr<Reader> reader, store.OpenReader(context, digest));
  if (reader->size_bytes() > limit_bytes) {
    return base::MakeError(absl::StatusCode::kResourceExhausted,
                           fmt::format("content {} of {} bytes exceeds the limit of {} bytes",
                                       digest.text(), reader->size_bytes(), limit_bytes));
  }
  std::string data(static_cast<size_t>(reader->size_bytes()), '\0');
  size_t filled = 0;
  while (filled < data.size()) {
    ASSIGN_OR_RETURN(const size_t count, reader->ReadAt(static_cast<int64_t>(filled),
                                                        std::span<char>(data).subspan(filled)));
    if (count == 0) return base::Unknown("read content {}: unexpected EOF", digest.text());
    filled += count;
  }
  return data;
}

absl::Status WriteBlob(const base::Context& context, ContentStore& store, std::string_view ref,
                       std::string_view data, const Digest& expected, const Labels& labels) {
  const auto size = static_cast<int64_t>(data.size());
  auto writer = store.OpenWriter(
      context, {.ref = std::string(ref), .total_bytes = size, .expected = expected});
  if (absl::IsAlreadyExists(writer.status())) return absl::OkStatus();
  RETURN_IF_ERROR(writer.status());
  // What an earlier attempt left may be anything; small data are rather written again.
  if ((*writer)->status().offset_bytes > 0) RETURN_IF_ERROR((*writer)->Truncate(0));
  RETURN_IF_ERROR((*writer)->Write(data));
  const absl::Status committed = (*writer)->Commit(context, size, expected, labels);
  return absl::IsAlreadyExists(committed) ? absl::OkStatus() : committed;
}

}  // namespace ctrd::content
