// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/status.h"

namespace ctrd::base {
namespace {

struct Algorithm {
  std::string_view name;
  size_t hex_length;
  const EVP_MD* (*fallback)();
};

constexpr std::array<Algorithm, 3> kAlgorithms = {{
    {"sha256", 64, EVP_sha256},
    {"sha384", 96, EVP_sha384},
    {"sha512", 128, EVP_sha512},
}};

const Algorithm* FindAlgorithm(std::string_view name) {
  for (const Algorithm& algorithm : kAlgorithms) {
    if (algorithm.name == name) return &algorithm;
  }
  return nullptr;
}

// Fetched once: OpenSSL 3 otherwise searches its providers at every start of a digest.
const EVP_MD* FetchedMethod(const Algorithm& algorithm) {
  static const std::array<const EVP_MD*, kAlgorithms.size()> methods = [] {
    std::array<const EVP_MD*, kAlgorithms.size()> fetched{};
    for (size_t i = 0; i < kAlgorithms.size(); ++i) {
      fetched[i] = EVP_MD_fetch(nullptr, kAlgorithms[i].name.data(), nullptr);
      if (fetched[i] == nullptr) fetched[i] = kAlgorithms[i].fallback();
    }
    return fetched;
  }();
  return methods[&algorithm - kAlgorithms.data()];
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
  explicit State(const Algorithm& algorithm)
      : algorithm(algorithm), context(EVP_MD_CTX_new()), scratch(EVP_MD_CTX_new()) {
    // Only a lack of memory or a broken OpenSSL fails here: nothing could be verified then.
    if (context == nullptr || scratch == nullptr ||
        EVP_DigestInit_ex(context, FetchedMethod(algorithm), nullptr) != 1) {
      std::abort();
    }
  }
  State(const State&) = delete;
  ~State() {
    EVP_MD_CTX_free(context);
    EVP_MD_CTX_free(scratch);
  }

  const Algorithm& algorithm;
  EVP_MD_CTX* context;
  EVP_MD_CTX* scratch;  // Where Current finishes a copy.
};

Hasher::Hasher(std::string_view algorithm) {
  const Algorithm* found = FindAlgorithm(algorithm);
  if (found == nullptr) std::abort();  // The caller's promise: parsed digests hold no other.
  state_ = std::make_unique<State>(*found);
}

Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::Update(std::string_view data) {
  if (EVP_DigestUpdate(state_->context, data.data(), data.size()) != 1) std::abort();
}

Digest Hasher::Current() const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
  unsigned int length = 0;
  if (EVP_MD_CTX_copy_ex(state_->scratch, state_->context) != 1 ||
      EVP_DigestFinal_ex(state_->scratch, bytes.data(), &length) != 1) {
    std::abort();
  }
  const std::string hex = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), length));
  return *Digest::Parse(fmt::format("{}:{}", state_->algorithm.name, hex));
}

}  // namespace ctrd::base
