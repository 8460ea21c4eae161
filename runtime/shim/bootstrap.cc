// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/bootstrap.h"

#include <vector>

#include "base/status.h"
#include "base/wire.h"
#include "runtime/shim/runc_options.h"

// The small half of OpenSSL: its new interface would make the program twice as large.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

namespace ctrd::runtime::shim {
namespace {

// As Go's path.Join does: no empty parts, no dots.
std::string CleanJoin(std::initializer_list<std::string_view> parts) {
  std::string whole;
  for (const std::string_view part : parts) {
    if (part.empty()) continue;
    if (!whole.empty()) whole += '/';
    whole += part;
  }
  const bool absolute = whole.starts_with('/');
  std::vector<std::string> kept;
  for (std::string_view rest = whole; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    if (part.empty() || part == ".") continue;
    if (part == ".." && !kept.empty() && kept.back() != "..") {
      kept.pop_back();
    } else if (part != ".." || !absolute) {
      kept.emplace_back(part);
    }
  }
  std::string clean = absolute ? "/" : "";
  for (size_t i = 0; i < kept.size(); ++i) clean += (i > 0 ? "/" : "") + kept[i];
  return clean.empty() ? "." : clean;
}

struct Params {
  std::string id, namespace_name;
  Bootstrap bootstrap;
};

bool ReadParams(std::string_view input, Params& params) {
  base::WireReader reader(input);
  while (const auto field = reader.Next()) {
    switch (field->number) {
      case 1:
        params.id = field->bytes;
        break;
      case 2:
        params.namespace_name = field->bytes;
        break;
      case 5:
        params.bootstrap.ttrpc_address = field->bytes;
        break;
      case 8: {
        base::WireReader extension(field->bytes);
        while (const auto part = extension.Next()) {
          if (part->number != 1) continue;
          base::Any any = base::ReadWireAny(part->bytes);
          if (IsRuncOptions(any) || params.bootstrap.options.empty()) {
            params.bootstrap.options = std::move(any);
          }
        }
        break;
      }
      case 9:
        params.bootstrap.socket_dir = field->bytes;
        break;
    }
  }
  return reader.ok();
}

}  // namespace

Bootstrap ReadBootstrap(std::string_view input, std::string_view id,
                        std::string_view namespace_name, bool knows_shim_versions) {
  Params params;
  if (!input.empty() && ReadParams(input, params) && params.id == id &&
      params.namespace_name == namespace_name) {
    params.bootstrap.generation = Generation::kProtobuf;
    return params.bootstrap;
  }
  Bootstrap bootstrap;
  bootstrap.generation = knows_shim_versions ? Generation::kJson : Generation::kPlain;
  bootstrap.options = base::ReadWireAny(input);
  return bootstrap;
}

std::string EncodeAnswer(Generation generation, const std::string& address) {
  switch (generation) {
    case Generation::kProtobuf:
      return base::WireWriter().Varint(1, 3).Bytes(2, address).Bytes(3, "ttrpc").Take();
    case Generation::kJson:
      // Version 2: that of 1.7 takes no other over ttrpc, and the later ones take it too.
      return fmt::format(R"({{"version":2,"address":"{}","protocol":"ttrpc"}})", address);
    case Generation::kPlain:
      break;
  }
  return address;
}

std::string SocketAddress(const std::string& socket_dir, std::string_view grpc_address,
                          std::string_view namespace_name, std::string_view group) {
  const std::string path = CleanJoin({grpc_address, namespace_name, group});
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, path.data(), path.size());
  SHA256_Final(digest, &context);
  std::string address = "unix://" + socket_dir + "/";
  for (const unsigned char byte : digest) address += fmt::format("{:02x}", byte);
  return address;
}

}  // namespace ctrd::runtime::shim
