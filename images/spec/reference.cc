// SPDX-License-Identifier: Apache-2.0
#include "images/spec/reference.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <vector>

#include "base/digest.h"
#include "base/identifiers.h"
#include "base/status.h"

namespace ctrd::images {
namespace {

constexpr std::string_view kDefaultDomain = "docker.io";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLowerOrDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'z'); }
bool IsWord(char c) { return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z') || c == '_'; }

// What a URL parser says about an authority; OK if it is a host with an optional port.
absl::Status CheckAuthority(std::string_view host) {
  const size_t bracket = host.find(']');
  const size_t colon = host.find(':', host.starts_with('[') ? std::min(bracket, host.size()) : 0);
  if (host.starts_with('[') && bracket == std::string_view::npos) {
    return base::Unknown("missing ']' in host");
  }
  if (colon != std::string_view::npos) {
    const std::string_view port = host.substr(host.starts_with('[') ? colon : host.rfind(':'));
    if (!std::all_of(port.begin() + 1, port.end(), IsDigit) ||
        (!host.starts_with('[') && host.find(':') != host.rfind(':'))) {
      return base::Unknown("invalid port {} after host", base::Quote(host.substr(colon)));
    }
  }
  for (const char c : host) {
    if (!IsWord(c) &&
        std::string_view("-.~!$&'()*+,;=:[]<>\"%").find(c) == std::string_view::npos &&
        static_cast<unsigned char>(c) < 0x80) {
      return base::Unknown("invalid character {} in host name",
                           base::Quote(std::string_view(&c, 1)));
    }
  }
  return absl::OkStatus();
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (error != std::errc() || end != text.data() + i + 3) return std::nullopt;
    out.push_back(static_cast<char>(value));
    i += 2;
  }
  return out;
}

// `host` and `path` joined, with "", "." and ".." gone.
std::string JoinClean(std::string_view host, std::string_view path) {
  std::vector<std::string_view> parts = {host};
  for (size_t start = 0; start <= path.size();) {
    const size_t slash = std::min(path.find('/', start), path.size());
    const std::string_view part = path.substr(start, slash - start);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    start = slash + 1;
  }
  return fmt::format("{}", fmt::join(parts, "/"));
}

// [a-z0-9]+ runs joined by '.', '_', '__' or any number of '-'.
bool IsPathComponent(std::string_view text) {
  if (text.empty() || !IsLowerOrDigit(text.front()) || !IsLowerOrDigit(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && !IsLowerOrDigit(text[end])) ++end;
    const std::string_view separator = text.substr(i, end - i);
    const bool dashes =
        std::all_of(separator.begin(), separator.end(), [](char c) { return c == '-'; });
    if (!dashes && separator != "." && separator != "_" && separator != "__") return false;
    i = end;
    while (i < text.size() && IsLowerOrDigit(text[i])) ++i;
  }
  return true;
}

bool IsDomain(std::string_view text) {
  const size_t colon = text.starts_with('[') ? text.find("]:") : text.rfind(':');
  std::string_view host = text;
  if (colon != std::string_view::npos) {
    const size_t port = colon + (text.starts_with('[') ? 2 : 1);
    if (port >= text.size() || !std::all_of(text.begin() + port, text.end(), IsDigit)) return false;
    host = text.substr(0, port - 1);
  }
  if (host.starts_with('[')) return host.ends_with(']');
  return !host.empty() && !host.starts_with('-') && !host.ends_with('-') &&
         std::all_of(host.begin(), host.end(),
                     [](char c) { return (IsWord(c) && c != '_') || c == '.' || c == '-'; });
}

bool IsTag(std::string_view text) {
  return !text.empty() && text.size() <= 128 && IsWord(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return IsWord(c) || c == '.' || c == '-'; });
}

struct NameParts {
  std::string domain, path, tag, digest;
};

