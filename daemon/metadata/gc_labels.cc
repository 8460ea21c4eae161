// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/gc_labels.h"

#include <optional>

#include "base/time.h"
#include "images/lease.h"

namespace ctrd::metadata::gc {
namespace {

constexpr std::string_view kReference = "containerd.io/gc.ref.";
constexpr std::string_view kBackReference = "containerd.io/gc.bref.";
constexpr std::string_view kConditional = "containerd.io/gc.cond.snapshot";
constexpr std::string_view kRoot = "containerd.io/gc.root";
constexpr std::string_view kFlat = "containerd.io/gc.flat";
constexpr std::string_view kUsedAt = "containerd.io/gc.cond.value-usedat";

// "<word>" alone or followed by '.' or '/' and a free name.
bool Names(std::string_view text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  const std::string_view rest = text.substr(word.size());
  return rest.empty() || rest[0] == '.' || rest[0] == '/';
}

// "snapshot.<snapshotter>[/<free name>]": the snapshotter.
std::optional<std::string_view> SnapshotterOf(std::string_view text) {
  constexpr std::string_view kWord = "snapshot.";
  if (!text.starts_with(kWord)) return std::nullopt;
  text.remove_prefix(kWord.size());
  return text.substr(0, text.find('/'));
}

std::optional<NodeId> NodeOf(std::string_view kind, std::string_view value) {
  if (Names(kind, "content")) return Content(value);
  if (Names(kind, "image")) return Image(value);
  if (Names(kind, "mount")) return ActiveMount(value);
  if (const auto snapshotter = SnapshotterOf(kind)) return Snapshot(*snapshotter, value);
  return std::nullopt;
}

struct Condition {
  std::string_view name, op, value;
};

std::optional<Condition> ParseCondition(std::string_view text) {
  const size_t begin = text.find_first_of("=!<>");
  if (begin == std::string_view::npos) return std::nullopt;
  size_t end = begin + 1;
  if (end < text.size() && text[end] == '=') ++end;
  return Condition{text.substr(0, begin), text.substr(begin, end - begin), text.substr(end)};
}

bool Holds(const Condition& condition, absl::Time now, absl::Time used_at) {
  if (condition.name != "usedat" || used_at == absl::InfinitePast()) return false;
  const auto limit = base::ParseDuration(condition.value);
  if (!limit) return false;
  const absl::Duration age = now - used_at;
  if (condition.op == "<") return age < *limit;
  if (condition.op == ">") return age > *limit;
  return false;
}

// Conditions are separated by commas; one is enough.
bool AnyHolds(std::string_view conditions, absl::Time now, absl::Time used_at) {
  while (!conditions.empty()) {
    const size_t comma = conditions.find(',');
    const auto condition = ParseCondition(conditions.substr(0, comma));
    if (condition && Holds(*condition, now, used_at)) return true;
    conditions.remove_prefix(comma == std::string_view::npos ? conditions.size() : comma + 1);
  }
  return false;
}

NodeId MakeId(char kind, std::string_view name) { return kind + std::string(name); }

}  // namespace

NodeId Content(std::string_view digest) { return MakeId('b', digest); }
NodeId Image(std::string_view name) { return MakeId('i', name); }
NodeId Container(std::string_view id) { return MakeId('c', id); }
NodeId Ingest(std::string_view ref) { return MakeId('g', ref); }
NodeId ActiveMount(std::string_view name) { return MakeId('m', name); }
NodeId Snapshot(std::string_view snapshotter, std::string_view key) {
  NodeId id = MakeId('s', snapshotter);
  id += '\0';
  return id.append(key);
}

void ForEachReference(const base::Labels& labels, const VisitNode& visit) {
  for (auto label = labels.lower_bound(std::string(kReference));
       label != labels.end() && label->first.starts_with(kReference); ++label) {
    const std::string_view kind = std::string_view(label->first).substr(kReference.size());
    if (const auto node = NodeOf(kind, label->second)) visit(*node);
  }
}

void ForEachBackReference(const base::Labels& labels, const VisitNode& visit) {
  for (auto label = labels.lower_bound(std::string(kBackReference));
       label != labels.end() && label->first.starts_with(kBackReference); ++label) {
    const std::string_view kind = std::string_view(label->first).substr(kBackReference.size());
    if (Names(kind, "container")) visit(Container(label->second));
    if (const auto node = NodeOf(kind, label->second)) visit(*node);
  }
}

void ForEachConditional(const base::Labels& labels, absl::Time now,
                        const std::function<absl::Time(const NodeId&)>& used_at,
                        const VisitNode& visit) {
  for (auto label = labels.lower_bound(std::string(kConditional));
       label != labels.end() && label->first.starts_with(kConditional); ++label) {
    std::string_view rest = std::string_view(label->first).substr(kConditional.size());
    if (rest.empty() || (rest[0] != '.' && rest[0] != '/')) continue;
    rest.remove_prefix(1);
    const std::string_view value = label->second;
    const size_t bar = value.find('|');
    if (bar == std::string_view::npos) continue;
    const NodeId snapshot = Snapshot(rest.substr(0, rest.find('/')), value.substr(bar + 1));
    if (AnyHolds(value.substr(0, bar), now, used_at(snapshot))) visit(snapshot);
  }
}

bool IsRoot(const base::Labels& labels) {
  const auto label = labels.lower_bound(std::string(kRoot));
  return label != labels.end() && label->first.starts_with(kRoot);
}

bool IsFlat(const base::Labels& labels) { return labels.contains(std::string(kFlat)); }

bool IsExpired(const base::Labels& labels, absl::Time now) {
  const auto label = labels.find(std::string(images::kGcExpireLabel));
  if (label == labels.end()) return false;
  const auto time = base::ParseRfc3339(label->second);
  return time && now >= *time;
}

absl::Time UsedAt(const base::Labels& labels) {
  const auto label = labels.find(std::string(kUsedAt));
  if (label == labels.end()) return absl::InfinitePast();
  return base::ParseRfc3339(label->second).value_or(absl::InfinitePast());
}

}  // namespace ctrd::metadata::gc
