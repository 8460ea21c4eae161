// SPDX-License-Identifier: Apache-2.0

// Fields of event payloads, as filters name them (`event.<path>`): strings, booleans and labels of
// the messages the daemon knows, found by their names in the .proto files.
// Source document: docs/api/filters.md, section 5.
#pragma once

#include <optional>
#include <string>

#include "base/any.h"
#include "base/filter.h"

namespace ctrd::services {

// nullopt for an unknown type, an unknown field, an empty string and whatever is not addressable.
std::optional<std::string> EventPayloadField(const base::Any& payload, const base::FieldPath& path);

}  // namespace ctrd::services
