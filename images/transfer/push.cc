// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/push.h"

#include <algorithm>
#include <set>

#include "base/status.h"
#include "images/spec/documents.h"
#include "images/spec/media_types.h"
#include "images/spec/platform.h"

namespace ctrd::transfer {
namespace {

constexpr int kMaxDepth = 8;

struct Upload {
  Descriptor descriptor;
  ProgressTracker::Item* item;
};

// What is to be sent, in the order of discovery, each digest once.
struct Plan {
  std::vector<Upload> blobs, manifests, indexes;
  std::set<std::string> seen;
};

std::vector<std::string_view> SplitOn(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(separator, start), text.size());
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

class Pusher {
 public:
  Pusher(const base::Context& context, content::ContentStore& store, registry::Registry& registry,
         const std::vector<Platform>& platforms, ProgressTracker& progress)
      : context_(context),
        store_(store),
        registry_(registry),
        filter_(!platforms.empty()),
        matcher_(images::PlatformMatcher::AnyOf(platforms)),
        progress_(progress) {}

  absl::Status Discover(const Descriptor& descriptor, const std::string& parent, int depth,
                        Plan& plan) {
    if (depth > kMaxDepth) return base::InvalidArgument("indexes are nested too deeply");
    if (!plan.seen.insert(descriptor.digest).second) return absl::OkStatus();
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(descriptor.digest));
    const Upload upload{descriptor, progress_.Add(descriptor, parent)};
    const bool index = images::IsIndex(descriptor.media_type);
    if (!index && !images::IsManifest(descriptor.media_type)) {
      plan.blobs.push_back(upload);
      return absl::OkStatus();
    }
    (index ? plan.indexes : plan.manifests).push_back(upload);
    ASSIGN_OR_RETURN(const std::string text, content::ReadBlob(context_, store_, digest));
    ASSIGN_OR_RETURN(const auto children, images::ChildrenOf(descriptor, text));
    for (const Descriptor& child : children) {
      if (index && filter_ && !child.platform.empty() && !matcher_.Matches(child.platform))
        continue;
      RETURN_IF_ERROR(Discover(child, images::IngestRef(descriptor), depth + 1, plan));
    }
    return absl::OkStatus();
  }

  absl::Status Send(const Upload& upload, bool blob) {
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(upload.descriptor.digest));
    ASSIGN_OR_RETURN(std::shared_ptr<content::Reader> reader, store_.OpenReader(context_, digest));
    registry::HttpBody body;
    body.size_bytes = reader->size_bytes();
    body.read_at = [reader, item = upload.item](int64_t offset, std::span<char> buffer) {
      auto count = reader->ReadAt(offset, buffer);
      if (count.ok()) item->Moved(offset + static_cast<int64_t>(*count));
      return count;
    };
    const auto outcome =
        blob ? registry_.PushBlob(context_, upload.descriptor, body, MountSource(digest))
             : registry_.PushManifest(context_, upload.descriptor, body);
    RETURN_IF_ERROR(outcome.status());
    if (*outcome == registry::PushOutcome::kExisted) {
      upload.item->Existed();
    } else {
      upload.item->Complete();
    }
    return absl::OkStatus();
  }

 private:
  // Another repository of this registry that the blob came from: the one whose name shares most.
  std::string MountSource(const base::Digest& digest) {
    const auto info = store_.Stat(context_, digest);
    if (!info.ok()) return "";
    std::string host = registry_.reference().hostname();
    if (!host.ends_with(']')) host = host.substr(0, host.rfind(':'));
    const auto label = info->labels.find(std::string(images::kSourceLabelPrefix) + host);
    if (label == info->labels.end()) return "";
    const std::string own = registry_.reference().repository();
    const auto own_parts = SplitOn(own, '/');
    std::string best;
    size_t best_common = 0;
    for (const std::string_view repository : SplitOn(label->second, ',')) {
      if (repository.empty() || repository == own) continue;
      const auto parts = SplitOn(repository, '/');
      size_t common = 0;
      while (common < parts.size() && common < own_parts.size() &&
             parts[common] == own_parts[common]) {
        ++common;
      }
      if (best.empty() || common >= best_common) {
        best = repository;
        best_common = common;
      }
    }
    return best;
  }

  const base::Context& context_;
  content::ContentStore& store_;
  registry::Registry& registry_;
  const bool filter_;
  const images::PlatformMatcher matcher_;
  ProgressTracker& progress_;
};

}  // namespace

absl::Status PushTree(const base::Context& context, content::ContentStore& store,
                      registry::Registry& registry, const Descriptor& target,
                      const std::vector<Platform>& platforms, Limiter& uploads, size_t width,
                      ProgressTracker& progress, const std::string& root_name) {
  Pusher pusher(context, store, registry, platforms, progress);
  Plan plan;
  RETURN_IF_ERROR(pusher.Discover(target, root_name, 0, plan));
  const auto send_all = [&](const std::vector<Upload>& list, bool blobs) {
    return ForEachInParallel(list.size(), width, [&](size_t i) -> absl::Status {
      ASSIGN_OR_RETURN(const auto slot, uploads.Acquire(context));
      return pusher.Send(list[i], blobs);
    });
  };
  RETURN_IF_ERROR(send_all(plan.blobs, true));
  RETURN_IF_ERROR(send_all(plan.manifests, false));
  for (size_t i = plan.indexes.size(); i > 0; --i) {
    const absl::Status status = pusher.Send(plan.indexes[i - 1], false);
    if (!status.ok() && base::MessageOf(status).find("400 Bad Request") != std::string::npos) {
      return base::Annotate(status,
                            "manifest list/index references to blobs and/or manifests are missing "
                            "in your target registry");
    }
    RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

}  // namespace ctrd::transfer
