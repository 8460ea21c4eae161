// SPDX-License-Identifier: Apache-2.0
#include "images/spec/platform.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>

#include "base/identifiers.h"
#include "base/status.h"

namespace ctrd::images {
namespace {

constexpr std::array<std::string_view, 17> kSystems = {
    "aix",   "android", "darwin", "dragonfly", "freebsd", "hurd",    "illumos", "ios", "js",
    "linux", "nacl",    "netbsd", "openbsd",   "plan9",   "solaris", "windows", "zos"};
constexpr std::array<std::string_view, 27> kArchitectures = {
    "386",       "amd64",       "amd64p32", "arm",   "armbe",   "arm64",  "arm64be",
    "loong64",   "ppc64",       "ppc64le",  "mips",  "mipsle",  "mips64", "mips64le",
    "mips64p32", "mips64p32le", "ppc",      "riscv", "riscv64", "s390",   "s390x",
    "sparc",     "sparc64",     "wasm",     "i386",  "x86_64",  "aarch64"};

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

template <size_t N>
bool Contains(const std::array<std::string_view, N>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::string NormalizeOs(std::string os) {
  if (os.empty()) return HostPlatform().os;
  os = Lower(std::move(os));
  return os == "macos" ? "darwin" : os;
}

void NormalizeArchitecture(std::string& architecture, std::string& variant) {
  architecture = Lower(std::move(architecture));
  variant = Lower(std::move(variant));
  if (architecture == "i386") {
    architecture = "386";
    variant.clear();
  } else if (architecture == "x86_64" || architecture == "x86-64" || architecture == "amd64") {
    architecture = "amd64";
    if (variant == "v1") variant.clear();
  } else if (architecture == "aarch64" || architecture == "arm64") {
    architecture = "arm64";
    if (variant == "8" || variant == "v8" || variant == "v8.0") variant.clear();
    if (variant == "9" || variant == "9.0" || variant == "v9.0") variant = "v9";
  } else if (architecture == "armhf") {
    architecture = "arm";
    variant = "v7";
  } else if (architecture == "armel") {
    architecture = "arm";
    variant = "v6";
  } else if (architecture == "arm") {
    if (variant.empty() || variant == "7") variant = "v7";
    if (variant == "5" || variant == "6" || variant == "8") variant = "v" + variant;
  }
}

bool IsComponent(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
  });
}

std::optional<std::string> Unescape(std::string_view text) {
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

std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = IsComponent(std::string_view(&c, 1));
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

// "linux(5.10+erofs)" into its parts.
bool ParseOs(std::string_view text, Platform& out) {
  const size_t open = text.find('(');
  if (open != std::string_view::npos) {
    if (!text.ends_with(')')) return false;
    std::string_view inner = text.substr(open + 1, text.size() - open - 2);
    for (bool first = true; first || !inner.empty(); first = false) {
      const size_t plus = inner.find('+');
      const auto part = Unescape(inner.substr(0, plus));
      if (!part) return false;
      if (first) out.os_version = *part;
      if (!first) out.os_features.push_back(*part);
      inner = plus == std::string_view::npos ? std::string_view() : inner.substr(plus + 1);
    }
    text = text.substr(0, open);
  }
  out.os = text;
  return IsComponent(text);
}

struct ArmVersion {
  int major = 8;
  int minor = 0;
};

std::optional<ArmVersion> ParseArmVersion(std::string_view variant) {
  if (variant.empty()) return ArmVersion{};
  if (!variant.starts_with('v')) return std::nullopt;
  variant.remove_prefix(1);
  ArmVersion version;
  const size_t dot = variant.find('.');
  const std::string_view major = variant.substr(0, dot);
  if (std::from_chars(major.data(), major.data() + major.size(), version.major).ec != std::errc()) {
    return std::nullopt;
  }
  if (dot == std::string_view::npos) return version;
  const std::string_view minor = variant.substr(dot + 1);
  if (std::from_chars(minor.data(), minor.data() + minor.size(), version.minor).ec != std::errc()) {
    return std::nullopt;
  }
  return version;
}

Platform With(Platform base, std::string architecture, std::string variant) {
  base.architecture = std::move(architecture);
  base.variant = std::move(variant);
  return NormalizePlatform(std::move(base));
}

void AddMinors(const Platform& host, int major, int from_minor, std::vector<Platform>& out) {
  for (int minor = from_minor; minor > 0; --minor) {
    out.push_back(With(host, "arm64", fmt::format("v{}.{}", major, minor)));
  }
  out.push_back(With(host, "arm64", fmt::format("v{}", major)));
}

// What runs on `host` (normalised), closest first.
std::vector<Platform> Compatible(const Platform& host) {
  std::vector<Platform> out = {host};
  if (host.architecture == "amd64") {
    const auto version = host.variant.empty() ? ArmVersion{1, 0} : ParseArmVersion(host.variant);
    const int level = version && version->major < 10 ? version->major : 0;
    for (int v = level - 1; v >= 1; --v) out.push_back(With(host, "amd64", fmt::format("v{}", v)));
    out.push_back(With(host, "386", ""));
  } else if (host.architecture == "arm") {
    const auto version = ParseArmVersion(host.variant);
    const int level = version ? std::min(version->major, 8) : 0;
    for (int v = level - 1; v >= 5; --v) out.push_back(With(host, "arm", fmt::format("v{}", v)));
  } else if (host.architecture == "arm64") {
    const auto version = ParseArmVersion(host.variant);
    if (!version || version->minor > 16) return out;
    out.clear();
    if (version->major == 9) {
      AddMinors(host, 9, version->minor, out);
      AddMinors(host, 8, version->minor + 5, out);
    } else {
      AddMinors(host, version->major, version->minor, out);
    }
    for (int v = 8; v >= 5; --v) out.push_back(With(host, "arm", fmt::format("v{}", v)));
  }
  return out;
}

bool MatchesExactly(const Platform& wanted, const Platform& found) {
  if (wanted.os != found.os || wanted.architecture != found.architecture ||
      wanted.variant != found.variant) {
    return false;
  }
  if (wanted.os == "windows" && !wanted.os_version.empty() &&
      wanted.os_version != found.os_version) {
    return false;
  }
  return std::all_of(found.os_features.begin(), found.os_features.end(), [&](const auto& feature) {
    return std::find(wanted.os_features.begin(), wanted.os_features.end(), feature) !=
           wanted.os_features.end();
  });
}

}  // namespace

Platform NormalizePlatform(Platform platform) {
  platform.os = NormalizeOs(std::move(platform.os));
  NormalizeArchitecture(platform.architecture, platform.variant);
  std::sort(platform.os_features.begin(), platform.os_features.end());
  return platform;
}

Platform HostPlatform() {
  static const Platform host = [] {
    Platform platform;
    platform.os = "linux";
    utsname name{};
    const std::string machine = ::uname(&name) == 0 ? name.machine : "x86_64";
    platform.architecture = machine;
    if (machine.starts_with("armv") && machine.size() > 4) {
      platform.architecture = "arm";
      platform.variant = fmt::format("v{}", machine[4]);
    } else if (machine.size() == 4 && machine[0] == 'i' && machine.ends_with("86")) {
      platform.architecture = "386";
    }
    NormalizeArchitecture(platform.architecture, platform.variant);
    return platform;
  }();
  return host;
}

absl::StatusOr<Platform> ParsePlatform(std::string_view text) {
  if (text.find('*') != std::string_view::npos) {
    return base::InvalidArgument("{}: wildcards not yet supported", base::Quote(text));
  }
  std::vector<std::string_view> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t slash = std::min(text.find('/', start), text.size());
    parts.push_back(text.substr(start, slash - start));
    start = slash + 1;
  }
  Platform platform;
  bool valid = parts.size() <= 3 && ParseOs(parts[0], platform);
  for (size_t i = 1; valid && i < parts.size(); ++i) valid = IsComponent(parts[i]);
  if (!valid) {
    return base::InvalidArgument("{}: cannot parse platform specifier", base::Quote(text));
  }
  if (parts.size() == 1) {
    const std::string os = NormalizeOs(platform.os);
    if (Contains(kSystems, os)) {
      platform.os = os;
      platform.architecture = HostPlatform().architecture;
      platform.variant = HostPlatform().variant;
      return platform;
    }
    std::string architecture = platform.os;
    std::string variant;
    NormalizeArchitecture(architecture, variant);
    if (!Contains(kArchitectures, architecture)) {
      return base::InvalidArgument("{}: unknown operating system or architecture",
                                   base::Quote(text));
    }
    platform.os = HostPlatform().os;
    platform.architecture = architecture;
    platform.variant = architecture == "arm" && variant == "v7" ? "" : variant;
    return platform;
  }
  platform.os = NormalizeOs(platform.os);
  platform.architecture = parts[1];
  if (parts.size() == 3) platform.variant = parts[2];
  NormalizeArchitecture(platform.architecture, platform.variant);
  if (parts.size() == 2 && platform.architecture == "arm" && platform.variant == "v7") {
    platform.variant.clear();
  }
  // An explicit v8 stays visible, although it is the default.
  if (parts.size() == 3 && platform.architecture == "arm64" && platform.variant.empty()) {
    platform.variant = "v8";
  }
  return platform;
}

