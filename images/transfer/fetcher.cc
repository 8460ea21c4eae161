// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/fetcher.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "base/log.h"
#include "base/status.h"
#include "images/spec/documents.h"

namespace ctrd::transfer {
namespace {

constexpr size_t kMaxLabelBytes = 4096;
constexpr auto kFirstPause = std::chrono::milliseconds(16);
constexpr auto kLongestPause = std::chrono::milliseconds(512);

// "h:5000" -> "h": the label's key knows no ports.
std::string HostWithoutPort(const std::string& host) {
  const size_t colon = host.rfind(':');
  if (colon == std::string::npos || host.ends_with(']')) return host;
  return host.substr(0, colon);
}

absl::Status CheckFetchable(const Descriptor& descriptor) {
  RETURN_IF_ERROR(base::Digest::Parse(descriptor.digest).status());
  if (descriptor.size_bytes == 0) {
    return base::InvalidArgument(
        "unable to fetch descriptor ({}) which reports content size of zero", descriptor.digest);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<content::Writer>> OpenWriterPatiently(
    const base::Context& context, content::ContentStore& store,
    const content::WriterOptions& options) {
  for (auto pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    auto writer = store.OpenWriter(context, options);
    if (!absl::IsUnavailable(writer.status())) return writer;
    RETURN_IF_ERROR(context.Check());
    std::this_thread::sleep_for(pause);
  }
}

absl::Status MergeLabels(const base::Context& context, content::ContentStore& store,
                         const base::Digest& digest, const base::Labels& labels) {
  if (labels.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const content::Info known, store.Stat(context, digest));
  content::Info info;
  info.digest = digest;
  content::LabelsUpdate update{.replace_all = false};
  for (const auto& [key, value] : labels) {
    const auto it = known.labels.find(key);
    if (it != known.labels.end() && it->second == value) continue;
    info.labels[key] = value;
    update.keys.push_back(key);
  }
  if (update.keys.empty()) return absl::OkStatus();
  return store.Update(context, info, update).status();
}

absl::Status Fetcher::Check(const base::Context& context) const {
  RETURN_IF_ERROR(context.Check());
  if (abandoned_.load(std::memory_order_relaxed)) return absl::CancelledError("fetch abandoned");
  return absl::OkStatus();
}

// "containerd.io/distribution.source.<host>" with this repository among those known.
absl::StatusOr<base::Labels> Fetcher::SourceLabels(const base::Context& context,
                                                   const base::Digest& digest) {
  const std::string key =
      std::string(images::kSourceLabelPrefix) + HostWithoutPort(registry_.reference().hostname());
  std::set<std::string> repositories = {registry_.reference().repository()};
  const auto info = store_.Stat(context, digest);
  if (info.ok()) {
    const auto known = info->labels.find(key);
    for (size_t start = 0; known != info->labels.end() && start < known->second.size();) {
      const size_t end = std::min(known->second.find(',', start), known->second.size());
      if (end > start) repositories.insert(known->second.substr(start, end - start));
      start = end + 1;
    }
  }
  std::string value = fmt::format("{}", fmt::join(repositories, ","));
  if (key.size() + value.size() > kMaxLabelBytes) {
    base::LogWarn("too many sources of a blob, skipping the label", {{"digest", digest.text()}});
    return base::Labels{};
  }
  return base::Labels{{key, std::move(value)}};
}

absl::StatusOr<bool> Fetcher::Copy(const base::Context& context, const Descriptor& descriptor,
                                   content::Writer& writer, ProgressTracker::Item& item,
                                   const Tap& tap) {
  int64_t offset = writer.status().offset_bytes;
  if (offset > descriptor.size_bytes) {
    RETURN_IF_ERROR(writer.Truncate(0));
    offset = 0;
  }
  if (offset == descriptor.size_bytes) return false;
  if (offset == 0 && static_cast<int64_t>(descriptor.data.size()) == descriptor.size_bytes) {
    RETURN_IF_ERROR(writer.Write(descriptor.data));
    return false;
  }
  const bool tapped = tap != nullptr && offset == 0;
  ASSIGN_OR_RETURN(const auto slot, downloads_.Acquire(context));
  RETURN_IF_ERROR(Check(context));
  ASSIGN_OR_RETURN(const auto stream, registry_.Fetch(context, descriptor, offset));
  for (std::string chunk;;) {
    RETURN_IF_ERROR(Check(context));
    RETURN_IF_ERROR(stream->Read(context, chunk));
    if (chunk.empty()) return tapped;
    offset += static_cast<int64_t>(chunk.size());
    if (offset > descriptor.size_bytes) {
      return base::FailedPrecondition("content of {} is larger than the {} bytes expected",
                                      descriptor.digest, descriptor.size_bytes);
    }
    RETURN_IF_ERROR(writer.Write(chunk));
    if (tapped) tap(chunk);
    item.Moved(offset);
  }
}

absl::StatusOr<bool> Fetcher::Fetch(const base::Context& context, const Descriptor& descriptor,
                                    ProgressTracker::Item& item, const Tap& tap) {
  RETURN_IF_ERROR(CheckFetchable(descriptor));
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(descriptor.digest));
  ASSIGN_OR_RETURN(const auto held, locks_.Lock(context, "blob://" + descriptor.digest));
  const std::string ref = images::IngestRef(descriptor);
  ASSIGN_OR_RETURN(const base::Labels labels, SourceLabels(context, digest));
  auto writer = OpenWriterPatiently(
      context, store_, {.ref = ref, .total_bytes = descriptor.size_bytes, .expected = digest});
  if (absl::IsAlreadyExists(writer.status())) {
    item.Existed();
    RETURN_IF_ERROR(MergeLabels(context, store_, digest, labels));
    return false;
  }
  RETURN_IF_ERROR(writer.status());
  ASSIGN_OR_RETURN(const bool tapped, Copy(context, descriptor, **writer, item, tap));
  const absl::Status committed = (*writer)->Commit(context, descriptor.size_bytes, digest, labels);
  if (absl::IsFailedPrecondition(committed)) {
    // What came is not what was asked for: nobody should go on from here.
    writer->reset();
    (void)store_.Abort(context.Detached(), ref);
  }
  if (!committed.ok() && !absl::IsAlreadyExists(committed)) return committed;
  item.Complete();
  return tapped;
}

absl::StatusOr<std::string> Fetcher::Read(const base::Context& context,
                                          const Descriptor& descriptor,
                                          ProgressTracker::Item& item) {
  if (static_cast<int64_t>(descriptor.data.size()) == descriptor.size_bytes) return descriptor.data;
  ASSIGN_OR_RETURN(const auto slot, downloads_.Acquire(context));
  ASSIGN_OR_RETURN(const auto stream, registry_.Fetch(context, descriptor, 0));
  std::string text;
  for (std::string chunk;;) {
    RETURN_IF_ERROR(Check(context));
    RETURN_IF_ERROR(stream->Read(context, chunk));
    if (chunk.empty()) return text;
    text += chunk;
    if (static_cast<int64_t>(text.size()) > descriptor.size_bytes) {
      return base::FailedPrecondition("content of {} is larger than the {} bytes expected",
                                      descriptor.digest, descriptor.size_bytes);
    }
    item.Moved(static_cast<int64_t>(text.size()));
  }
}

absl::StatusOr<std::string> Fetcher::FetchDocument(
    const base::Context& context, const Descriptor& descriptor, ProgressTracker::Item& item,
    const std::function<absl::StatusOr<base::Labels>(std::string_view text)>& labels_of) {
  RETURN_IF_ERROR(CheckFetchable(descriptor));
  if (descriptor.size_bytes > images::kMaxDocumentBytes) {
    return base::InvalidArgument("document {} of {} bytes is too large", descriptor.digest,
                                 descriptor.size_bytes);
  }
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(descriptor.digest));
  ASSIGN_OR_RETURN(const auto held, locks_.Lock(context, "blob://" + descriptor.digest));
  const std::string ref = images::IngestRef(descriptor);
  ASSIGN_OR_RETURN(base::Labels labels, SourceLabels(context, digest));
  auto writer = OpenWriterPatiently(
      context, store_, {.ref = ref, .total_bytes = descriptor.size_bytes, .expected = digest});
  if (absl::IsAlreadyExists(writer.status())) {
    item.Existed();
    ASSIGN_OR_RETURN(std::string text, content::ReadBlob(context, store_, digest));
    ASSIGN_OR_RETURN(base::Labels more, labels_of(text));
    labels.merge(more);
    RETURN_IF_ERROR(MergeLabels(context, store_, digest, labels));
    return text;
  }
  RETURN_IF_ERROR(writer.status());
  ASSIGN_OR_RETURN(std::string text, Read(context, descriptor, item));
  base::Hasher hasher(digest.algorithm());
  hasher.Update(text);
  if (hasher.Current() != digest) {
    return base::FailedPrecondition("unexpected commit digest {}, expected {}",
                                    hasher.Current().text(), digest.text());
  }
  ASSIGN_OR_RETURN(base::Labels more, labels_of(text));
  labels.merge(more);
  if ((*writer)->status().offset_bytes > 0) RETURN_IF_ERROR((*writer)->Truncate(0));
  RETURN_IF_ERROR((*writer)->Write(text));
  // Children are named in the same step that makes the blob: a collection between finds both.
  const absl::Status committed = (*writer)->Commit(context, descriptor.size_bytes, digest, labels);
  if (!committed.ok() && !absl::IsAlreadyExists(committed)) return committed;
  item.Complete();
  return text;
}

}  // namespace ctrd::transfer
