// SPDX-License-Identifier: Apache-2.0

// Any bytes as what clients say in words: filters, references, platforms, identifiers, digests,
// options of mounts.
#include "base/digest.h"
#include "base/filter.h"
#include "base/identifiers.h"
#include "base/mount_options.h"
#include "images/spec/platform.h"
#include "images/spec/reference.h"
#include "tests/fuzz/fuzzer.h"

std::vector<std::string> ctrd::fuzz::Seeds() {
  return {"fname==foo,labels.\"a.b\"~=^x.*$",
          "fid!=\"q\\n\",labels.x",
          "r docker.io/library/x:1@sha256:" + std::string(64, 'b'),
          "plinux(1.2+f)/arm64/v8",
          "iabc-def.g",
          "m0:0:65536,65536:1:2",
          "orbind\0ro\0lowerdir=/a\\:b:/c"};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {"==", "!=", "~=", "labels.", "\\x41",        "\\u0041",
          "\"", "|",  "(",  "sha256:", "uidmap=0:1:2", "loop"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string text(ctrd::fuzz::AsText(data + 1, size - 1));
  switch (data[0]) {
    case 'f': {
      const auto filter = ctrd::base::Filter::Parse({&text, 1});
      const auto lookup = [&](const ctrd::base::FieldPath& path) -> std::optional<std::string> {
        return path.empty() ? std::nullopt : std::optional(path[0]);
      };
      if (filter.ok()) (void)filter->Matches(lookup);
      break;
    }
    case 'r': {
      const auto reference = ctrd::images::Reference::Parse(text);
      if (reference.ok()) {
        // No round trip: escapes are undone, and a host may be all of it ("host:tag" reads as a
        // port).
        CTRD_FUZZ_CHECK(reference->text().starts_with(reference->hostname()));
      }
      const auto name = ctrd::images::NormalizeName(text);
      if (name.ok()) CTRD_FUZZ_CHECK(*ctrd::images::NormalizeName(*name) == *name);
      (void)ctrd::images::FamiliarName(text);
      break;
    }
    case 'p': {
      const auto platform = ctrd::images::ParsePlatform(text);
      if (platform.ok()) {
        const auto again = ctrd::images::FormatPlatformAll(*platform);
        CTRD_FUZZ_CHECK(ctrd::images::ParsePlatform(again).ok());
      }
      break;
    }
    case 'i':
      if (ctrd::base::ValidateIdentifier(text).ok()) {
        CTRD_FUZZ_CHECK(text.find_first_of("/\0 ", 0, 3) == std::string::npos && text[0] != '.');
      }
      (void)ctrd::base::Quote(text);
      break;
    case 'm':
      (void)ctrd::base::IdMapLines(text);
      break;
    default: {
      std::vector<std::string> options;
      for (std::string_view rest = text; !rest.empty();)
        options.emplace_back(ctrd::fuzz::TakePart(rest));
      (void)ctrd::base::ParseMountOptions(options);
      (void)ctrd::base::Unescape(text);
      (void)ctrd::base::SplitUnescaped(text, ':');
    }
  }
  return 0;
}
