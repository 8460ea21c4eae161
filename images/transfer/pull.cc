// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/pull.h"

#include <atomic>
#include <thread>

#include "base/status.h"
#include "images/spec/media_types.h"

namespace ctrd::transfer {
namespace {

constexpr int kMaxDepth = 8;  // Of indexes in indexes.

// Work that runs ahead of what uses it: who needs number i waits for it.
class Arrivals {
 public:
  explicit Arrivals(size_t count) : results_(count) {}

  void Arrived(size_t index, absl::Status status) {
    const std::lock_guard lock(mutex_);
    results_[index] = std::move(status);
    changed_.notify_all();
  }
  absl::Status WaitFor(size_t index) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return results_[index].has_value(); });
    return *results_[index];
  }
  // What never started will not arrive.
  void Close(const absl::Status& status) {
    const std::lock_guard lock(mutex_);
    for (auto& result : results_) {
      if (!result) result = status;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::optional<absl::Status>> results_;
};

// Of two failures the one that is not merely the other's consequence.
absl::Status Cause(const absl::Status& first, const absl::Status& second) {
  if (first.ok() || (absl::IsCancelled(first) && !second.ok())) return second;
  return first;
}

}  // namespace

absl::StatusOr<std::vector<Selected>> SelectManifests(const StoreEnd& store,
                                                      std::vector<Descriptor> children) {
  std::vector<Selected> out;
  if (store.platforms.empty() && store.manifest_limit == 0) {
    for (Descriptor& child : children) out.push_back({std::move(child), false});
    return out;
  }
  const auto matcher = store.platforms.empty() ? images::PlatformMatcher()
                                               : images::PlatformMatcher::Ordered(store.platforms);
  if (store.manifest_limit > 0) images::SortByPlatform(matcher, children);
  size_t taken = 0;
  for (Descriptor& child : children) {
    const bool limited = store.manifest_limit > 0 && taken >= store.manifest_limit;
    const bool wanted = !limited && (child.platform.empty() || matcher.Matches(child.platform));
    if (wanted) ++taken;
    if (wanted || store.all_metadata) out.push_back({std::move(child), !wanted});
  }
  if (store.manifest_limit > 0 && taken == 0 && !children.empty()) {
    return base::NotFound("no match for platform in manifest");
  }
  return out;
}

absl::Status PullWalk::Run(const base::Context& context, const Descriptor& target) {
  return Visit(context, {target, false}, end_.name, 0);
}

absl::Status PullWalk::Visit(const base::Context& context, const Selected& selected,
                             const std::string& parent, int depth) {
  const Descriptor& descriptor = selected.descriptor;
  if (depth > kMaxDepth) return base::InvalidArgument("indexes are nested too deeply");
  const bool index = images::IsIndex(descriptor.media_type);
  if (!index && !images::IsManifest(descriptor.media_type)) {
    return FetchAll(context, {descriptor}, parent);
  }
  std::vector<Descriptor> children;
  ASSIGN_OR_RETURN(
      const std::string text,
      fetcher_.FetchDocument(context, descriptor, *progress_.Add(descriptor, parent),
                             [&](std::string_view document) -> absl::StatusOr<base::Labels> {
                               ASSIGN_OR_RETURN(children, images::ChildrenOf(descriptor, document));
                               return images::GcLabelsFor(children);
                             }));
  const std::string name = images::IngestRef(descriptor);
  if (index) return VisitIndex(context, std::move(children), name, depth);
  return VisitManifest(context, std::move(children), name, selected.metadata_only);
}

absl::Status PullWalk::VisitIndex(const base::Context& context, std::vector<Descriptor> children,
                                  const std::string& parent, int depth) {
  ASSIGN_OR_RETURN(const auto selected, SelectManifests(end_, std::move(children)));
  return ForEachInParallel(selected.size(), width_, [&](size_t i) {
    const absl::Status status = Visit(context, selected[i], parent, depth + 1);
    if (!status.ok()) fetcher_.Abandon();
    return status;
  });
}

const ActiveUnpack* PullWalk::UnpackFor(const images::ImageConfig& config) const {
  for (const ActiveUnpack& unpack : unpacks_) {
    if (unpack.platforms.Matches(config.platform)) return &unpack;
  }
  return nullptr;
}

absl::Status PullWalk::VisitManifest(const base::Context& context, std::vector<Descriptor> children,
                                     const std::string& parent, bool metadata_only) {
  std::vector<Descriptor> layers, others;
  for (Descriptor& child : children) {
    (images::IsLayer(child.media_type) ? layers : others).push_back(std::move(child));
  }
  const Descriptor* config_descriptor = nullptr;
  std::string config_text;
  std::vector<Descriptor> blobs;
  for (const Descriptor& other : others) {
    if (config_descriptor == nullptr && images::IsConfig(other.media_type)) {
      config_descriptor = &other;
      ASSIGN_OR_RETURN(config_text,
                       fetcher_.FetchDocument(context, other, *progress_.Add(other, parent),
                                              [](std::string_view) { return base::Labels{}; }));
    } else if (!metadata_only || images::IsKnownConfig(other.media_type) || &other == &others[0]) {
      blobs.push_back(other);
    }
  }
  RETURN_IF_ERROR(FetchAll(context, blobs, parent));
  if (metadata_only) return absl::OkStatus();
  if (config_descriptor == nullptr || unpacks_.empty()) return FetchAll(context, layers, parent);

  ASSIGN_OR_RETURN(images::ImageConfig config, images::ParseImageConfig(config_text));
  const ActiveUnpack* unpack = UnpackFor(config);
  if (unpack == nullptr) return FetchAll(context, layers, parent);
  if (!config.rootfs_type.empty() && config.rootfs_type != "layers") {
    return base::InvalidArgument("unsupported rootfs type {}", base::Quote(config.rootfs_type));
  }
  Unpacker unpacker(store_, locks_, unpack->target);
  RETURN_IF_ERROR(unpacker.Open(*config_descriptor, layers, std::move(config.diff_ids)));
  RETURN_IF_ERROR(FetchAndUnpack(context, unpacker, layers, parent));
  return unpacker.Finish(context);
}

