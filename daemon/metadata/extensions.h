// SPDX-License-Identifier: Apache-2.0

// Parts that the records of containers and sandboxes have in common.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/any.h"
#include "base/wire.h"
#include "daemon/metadata/container_store.h"

namespace ctrd::metadata {

using Extensions = std::map<std::string, base::Any>;

void WriteExtensions(base::WireWriter& writer, int field, const Extensions& extensions);
void ReadExtension(std::string_view entry, Extensions& extensions);
std::string EncodeRuntime(const RuntimeInfo& runtime);
RuntimeInfo DecodeRuntime(std::string_view bytes);

}  // namespace ctrd::metadata
