// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

// The plain functions: the newer interface (EVP) brings providers, a configuration file and 2 MB of
// code and tables, and reaches the same assembly.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/status.h"

namespace ctrd::base {
namespace {

union Context {
  SHA256_CTX sha256;
  SHA512_CTX sha512;  // Of sha384 as well.
};

// What fails here is a broken OpenSSL alone, and nothing could be verified with it.
struct Algorithm {
  std::string_view name;
  size_t hex_length;
  void (*start)(Context&);
  void (*update)(Context&, std::string_view data);
  void (*finish)(Context&, unsigned char* digest);  // Of hex_length / 2 bytes.
};

template <auto kInit, auto kUpdate, auto kFinal, auto kMember>
constexpr Algorithm Make(std::string_view name, size_t hex_length) {
  return {name, hex_length,
          [](Context& context) {
            if (kInit(&(context.*kMember)) != 1) std::abort();
          },
          [](Context& context, std::string_view data) {
            if (kUpdate(&(context.*kMember), data.data(), data.size()) != 1) std::abort();
          },
          [](Context& context, unsigned char* digest) {
            if (kFinal(digest, &(context.*kMember)) != 1) std::abort();
          }};
}

constexpr std::array<Algorithm, 3> kAlgorithms = {{
    Make<SHA256_Init, SHA256_Update, SHA256_Final, &Context::sha256>("sha256", 64),
    Make<SHA384_Init, SHA384_Update, SHA384_Final, &Context::sha512>("sha384", 96),
    Make<SHA512_Init, SHA512_Update, SHA512_Final, &Context::sha512>("sha512", 128),
}};

const Algorithm* FindAlgorithm(std::string_view name) {
  for (const Algorithm& algorithm : kAlgorithms) {
    if (algorithm.name == name) return &algorithm;
  }
  return nullptr;
}

bool IsLowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsLowerHex(char c) { return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9'); }

// Names of algorithms: runs of [a-z0-9] joined by single '+', '.', '_' or '-'.
bool IsAlgorithmName(std::string_view name) {
  bool after_separator = true;
  for (const char c : name) {
    const bool separator = c == '+' || c == '.' || c == '_' || c == '-';
    if (separator ? after_separator : !IsLowerAlnum(c)) return false;
    after_separator = separator;
  }
  return !after_separator;
}

bool IsEncodedPart(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return IsLowerAlnum(c) || (c >= 'A' && c <= 'Z') || c == '=' || c == '_' || c == '-';
  });
}

absl::Status BadFormat() { return absl::InvalidArgumentError("invalid checksum digest format"); }

}  // namespace

absl::StatusOr<Digest> Digest::Parse(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size()) return BadFormat();
  const std::string_view name = text.substr(0, colon);
  const std::string_view hex = text.substr(colon + 1);
  const Algorithm* algorithm = FindAlgorithm(name);
  if (algorithm == nullptr) {
    if (!IsAlgorithmName(name) || !IsEncodedPart(hex)) return BadFormat();
    return absl::InvalidArgumentError("unsupported digest algorithm");
  }
  if (hex.size() != algorithm->hex_length) {
    return absl::InvalidArgumentError("invalid checksum digest length");
  }
  if (!std::all_of(hex.begin(), hex.end(), IsLowerHex)) return BadFormat();
  Digest digest;
  digest.text_ = std::string(text);
  return digest;
}

Digest Digest::Of(std::string_view data) {
  Hasher hasher;
  hasher.Update(data);
  return hasher.Current();
}

std::string_view Digest::algorithm() const {
  return std::string_view(text_).substr(0, std::min(text_.find(':'), text_.size()));
}

std::string_view Digest::hex() const {
  const size_t colon = text_.find(':');
  return colon == std::string::npos ? std::string_view()
                                    : std::string_view(text_).substr(colon + 1);
}

struct Hasher::State {
  explicit State(const Algorithm& algorithm) : algorithm(algorithm) { algorithm.start(context); }

  const Algorithm& algorithm;
  Context context;
};

Hasher::Hasher(std::string_view algorithm) {
  const Algorithm* found = FindAlgorithm(algorithm);
  if (found == nullptr) std::abort();  // The caller's promise: parsed digests hold no other.
  state_ = std::make_unique<State>(*found);
}

Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::Update(std::string_view data) { state_->algorithm.update(state_->context, data); }

Digest Hasher::Current() const {
  Context finished = state_->context;
  std::array<unsigned char, SHA512_DIGEST_LENGTH> bytes;
  state_->algorithm.finish(finished, bytes.data());
  const std::string hex = absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(bytes.data()), state_->algorithm.hex_length / 2));
  return *Digest::Parse(fmt::format("{}:{}", state_->algorithm.name, hex));
}

}  // namespace ctrd::base