absl::Status PullWalk::FetchAndUnpack(const base::Context& context, Unpacker& unpacker,
                                      const std::vector<Descriptor>& layers,
                                      const std::string& parent) {
  ASSIGN_OR_RETURN(const size_t present, unpacker.CountPresent(context));
  Items items;
  for (const Descriptor& layer : layers) items.push_back(progress_.Add(layer, parent));
  const size_t missing = layers.size() - present;
  if (missing == 0) return absl::OkStatus();
  if (missing > 1 && unpack_width_ > 1 && unpacker.CanRebase()) {
    return UnpackSideBySide(context, unpacker, layers, items, present);
  }
  return UnpackInTurn(context, unpacker, layers, items, present);
}

absl::Status PullWalk::UnpackSideBySide(const base::Context& context, Unpacker& unpacker,
                                        const std::vector<Descriptor>& layers, const Items& items,
                                        size_t first) {
  // Each layer is applied while it arrives, and committed when the one below is.
  Arrivals committed(layers.size());
  const auto unpack = [&](size_t index) -> absl::Status {
    const auto fetch = [&](const Tap& tap) {
      return fetcher_.Fetch(context, layers[index], *items[index], tap);
    };
    absl::StatusOr<LooseLayer> loose = unpacker.ApplyLoose(context, index, fetch, items[index]);
    if (!loose.ok() && !absl::IsAborted(loose.status())) return loose.status();
    if (index > first) RETURN_IF_ERROR(committed.WaitFor(index - 1));
    if (loose.ok()) return loose->Commit();
    return unpacker.Apply(context, index, fetch, items[index]);
  };
  std::vector<absl::Status> results(layers.size());
  (void)ForEachInParallel(layers.size() - first, unpack_width_, [&](size_t i) {
    const size_t index = first + i;
    results[index] = unpack(index);
    if (!results[index].ok()) fetcher_.Abandon();
    committed.Arrived(index, results[index]);
    return results[index];
  });
  absl::Status cause;
  for (const absl::Status& result : results) cause = Cause(cause, result);
  return cause;
}

absl::Status PullWalk::UnpackInTurn(const base::Context& context, Unpacker& unpacker,
                                    const std::vector<Descriptor>& layers, const Items& items,
                                    size_t first) {
  // The lowest missing layer is applied from the network. Those above are fetched meanwhile; a
  // layer whose turn comes before its fetch has begun is applied from the network too.
  Arrivals arrivals(layers.size());
  std::vector<std::atomic<bool>> claimed(layers.size());
  claimed[first] = true;
  absl::Status fetched;
  std::thread fetching([&] {
    const size_t width = width_ > 1 ? width_ - 1 : 1;
    fetched = ForEachInParallel(layers.size() - first - 1, width, [&](size_t i) {
      const size_t index = first + 1 + i;
      if (claimed[index].exchange(true)) return absl::OkStatus();
      absl::Status status = fetcher_.Fetch(context, layers[index], *items[index]).status();
      arrivals.Arrived(index, status);
      return status;
    });
    arrivals.Close(fetched);
  });
  absl::Status applied;
  for (size_t index = first; index < layers.size() && applied.ok(); ++index) {
    const bool ours = index == first || !claimed[index].exchange(true);
    const auto fetch = [&](const Tap& tap) -> absl::StatusOr<bool> {
      if (ours) return fetcher_.Fetch(context, layers[index], *items[index], tap);
      RETURN_IF_ERROR(arrivals.WaitFor(index));
      return false;
    };
    applied = unpacker.Apply(context, index, fetch, items[index]);
  }
  if (!applied.ok()) fetcher_.Abandon();
  fetching.join();
  return Cause(applied, fetched);
}

absl::Status PullWalk::FetchAll(const base::Context& context, const std::vector<Descriptor>& blobs,
                                const std::string& parent) {
  std::vector<ProgressTracker::Item*> items;
  for (const Descriptor& blob : blobs) items.push_back(progress_.Add(blob, parent));
  return ForEachInParallel(blobs.size(), width_, [&](size_t i) {
    const absl::Status status = fetcher_.Fetch(context, blobs[i], *items[i]).status();
    if (!status.ok()) fetcher_.Abandon();
    return status;
  });
}

}  // namespace ctrd::transfer
