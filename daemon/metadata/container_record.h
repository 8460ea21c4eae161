// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "daemon/metadata/container_store.h"

namespace ctrd::metadata {

// All but the id, which is in the key. Format: docs/formats/metadata.md.
std::string Encode(const Container& container);
void Decode(std::string_view bytes, Container& container);

}  // namespace ctrd::metadata
