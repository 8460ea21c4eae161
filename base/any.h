// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace ctrd::base {

// A value that this layer carries and does not parse. Both fields are kept byte for byte; the
// encoding is whatever the type URL means to those who parse it.
struct Any {
  std::string type_url;
  std::string value;

  bool empty() const { return type_url.empty() && value.empty(); }
  friend bool operator==(const Any&, const Any&) = default;
};

}  // namespace ctrd::base
