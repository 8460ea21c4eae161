// SPDX-License-Identifier: Apache-2.0

// Digests: "<algorithm>:<hex>", algorithms sha256, sha384 and sha512, lower case.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ctrd::base {

// A digest that is known to be well formed, so its parts may become a path.
class Digest {
 public:
  Digest() = default;
  // kInvalidArgument with the texts clients know: "invalid checksum digest format",
  // "invalid checksum digest length", "unsupported digest algorithm".
  static absl::StatusOr<Digest> Parse(std::string_view text);
  // The digest of `data`, sha256.
  static Digest Of(std::string_view data);

  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }
  std::string_view algorithm() const;
  std::string_view hex() const;

  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  std::string text_;
};

// Computes a digest piece by piece. Not thread-safe.
class Hasher {
 public:
  // `algorithm` is one of the three above.
  explicit Hasher(std::string_view algorithm = "sha256");
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();

  void Update(std::string_view data);
  // The digest of all data so far; more may follow.
  Digest Current() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ctrd::base
