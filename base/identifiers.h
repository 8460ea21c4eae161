// SPDX-License-Identifier: Apache-2.0

// The rules for names that clients choose, and how they are printed.
// Source document: docs/api/names.md.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ctrd::base {

using Labels = std::map<std::string, std::string>;

// Namespaces, containers, tasks, execs, sandboxes and components of topics: runs of ASCII letters
// and digits joined by single '.', '_' or '-', at most 76 bytes. kInvalidArgument otherwise.
absl::Status ValidateIdentifier(std::string_view id);

// Key and value together at most 4096 bytes.
absl::Status ValidateLabel(std::string_view key, std::string_view value);
// All of `labels`; the message is prefixed with `prefix` and ": " ("containers.Labels: …").
absl::Status ValidateLabels(const Labels& labels, std::string_view prefix);

// `text` in double quotes, escaped the way clients of this API are used to read it: \" \\ \n \t …,
// \x for bytes that are no UTF-8, \u for what cannot be printed.
std::string Quote(std::string_view text);

// A random name that is unlikely to be in use: "<nanoseconds of the second>-<4 characters>".
std::string GenerateName();

}  // namespace ctrd::base
