// SPDX-License-Identifier: Apache-2.0

// One directory below ingest/: the files data, ref, startedat, updatedat and total of an ingest.
// Internal to the local store. Source document: docs/formats/content.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "images/content/content_store.h"

namespace ctrd::content {

// What the small files of an ingest say, with the size of its data.
absl::StatusOr<IngestStatus> ReadIngest(int directory);
// Writes the small files of a new ingest and empties its data.
absl::Status InitializeIngest(int directory, const IngestStatus& status);
// Replaces `updatedat`.
absl::Status TouchIngest(int directory, absl::Time now);
// The name below ingest/ for `ref`.
std::string IngestName(std::string_view ref);
// Removes the directory `name` below `parent` and the files in it.  kNotFound if there is none.
absl::Status RemoveIngest(int parent, const std::string& name);

}  // namespace ctrd::content
