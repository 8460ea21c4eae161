// SPDX-License-Identifier: Apache-2.0
#include "base/identifiers.h"

#include <sys/random.h>

#include <array>
#include <cstdint>

#include "absl/time/clock.h"
#include "base/status.h"

namespace ctrd::base {
namespace {

constexpr size_t kMaxIdentifierBytes = 76;
constexpr size_t kMaxLabelBytes = 4096;
constexpr size_t kPrintedKeyBytes = 64;

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool IsSeparator(char c) { return c == '.' || c == '_' || c == '-'; }

bool MatchesIdentifier(std::string_view id) {
  bool after_separator = true;  // Nothing yet counts like a separator: a character must follow.
  for (const char c : id) {
    if (IsAlphanumeric(c)) {
      after_separator = false;
    } else if (IsSeparator(c) && !after_separator) {
      after_separator = true;
    } else {
      return false;
    }
  }
  return !after_separator;
}

struct Rune {
  uint32_t value;
  size_t bytes;  // 0 for bytes that are no UTF-8.
};

Rune DecodeRune(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {0, 0};
  uint32_t value = lead & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<uint8_t>(text[i]);
    if ((next & 0xc0) != 0x80) return {0, 0};
    value = value << 6 | (next & 0x3fu);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < kSmallest[bytes] || value > 0x10ffff || surrogate) return {0, 0};
  return {value, bytes};
}

std::string EscapeAscii(char c) {
  switch (c) {
    case '\a':
      return "\\a";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\v':
      return "\\v";
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (c < 0x20 || c == 0x7f) return fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  return std::string(1, c);
}

// The characters outside ASCII that are not printed as they are: C1 controls, format characters and
// separators of the basic plane.
bool IsPrintable(uint32_t rune) {
  if (rune >= 0x80 && rune < 0xa1) return false;
  if (rune == 0xad || rune == 0xfeff) return false;
  if (rune >= 0x2000 && rune <= 0x200f) return false;
  if (rune >= 0x2028 && rune <= 0x202f) return false;
  if (rune >= 0x205f && rune <= 0x206f) return false;
  return !(rune >= 0xe000 && rune <= 0xf8ff);
}

}  // namespace

absl::Status ValidateIdentifier(std::string_view id) {
  if (id.empty()) return InvalidArgument("identifier must not be empty");
  if (id.size() > kMaxIdentifierBytes) {
    return InvalidArgument("identifier {} greater than maximum length ({} characters)", Quote(id),
                           kMaxIdentifierBytes);
  }
  if (!MatchesIdentifier(id)) {
    return InvalidArgument("identifier {} must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$",
                           Quote(id));
  }
  return absl::OkStatus();
}

absl::Status ValidateLabel(std::string_view key, std::string_view value) {
  const size_t bytes = key.size() + value.size();
  if (bytes <= kMaxLabelBytes) return absl::OkStatus();
  return InvalidArgument(
      "label key and value length ({} bytes) greater than maximum size ({} bytes), key: {}", bytes,
      kMaxLabelBytes, key.substr(0, kPrintedKeyBytes));
}

absl::Status ValidateLabels(const Labels& labels, std::string_view prefix) {
  for (const auto& [key, value] : labels) {
    RETURN_IF_ERROR(Annotate(ValidateLabel(key, value), prefix));
  }
  return absl::OkStatus();
}

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    const Rune rune = DecodeRune(text);
    const size_t bytes = rune.bytes == 0 ? 1 : rune.bytes;
    if (rune.bytes == 0) {
      quoted += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[0]));
    } else if (rune.bytes == 1) {
      quoted += EscapeAscii(text[0]);
    } else if (IsPrintable(rune.value)) {
      quoted += text.substr(0, bytes);
    } else {
      quoted += rune.value > 0xffff ? fmt::format("\\U{:08x}", rune.value)
                                    : fmt::format("\\u{:04x}", rune.value);
    }
    text.remove_prefix(bytes);
  }
  return quoted + "\"";
}

std::string GenerateName() {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::array<uint8_t, 4> random{};
  // A short read is impossible for so few bytes once the kernel has started its generator.
  (void)!::getrandom(random.data(), random.size(), 0);
  const int64_t nanos = absl::ToUnixNanos(absl::Now()) % 1'000'000'000;
  std::string name = fmt::format("{}-", nanos);
  for (const uint8_t byte : random) name += kAlphabet[byte % 64];
  return name;
}

}  // namespace ctrd::base
