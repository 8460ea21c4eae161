// SPDX-License-Identifier: Apache-2.0
// Inside runtime/spec: the JSON side of Spec.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace ctrd::runtime {

using Json = nlohmann::ordered_json;

// The defaults of docs/formats/runtime-spec.md.
Json DefaultSpecDocument(std::string_view cgroups_path);

// Takes null members away, which mean nothing, and refuses, by its name, a member that is of
// another type than the OCI document says. Afterwards what Spec reads or changes is there as that,
// or not there. Members that the OCI document does not know are left alone.
absl::Status TakeShape(Json& document);

// `document`, an object of the given kind ("" for a whole specification, "process"), with its keys
// in the order in which the OCI document lists them, unknown ones last.
Json InOciOrder(const Json& document, std::string_view kind);

}  // namespace ctrd::runtime
