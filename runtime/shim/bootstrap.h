// SPDX-License-Identifier: Apache-2.0

// What a daemon tells a shim's start call and what it wants to hear, by generation:
//
//   2.3            BootstrapParams on standard input   answer: BootstrapResult, protobuf
//   1.7 … 2.2      a bare Any or nothing               answer: JSON
//   1.6            a bare Any or nothing               answer: the address, as plain text
//
// Source document: docs/api/shim.md.
#pragma once

#include <string>
#include <string_view>

#include "base/any.h"

namespace ctrd::runtime::shim {

enum class Generation { kPlain, kJson, kProtobuf };

struct Bootstrap {
  Generation generation = Generation::kPlain;
  base::Any options;          // Of the runc type if there are any, else what came.
  std::string ttrpc_address;  // "" if not told here.
  std::string socket_dir;     // "" if not told.
};

// Reads standard input of the start call. A bare Any decodes as BootstrapParams, too: the two are
// told apart by `id` and `namespace_name`, which the command line gave. `knows_shim_versions`: the
// environment has MAX_SHIM_VERSION, as from 1.7 on.
Bootstrap ReadBootstrap(std::string_view input, std::string_view id,
                        std::string_view namespace_name, bool knows_shim_versions);

// The answer for a daemon of `generation`.
std::string EncodeAnswer(Generation generation, const std::string& address);

inline constexpr char kDefaultSocketDir[] = "/run/containerd/s";

// "unix://<directory>/<hash>": the same for all shims, which is how they find each other.
std::string SocketAddress(const std::string& socket_dir, std::string_view grpc_address,
                          std::string_view namespace_name, std::string_view group);

}  // namespace ctrd::runtime::shim
