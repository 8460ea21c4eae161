// SPDX-License-Identifier: Apache-2.0
#include "ctr/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "ctr/cli/table.h"
#include "ctr/output.h"

namespace ctrd::ctr {
namespace {

constexpr int kBarWidth = 40;
constexpr size_t kNameWidth = 40;

// "layer-sha256:0123…" is shown as "layer (0123456789ab)".
std::string ShownName(const std::string& name) {
  const size_t at = name.find("-sha256:");
  if (at == std::string::npos) return name;
  return name.substr(0, at) + " (" + name.substr(at + 8, 12) + ")";
}

std::string Columns(const containerd::types::transfer::Progress& event) {
  const std::string& word = event.event();
  std::string row = fmt::format("\t{:<11}\t", word);
  if (word == "downloading" || word == "uploading" || word == "extracting") {
    const double part =
        event.total() > 0 ? static_cast<double>(event.progress()) / event.total() : 0;
    row += ProgressBar(part) +
           fmt::format("\t{:>8.8}/{}", BinarySize(event.progress()), BinarySize(event.total()));
  } else if (word == "resolving" || word == "waiting") {
    row += ProgressBar(0) + "\t";
  } else if (word == "complete" || word == "extracted") {
    row += ProgressBar(1) + "\t";
  } else {
    row += "\t";
  }
  return row + "\t\n";
}

}  // namespace

std::string ProgressBar(double part) {
  const int full = std::clamp(static_cast<int>(part * kBarWidth), 0, kBarWidth);
  return "|\x1b[32m" + std::string(static_cast<size_t>(full), '+') + "\x1b[0m" +
         std::string(static_cast<size_t>(kBarWidth - full), '-') + "|";
}

void ProgressTree::Add(const containerd::types::transfer::Progress& event) {
  if (event.name().empty()) {
    status_ = event.event();
    return;
  }
  const bool is_new = !nodes_.contains(event.name());
  Node& node = nodes_[event.name()];
  const containerd::types::Descriptor known = node.latest.desc();
  node.latest = event;
  if (!event.has_desc() && !known.digest().empty()) *node.latest.mutable_desc() = known;
  if (!is_new) return;
  order_.push_back(event.name());
  for (const std::string& parent : event.parents()) {
    const auto found = nodes_.find(parent);
    if (found == nodes_.end() || parent == event.name()) continue;
    found->second.children.push_back(event.name());
    node.is_root = false;
    break;  // Announced once, shown once.
  }
}

void ProgressTree::RenderNode(const std::string& name, const std::string& lead,
                              const std::string& below, Table& table, int64_t& total) const {
  const Node& node = nodes_.at(name);
  total += node.latest.progress();
  std::string shown = ShownName(name).substr(0, kNameWidth);
  table.Write(lead + fmt::format("{:<{}}", shown, kNameWidth) + Columns(node.latest));
  for (size_t i = 0; i < node.children.size(); ++i) {
    const bool is_last = i + 1 == node.children.size();
    RenderNode(node.children[i], below + (is_last ? "└──" : "├──"),
               below + (is_last ? "   " : "│  "), table, total);
  }
}

std::string ProgressTree::Render(absl::Time now) const {
  Table table(Table::kNarrow);
  int64_t total = 0;
  for (const std::string& name : order_) {
    if (nodes_.at(name).is_root) RenderNode(name, "", "", table, total);
  }
  for (const std::string& name : order_) {
    const Node& node = nodes_.at(name);
    if (node.is_root && node.latest.has_desc()) {
      table.Write(node.latest.desc().media_type() + " " + node.latest.desc().digest() + "\n");
    }
  }
  const double seconds = std::max(absl::ToDoubleSeconds(now - start_), 0.001);
  table.Write(fmt::format("{}\telapsed: {:<4.1f}s\ttotal: {:>7.6}\t({}/s)\t\n", status_, seconds,
                          BinarySize(total), BinarySize(static_cast<int64_t>(total / seconds))));
  return table.Take();
}

ProgressDisplay::ProgressDisplay() : tree_(absl::Now()), overwrites_(::isatty(STDIN_FILENO) == 1) {}

void ProgressDisplay::Add(const containerd::types::transfer::Progress& event) {
  tree_.Add(event);
  if (tree_.empty()) return;
  std::string frame;
  for (size_t i = 0; i < lines_; ++i) frame += "\x1b[1A\x1b[2K\r";
  const std::string picture = tree_.Render(absl::Now());
  if (overwrites_) {
    lines_ = static_cast<size_t>(std::count(picture.begin(), picture.end(), '\n'));
  }
  Print(frame + picture);
  std::fflush(stdout);
}

}  // namespace ctrd::ctr
