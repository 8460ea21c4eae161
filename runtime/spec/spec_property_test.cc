// SPDX-License-Identifier: Apache-2.0
// Properties that hold whatever an image or a command line says, tried with random input. The seed
// is fixed: a failure comes back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/status.h"
#include "nlohmann/json.hpp"
#include "runtime/spec/spec.h"
#include "runtime/spec/users.h"

namespace ctrd::runtime {
namespace {

using Json = nlohmann::ordered_json;

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  size_t Below(size_t limit) { return engine_() % limit; }
  bool Maybe() { return Below(2) == 0; }

  template <typename T>
  const T& Of(const std::vector<T>& choices) {
    return choices[Below(choices.size())];
  }

  // A number around the places where numbers of some width end, or any other text.
  std::string Number() {
    static const std::vector<std::string> kNumbers = {"0",
                                                      "00",
                                                      "1",
                                                      "1000",
                                                      "2147483647",
                                                      "2147483648",
                                                      "4294967295",
                                                      "4294967296",
                                                      "4294967297",
                                                      "-1",
                                                      "-0",
                                                      "+0",
                                                      "0x0",
                                                      "0b0",
                                                      "0e5",
                                                      " 0",
                                                      "0 ",
                                                      "1_0",
                                                      "0.0",
                                                      "",
                                                      "18446744073709551615",
                                                      "٠",
                                                      "0\r",
                                                      "18446744073709551616",
                                                      "1844674407370955161600000",
                                                      "9223372036854775808",
                                                      "-4294967296"};
    if (Below(4) != 0) return Of(kNumbers);
    std::string digits;
    for (size_t left = 1 + Below(24); left > 0; --left)
      digits += static_cast<char>('0' + Below(10));
    return digits;
  }

  std::string Word() {
    static const std::vector<std::string> kWords = {"root", "app", "staff", "nobody",
                                                    "#x",   "*",   "x"};
    return Maybe() ? Number() : Of(kWords);
  }