std::string FormatPlatform(const Platform& platform) {
  if (platform.os.empty()) return "unknown";
  std::string out = platform.os;
  if (!platform.architecture.empty()) out += "/" + platform.architecture;
  if (!platform.variant.empty()) out += "/" + platform.variant;
  return out;
}

std::string FormatPlatformAll(const Platform& platform) {
  if (platform.os.empty()) return "unknown";
  if (platform.os_version.empty() && platform.os_features.empty()) return FormatPlatform(platform);
  Platform extended = platform;
  extended.os += "(" + Escape(platform.os_version);
  for (const std::string& feature : platform.os_features) extended.os += "+" + Escape(feature);
  extended.os += ")";
  return FormatPlatform(extended);
}

PlatformMatcher PlatformMatcher::Only(const Platform& host) {
  PlatformMatcher matcher;
  matcher.all_ = false;
  matcher.wanted_ = Compatible(NormalizePlatform(host));
  return matcher;
}

PlatformMatcher PlatformMatcher::OnlyStrict(const Platform& platform) {
  return Ordered({platform});
}

PlatformMatcher PlatformMatcher::AnyOf(const std::vector<Platform>& platforms) {
  PlatformMatcher matcher = Ordered(platforms);
  matcher.ranked_ = false;
  return matcher;
}

