// SPDX-License-Identifier: Apache-2.0
// The picture of a transfer under way: a tree of what is fetched, bars, a line of totals.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "types/transfer/progress.pb.h"

namespace ctrd::ctr {

// A bar of 40 places, `part` (0 to 1) of them full.
std::string ProgressBar(double part);

// Not thread-safe.
class ProgressTree {
 public:
  explicit ProgressTree(absl::Time start) : start_(start) {}

  void Add(const containerd::types::transfer::Progress& event);
  // The picture after the events so far, and at `now`.
  std::string Render(absl::Time now) const;
  // Whether there is anything to show: events that name no object make no picture.
  bool empty() const { return nodes_.empty(); }

 private:
  struct Node {
    containerd::types::transfer::Progress latest;
    std::vector<std::string> children;
    bool is_root = true;
  };
  void RenderNode(const std::string& name, const std::string& lead, const std::string& below,
                  class Table& table, int64_t& total) const;

  absl::Time start_;
  std::string status_;
  std::map<std::string, Node> nodes_;
  std::vector<std::string> order_;
};

// Shows a tree on standard output, each picture over the one before if this is a terminal.
class ProgressDisplay {
 public:
  ProgressDisplay();
  void Add(const containerd::types::transfer::Progress& event);

 private:
  ProgressTree tree_;
  bool overwrites_;
  size_t lines_ = 0;  // Of the last picture.
};

}  // namespace ctrd::ctr
