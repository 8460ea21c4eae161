// SPDX-License-Identifier: Apache-2.0

// Any bytes as "<user>\0<passwd>\0<group>": nobody becomes root whom the files do not make root.
#include <algorithm>

#include "base/status.h"
#include "runtime/spec/users.h"
#include "tests/fuzz/fuzzer.h"

namespace runtime = ctrd::runtime;

namespace {

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The digits without leading zeros are the number that came out, and nothing wrapped around.
bool SameNumber(std::string_view text, uint32_t value) {
  text.remove_prefix(std::min(text.find_first_not_of('0'), text.size()));
  return (text.empty() ? "0" : std::string(text)) == std::to_string(value);
}

}  // namespace

std::vector<std::string> ctrd::fuzz::Seeds() {
  using namespace std::string_literals;
  const std::string files =
      "\0root:x:0:0:root:/:/bin/sh\napp:x:1000:1001:App:/home:/bin/sh\n\0root:x:0:\nstaff:x:50:app,root\n"s;
  return {"app"s + files, "1000:staff"s + files, "app:50"s + files, "4294967296"s + files,
          "7:8"s + files};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {"app",        "root", "staff", ":x:", ":0:0:", "4294967295",
          "2147483648", "-0",   "+0",    "\n",  "65536:"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest = ctrd::fuzz::AsText(data, size);
  const std::string user(ctrd::fuzz::TakePart(rest));
  const std::string passwd(ctrd::fuzz::TakePart(rest)), group(rest);
  const auto read = [&](const std::string& path) -> absl::StatusOr<std::string> {
    if (path == "etc/passwd") return passwd;
    if (path == "etc/group") return group;
    return ctrd::base::NotFound("{}", path);
  };
  for (const auto memberships :
       {runtime::Memberships::kOfResultingUser, runtime::Memberships::kOfGivenText}) {
    const auto ids = runtime::ResolveUser(user, memberships, read);
    if (!ids.ok()) continue;
    const std::string_view name = std::string_view(user).substr(0, user.find(':'));
    if (IsNumber(name)) CTRD_FUZZ_CHECK(SameNumber(name, ids->uid));
    const size_t colon = user.find(':');
    if (colon == std::string::npos) continue;
    const std::string_view group_name = std::string_view(user).substr(colon + 1);
    if (IsNumber(group_name)) CTRD_FUZZ_CHECK(SameNumber(group_name, ids->gid));
  }
  return 0;
}