 private:
  std::mt19937 engine_;
};

// Lines of passwd or group with fields missing, too many, or of other kinds.
std::string RandomAccounts(Random& random) {
  std::string file;
  for (size_t lines = random.Below(6); lines > 0; --lines) {
    for (size_t fields = 1 + random.Below(6); fields > 0; --fields) {
      file += random.Word() + (random.Below(12) == 0 ? "\n" : ":");
    }
    file += random.Below(8) == 0 ? "" : "\n";
  }
  return file;
}

// Whether `text` is a way to write zero with digits alone.
bool IsZero(std::string_view text) {
  return !text.empty() && text.find_first_not_of('0') == std::string_view::npos;
}

bool IsDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Whether some line of `file` gives `name` the number zero at `field`.
bool NamesZero(std::string_view file, std::string_view name, size_t field) {
  for (size_t start = 0; start <= file.size();) {
    const size_t end = std::min(file.find('\n', start), file.size());
    std::vector<std::string> fields = {""};
    for (char c : file.substr(start, end - start)) {
      if (c == ':') {
        fields.emplace_back();
      } else {
        fields.back() += c;
      }
    }
    if (fields.size() > field && fields[0] == name && IsZero(fields[field])) return true;
    start = end + 1;
  }
  return false;
}

TEST(UserPropertyTest, RootIsSomethingOneHasToSay) {
  Random random(20221);
  size_t resolved = 0;
  size_t roots = 0;
  for (int round = 0; round < 40000; ++round) {
    const std::string passwd = RandomAccounts(random);
    const std::string group = RandomAccounts(random);
    std::string user = random.Word();
    const std::string name = user.substr(0, user.find(':'));
    if (random.Maybe()) user += ":" + random.Word();
    const auto ids = ResolveUser(
        user, random.Maybe() ? Memberships::kOfResultingUser : Memberships::kOfGivenText,
        [&](const std::string& path) -> absl::StatusOr<std::string> {
          return path == "etc/passwd" ? passwd : group;
        });
    if (!ids.ok()) continue;
    ++resolved;
    SCOPED_TRACE("user '" + user + "' passwd '" + passwd + "' group '" + group + "'");
    ASSERT_LE(ids->uid, 2147483647U);
    ASSERT_LE(ids->gid, 2147483647U);
    ASSERT_FALSE(ids->additional_gids.empty());
    ASSERT_EQ(ids->additional_gids[0], ids->gid);
    if (IsDigits(name)) {
      const size_t first = std::min(name.find_first_not_of('0'), name.size() - 1);
      ASSERT_EQ(std::to_string(ids->uid), name.substr(first));
    }
    if (ids->uid != 0) continue;
    ++roots;
    ASSERT_TRUE(user.empty() || IsZero(name) || NamesZero(passwd, name, 2));
  }
  EXPECT_GT(resolved, 1000U);  // The property was tried, not just passed by.
  EXPECT_GT(roots, 100U);
}

// One change of a specification, drawn at random.
void Change(Random& random, Spec& spec) {
  static const std::vector<std::string> kCapabilities = {"CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_BPF",
                                                         "CAP_KILL", "CAP_NOT_THERE"};
  std::vector<std::string> some;
  for (size_t count = random.Below(4); count > 0; --count) some.push_back(random.Of(kCapabilities));
  switch (random.Below(12)) {
    case 0:
      return spec.AddCapabilities(some);
    case 1:
      return spec.DropCapabilities(some);
    case 2:
      return spec.MakePrivileged(some);
    case 3:
      return spec.SetUser({.uid = 5, .gid = 6, .additional_gids = {6}});
    case 4:
      return spec.UseHostNetwork("host");
    case 5:
      return spec.AddMounts({{"bind", "/a", random.Maybe() ? "/run" : "/b", {"rbind"}}});
    case 6:
      return spec.UseTerminal();
    case 7:
      return spec.SetNamespace("user", "");
    case 8:
      return spec.AllowAllDevices();
    case 9:
      return spec.AllowNewPrivileges();
    case 10:
      return spec.SetAnnotation(random.Word(), random.Word());
    default:
      return spec.ApplyImage(
          {.environment = {"A=" + random.Word()}, .entrypoint = {random.Word()}});
  }
}

TEST(SpecPropertyTest, NoChangeMakesCapabilitiesInheritable) {
  Random random(24769);
  for (int round = 0; round < 100; ++round) {
    Spec spec = Spec::Default("ns", "id");
    for (size_t changes = random.Below(8); changes > 0; --changes) Change(random, spec);
    const Json process = Json::parse(spec.ToJson())["process"];
    const Json exec = Json::parse(spec.ExecProcessJson({.arguments = {"sh"}}));
    for (const char* set : {"inheritable", "ambient"}) {
      ASSERT_FALSE(process["capabilities"].contains(set)) << process;
      ASSERT_FALSE(exec["capabilities"].contains(set)) << exec;
    }
  }
}

TEST(SpecPropertyTest, EveryChangeCanBeReadBack) {
  Random random(7);
  for (int round = 0; round < 60; ++round) {
    Spec spec = Spec::Default("ns", "id");
    for (size_t changes = random.Below(8); changes > 0; --changes) Change(random, spec);
    const auto parsed = Spec::Parse(spec.ToJson());
    ASSERT_TRUE(parsed.ok());
    ASSERT_EQ(parsed->ToJson(), spec.ToJson());
  }
}

// An image's words end up in the environment, the arguments and the directory, nowhere else.
TEST(SpecPropertyTest, AnImageSetsNothingElse) {
  Spec with = Spec::Default("ns", "id");
  with.ApplyImage({.environment = {"containerd.io/restart.status=running", "LD_PRELOAD=/evil"},
                   .entrypoint = {"/bin/sh"},
                   .command = {"-c"},
                   .working_directory = "/w"});
  Json changed = Json::parse(with.ToJson());
  for (const char* field : {"env", "args"}) changed["process"].erase(field);
  changed["process"]["cwd"] = "/";
  EXPECT_EQ(changed, Json::parse(Spec::Default("ns", "id").ToJson()));
}

}  // namespace
}  // namespace ctrd::runtime