PlatformMatcher PlatformMatcher::Ordered(const std::vector<Platform>& platforms) {
  PlatformMatcher matcher;
  matcher.all_ = false;
  for (const Platform& platform : platforms) {
    matcher.wanted_.push_back(NormalizePlatform(platform));
  }
  return matcher;
}

size_t PlatformMatcher::Rank(const Platform& platform) const {
  const Platform normalized = NormalizePlatform(platform);
  const auto it = std::find_if(wanted_.begin(), wanted_.end(), [&](const Platform& wanted) {
    return MatchesExactly(wanted, normalized);
  });
  return static_cast<size_t>(it - wanted_.begin());
}

bool PlatformMatcher::Prefers(const Platform& left, const Platform& right) const {
  if (all_) return false;
  size_t left_rank = Rank(left);
  size_t right_rank = Rank(right);
  if (!ranked_) {
    left_rank = left_rank < wanted_.size() ? 0 : 1;
    right_rank = right_rank < wanted_.size() ? 0 : 1;
  }
  if (left_rank != right_rank) return left_rank < right_rank;
  return left_rank < wanted_.size() && left.os_features.size() > right.os_features.size();
}

void SortByPlatform(const PlatformMatcher& matcher, std::vector<Descriptor>& descriptors) {
  std::stable_sort(descriptors.begin(), descriptors.end(),
                   [&](const Descriptor& left, const Descriptor& right) {
                     if (left.platform.empty()) return false;
                     if (right.platform.empty()) return true;
                     return matcher.Prefers(left.platform, right.platform);
                   });
}

}  // namespace ctrd::images
