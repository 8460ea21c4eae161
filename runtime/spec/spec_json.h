// SPDX-License-Identifier: Apache-2.0
// Inside runtime/spec: the JSON side of Spec.
#pragma once

#include <string>
#include <string_view>

#include "nlohmann/json.hpp"

namespace ctrd::runtime {

using Json = nlohmann::ordered_json;

// The defaults of docs/formats/runtime-spec.md.
Json DefaultSpecDocument(std::string_view cgroups_path);

// `document`, an object of the given kind ("" for a whole specification, "process"), with its keys
// in the order in which the OCI documents list them, unknown ones last.
Json InOciOrder(const Json& document, std::string_view kind);

}  // namespace ctrd::runtime
