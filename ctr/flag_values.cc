// SPDX-License-Identifier: Apache-2.0
#include "ctr/flag_values.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/files.h"
#include "base/identifiers.h"
#include "base/status.h"

namespace ctrd::ctr {
namespace {

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// A quoted field at `at`, which stands on its first quote and is moved behind the last one.
absl::StatusOr<std::string> TakeQuoted(std::string_view line, size_t& at) {
  std::string field;
  for (++at; at < line.size(); ++at) {
    if (line[at] != '"') {
      field += line[at];
    } else if (at + 1 < line.size() && line[at + 1] == '"') {
      field += line[at++];
    } else if (++at == line.size() || line[at] == ',') {
      return field;
    } else {
      break;
    }
  }
  return base::Unknown("parse error on line 1, column {}: extraneous or missing \" in quoted-field",
                       at + 1);
}

enum class NumberError { kNone, kSyntax, kRange };

// Digits with a prefix for their base, as in C: 0x, 0 or none.
NumberError ParseNumber(std::string_view text, uint64_t limit, uint64_t& value) {
  int radix = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    radix = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    radix = 8;
    text.remove_prefix(1);
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, radix);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) {
    return NumberError::kSyntax;
  }
  return error != std::errc() || value > limit ? NumberError::kRange : NumberError::kNone;
}

absl::StatusOr<uint32_t> ParseId(const std::string& text, std::string_view what) {
  uint64_t value = 0;
  const NumberError error = ParseNumber(text, UINT32_MAX, value);
  if (error == NumberError::kNone) return static_cast<uint32_t>(value);
  return base::Unknown("invalid {} for user namespace remapping: strconv.ParseUint: parsing {}: {}",
                       what, base::Quote(text),
                       error == NumberError::kRange ? "value out of range" : "invalid syntax");
}

absl::StatusOr<uint64_t> ParseLimitNumber(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return base::Unknown("invalid limit of open files: {}", base::Quote(text));
  }
  return value;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SplitCsv(std::string_view line) {
  if (line.empty()) return base::Unknown("EOF");
  std::vector<std::string> fields;
  for (size_t at = 0;; ++at) {
    if (at < line.size() && line[at] == '"') {
      ASSIGN_OR_RETURN(fields.emplace_back(), TakeQuoted(line, at));
    } else {
      const size_t end = std::min(line.find(',', at), line.size());
      const std::string_view field = line.substr(at, end - at);
      if (const size_t quote = field.find('"'); quote != std::string_view::npos) {
        return base::Unknown("parse error on line 1, column {}: bare \" in non-quoted-field",
                             at + quote + 1);
      }
      fields.emplace_back(field);
      at = end;
    }
    if (at >= line.size()) return fields;
  }
}

absl::StatusOr<runtime::SpecMount> ParseMount(std::string_view text) {
  ASSIGN_OR_RETURN(const std::vector<std::string> fields, SplitCsv(text));
  runtime::SpecMount mount;
  for (const std::string& field : fields) {
    const size_t equals = field.find('=');
    if (equals == std::string::npos) {
      return base::Unknown("invalid mount specification: expected key=val");
    }
    const std::string key = field.substr(0, equals);
    const std::string value = field.substr(equals + 1);
    if (key == "type") {
      mount.type = value;
    } else if (key == "source" || key == "src") {
      mount.source = value;
    } else if (key == "destination" || key == "dst") {
      mount.destination = value;
    } else if (key == "options") {
      mount.options = Split(value, ':');
    } else {
      return base::Unknown("mount option {} not supported", base::Quote(key));
    }
  }
  return mount;
}

absl::StatusOr<std::vector<runtime::IdMapping>> ParseIdMappings(
    const std::vector<std::string>& texts) {
  const auto malformed = [] {
    return base::Unknown("user namespace mappings require the format `container-id:host-id:size`");
  };
  if (texts.empty()) return malformed();
  std::vector<runtime::IdMapping> mappings;
  for (const std::string& text : texts) {
    const std::vector<std::string> parts = Split(text, ':');
    if (parts.size() != 3) return malformed();
    runtime::IdMapping mapping;
    ASSIGN_OR_RETURN(mapping.container_id, ParseId(parts[0], "container id"));
    ASSIGN_OR_RETURN(mapping.host_id, ParseId(parts[1], "host id"));
    ASSIGN_OR_RETURN(mapping.size, ParseId(parts[2], "size"));
    mappings.push_back(mapping);
  }
  return mappings;
}

absl::StatusOr<NamespaceToJoin> ParseNamespace(const std::string& text) {
  static constexpr std::string_view kTypes[] = {"pid",  "network", "uts",   "mount",
                                                "user", "ipc",     "cgroup"};
  const size_t colon = text.find(':');
  if (colon == std::string::npos) {
    return base::Unknown(
        "joining a Linux namespace using --with-ns requires the format 'nstype:path'");
  }
  const std::string type = text.substr(0, colon);
  if (std::find(std::begin(kTypes), std::end(kTypes), type) == std::end(kTypes)) {
    return base::Unknown("the Linux namespace type specified in --with-ns is not valid: {}", type);
  }
  return NamespaceToJoin{type, text.substr(colon + 1)};
}

absl::StatusOr<Limit> ParseLimit(const std::string& text) {
  const size_t colon = text.find(':');
  Limit limit;
  ASSIGN_OR_RETURN(limit.soft, ParseLimitNumber(text.substr(0, colon)));
  limit.hard = limit.soft;
  if (colon != std::string::npos) {
    ASSIGN_OR_RETURN(limit.hard, ParseLimitNumber(text.substr(colon + 1)));
  }
  return limit;
}

absl::StatusOr<std::string> ReadGivenFile(const std::string& path) {
  auto data = base::ReadFile(path);
  if (!data.ok() && absl::IsNotFound(data.status())) {
    return base::Unknown("open {}: no such file or directory", path);
  }
  return data;
}

}  // namespace ctrd::ctr
