// SPDX-License-Identifier: Apache-2.0

// Writes the changes between two trees as a layer: files, whiteouts, hard links, parents.
// Source document: docs/api/diff.md (tar entries).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "images/archive/tar_writer.h"
#include "images/diff/tree_changes.h"

namespace ctrd::diff {

class LayerWriter {
 public:
  // `root` is the newer tree. Times later than `latest` become it.
  LayerWriter(archive::TarWriter& tar, int root, std::optional<absl::Time> latest)
      : tar_(tar), root_(root), latest_(latest) {}

  // Takes the changes in the order in which FindChanges tells them.
  absl::Status Add(const Change& change);

 private:
  using Inode = std::pair<dev_t, ino_t>;

  absl::Status AddDeleted(const std::string& path);
  absl::Status AddParents(const std::string& path);
  absl::Status AddObject(const Change& change, const std::vector<std::string>& other_names);
  absl::Status CopyData(int file, const archive::TarEntry& entry);
  archive::TarEntry EntryFor(const std::string& path, const struct stat& file) const;

  archive::TarWriter& tar_;
  const int root_;
  const std::optional<absl::Time> latest_;
  std::unordered_set<std::string> written_directories_;
  std::map<Inode, std::string> sources_;                 // The name each inode was written under.
  std::map<Inode, std::vector<std::string>> unchanged_;  // Names of inodes not written so far.
};

}  // namespace ctrd::diff
