// SPDX-License-Identifier: Apache-2.0

// Platforms: how they are written, which of them is this host's, and which images suit one.
// Source document: docs/api/distribution.md (section 9.4).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "images/descriptor.h"

namespace ctrd::images {

// "os[(version+feature…)][/arch[/variant]]", or an architecture alone.  kInvalidArgument
absl::StatusOr<Platform> ParsePlatform(std::string_view text);
Platform NormalizePlatform(Platform platform);
std::string FormatPlatform(const Platform& platform);     // "linux/arm/v7"; "unknown" for none.
std::string FormatPlatformAll(const Platform& platform);  // With version and features of the OS.
// Of this machine.
Platform HostPlatform();

// Which platforms are wanted, and which of them more. A value; immutable, thread-safe.
class PlatformMatcher {
 public:
  PlatformMatcher() = default;  // Everything, nothing more than another.
  // What runs on `host`: itself and what it is compatible with, closest first.
  static PlatformMatcher Only(const Platform& host);
  // Exactly `platform`.
  static PlatformMatcher OnlyStrict(const Platform& platform);
  // Exactly one of `platforms`, none preferred.
  static PlatformMatcher AnyOf(const std::vector<Platform>& platforms);
  // Exactly one of `platforms`, earlier ones preferred.
  static PlatformMatcher Ordered(const std::vector<Platform>& platforms);

  bool matches_all() const { return all_; }
  bool Matches(const Platform& platform) const { return Rank(platform) < wanted_.size() || all_; }
  // Is `left` preferred over `right`? A strict weak order.
  bool Prefers(const Platform& left, const Platform& right) const;

 private:
  size_t Rank(const Platform& platform) const;  // wanted_.size() for what does not match.
  bool all_ = true;
  bool ranked_ = true;
  std::vector<Platform> wanted_;  // Normalised.
};

// Puts what `matcher` prefers first, and what has no platform last; equals keep their order.
void SortByPlatform(const PlatformMatcher& matcher, std::vector<Descriptor>& descriptors);

}  // namespace ctrd::images