// Splits without completing: the domain is the part before the first '/' if it looks like one.
NameParts Split(std::string_view name) {
  NameParts parts;
  if (const size_t at = name.find('@'); at != std::string_view::npos) {
    parts.digest = name.substr(at + 1);
    name = name.substr(0, at);
  }
  const size_t slash = name.find('/');
  const std::string_view first = name.substr(0, slash);
  const bool upper =
      std::any_of(first.begin(), first.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (slash != std::string_view::npos &&
      (first.find_first_of(".:") != std::string_view::npos || first == "localhost" || upper)) {
    parts.domain = first;
    name = name.substr(slash + 1);
  }
  if (const size_t colon = name.rfind(':');
      colon != std::string_view::npos && name.find('/', colon) == std::string_view::npos) {
    parts.tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (parts.tag.empty()) parts.tag = ":";  // Present, and never valid.
  }
  parts.path = name;
  return parts;
}

}  // namespace

absl::StatusOr<Reference> Reference::Parse(std::string_view text) {
  if (text.find("://") != std::string_view::npos) return base::Unknown("invalid reference");
  const auto failed = [&](std::string_view why) {
    return base::Unknown("parse {}: {}", base::Quote("dummy://" + std::string(text)), why);
  };
  if (std::any_of(text.begin(), text.end(),
                  [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return failed("net/url: invalid control character in URL");
  }
  const std::string_view url = text.substr(0, text.find_first_of("?#"));
  std::string_view host = url.substr(0, url.find('/'));
  const std::string_view raw_path = url.substr(host.size());
  if (const size_t at = host.rfind('@'); at != std::string_view::npos) host = host.substr(at + 1);
  if (const absl::Status status = CheckAuthority(host); !status.ok()) {
    return failed(base::MessageOf(status));
  }
  const auto path = PercentDecode(raw_path);
  if (!path) return failed("invalid URL escape");
  if (host.empty()) return base::Unknown("hostname required");
  Reference reference;
  const size_t split = path->find_first_of(":@");
  if (split != std::string::npos) {
    reference.object = path->substr((*path)[split] == ':' ? split + 1 : split);
  }
  reference.locator = JoinClean(host, std::string_view(*path).substr(0, split));
  return reference;
}

std::string Reference::hostname() const { return locator.substr(0, locator.find('/')); }

std::string Reference::repository() const {
  const size_t slash = locator.find('/');
  return slash == std::string::npos ? "" : locator.substr(slash + 1);
}

std::string Reference::tag() const { return object.substr(0, object.find('@')); }

std::string Reference::digest() const {
  const size_t at = object.find('@');
  return at == std::string::npos ? "" : object.substr(at + 1);
}

std::string Reference::text() const {
  if (object.empty()) return locator;
  return locator + (object.starts_with('@') ? "" : ":") + object;
}

absl::StatusOr<std::string> NormalizeName(std::string_view name) {
  NameParts parts = Split(name);
  if (parts.domain.empty() || parts.domain == "index.docker.io") parts.domain = kDefaultDomain;
  if (parts.domain == kDefaultDomain && parts.path.find('/') == std::string::npos) {
    parts.path = "library/" + parts.path;
  }
  bool valid = IsDomain(parts.domain) && (parts.tag.empty() || IsTag(parts.tag)) &&
               (name.find('@') == std::string_view::npos || base::Digest::Parse(parts.digest).ok());
  for (size_t start = 0; valid && start <= parts.path.size();) {
    const size_t slash = std::min(parts.path.find('/', start), parts.path.size());
    const std::string_view component = std::string_view(parts.path).substr(start, slash - start);
    if (std::any_of(component.begin(), component.end(),
                    [](char c) { return c >= 'A' && c <= 'Z'; })) {
      return base::InvalidArgument("invalid reference format: repository name must be lowercase");
    }
    valid = IsPathComponent(component);
    start = slash + 1;
  }
  if (!valid) return base::InvalidArgument("invalid reference format");
  const std::string full = parts.domain + "/" + parts.path;
  if (!parts.digest.empty()) return full + "@" + parts.digest;
  return full + ":" + (parts.tag.empty() ? "latest" : parts.tag);
}

std::string FamiliarName(std::string_view name) {
  constexpr std::string_view kHost = "docker.io/";
  constexpr std::string_view kLibrary = "library/";
  if (!name.starts_with(kHost)) return std::string(name);
  name.remove_prefix(kHost.size());
  if (name.starts_with(kLibrary) && name.find('/', kLibrary.size()) == std::string_view::npos) {
    name.remove_prefix(kLibrary.size());
  }
  return std::string(name);
}

}  // namespace ctrd::images
