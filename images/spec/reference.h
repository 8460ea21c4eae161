// SPDX-License-Identifier: Apache-2.0

// Names of images. Two unrelated grammars: Reference is what resolving, pulling and pushing use,
// and completes nothing; NormalizeName is the Docker way ("busybox" is
// docker.io/library/busybox:latest). Source document: docs/api/distribution.md (section 1).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ctrd::images {

// "<host>[:<port>]/<repository>[:<tag>][@<digest>]", taken apart.
struct Reference {
  std::string locator;  // Host and repository.
  std::string object;   // "tag", "tag@digest", "@digest" or "".

  // kUnknown "invalid reference", "hostname required", …
  static absl::StatusOr<Reference> Parse(std::string_view text);

  std::string hostname() const;    // With the port.
  std::string repository() const;  // The locator without its host.
  std::string tag() const;         // The object before '@'.
  std::string digest() const;      // The object after '@', as it stands; "" for none.
  std::string text() const;        // Put together again.

  friend bool operator==(const Reference&, const Reference&) = default;
};

// The full name that Docker's tools mean by `name`, with a tag ("latest" if it has none) unless it
// has a digest.  kInvalidArgument "invalid reference format…"
absl::StatusOr<std::string> NormalizeName(std::string_view name);
// The short form of a full name: without docker.io/ and library/. Other names come back unchanged.
std::string FamiliarName(std::string_view name);

}  // namespace ctrd::images
