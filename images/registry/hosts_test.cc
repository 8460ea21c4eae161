// SPDX-License-Identifier: Apache-2.0
#include "images/registry/hosts.h"

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/registry/authorizer.h"

namespace ctrd::registry {
namespace {

RegistryHost Only(const std::string& registry, const HostOptions& options = {}) {
  auto hosts = HostsFor(registry, options);
  EXPECT_TRUE(hosts.ok() && hosts->size() == 1);
  return hosts.ok() && !hosts->empty() ? hosts->front() : RegistryHost{};
}

TEST(HostsFor, Defaults) {
  EXPECT_EQ(Only("docker.io", {.default_scheme = "http"}).scheme, "https");
  EXPECT_EQ(Only("docker.io").host, "registry-1.docker.io");
  EXPECT_EQ(Only("ghcr.io").scheme, "https");
  EXPECT_FALSE(Only("ghcr.io").tls.skip_verify);
  EXPECT_EQ(Only("ghcr.io", {.default_scheme = "http"}).scheme, "http");
  EXPECT_EQ(Only("localhost:80").scheme, "http");
  EXPECT_TRUE(Only("localhost:5000").http_fallback);
  EXPECT_TRUE(Only("127.0.0.1:5000").tls.skip_verify);
  EXPECT_FALSE(Only("127.0.0.1").http_fallback);
  EXPECT_TRUE(Only("[::1]:5000").http_fallback);
  EXPECT_FALSE(Only("127.0.0.1:5000", {.default_scheme = "http"}).http_fallback);
}

TEST(ParseHostsToml, KeepsTheOrderOfTheFile) {
  constexpr std::string_view kText = R"(
server = "https://upstream.example"
[host."https://z.example"]
  capabilities = ["pull", "Resolve"]
  ca = "ca.pem"
  [host."https://z.example".header]
    x-token = ["a", "b"]
[host."http://a.example:5000/prefix/"]
  skip_verify = true
  client = [["c.cert", "/k.key"]]
[host."b.example/v3"]
  override_path = true
  dial_timeout = "1s"
)";
  ASSERT_OK_AND_ASSIGN(const auto hosts, ParseHostsToml(kText, "/etc/x", "reg.example", {}));
  ASSERT_EQ(hosts.size(), 4u);
  EXPECT_EQ(hosts[0].host, "z.example");
  EXPECT_TRUE(hosts[0].capabilities.pull && hosts[0].capabilities.resolve);
  EXPECT_FALSE(hosts[0].capabilities.push);
  EXPECT_EQ(hosts[0].tls.ca_files, std::vector<std::string>{"/etc/x/ca.pem"});
  EXPECT_EQ(hosts[0].headers.size(), 2u);
  EXPECT_EQ(hosts[1].scheme, "http");
  EXPECT_EQ(hosts[1].path, "/prefix/v2");
  EXPECT_EQ(hosts[1].tls.certificate_file, "/etc/x/c.cert");
  EXPECT_EQ(hosts[1].tls.key_file, "/k.key");
  EXPECT_EQ(hosts[2].path, "/v3");
  EXPECT_EQ(hosts[2].dial_timeout, absl::Seconds(1));
  EXPECT_EQ(hosts[3].host, "upstream.example");
}

TEST(ParseHostsToml, RefusesWhatItDoesNotKnow) {
  EXPECT_FALSE(ParseHostsToml("capabilities = [\"fly\"]", "/", "r", {}).ok());
  EXPECT_FALSE(ParseHostsToml("server = [", "/", "r", {}).ok());
  EXPECT_FALSE(ParseHostsToml("ca = 7", "/", "r", {}).ok());
}

TEST(HostsFor, FindsTheDirectoryOfTheHost) {
  ASSERT_OK_AND_ASSIGN(const std::string root, base::MakeTempDirectory("/tmp", "hosts-test-"));
  for (const char* name : {"reg.example_5000_", "_default"}) {
    ASSERT_TRUE(base::MakeDirectories(root + "/" + name, 0700).ok());
    ASSERT_TRUE(base::WriteFileAtomically(root + "/" + name + "/hosts.toml",
                                          fmt::format("server = \"http://{}.test\"", name), 0600)
                    .ok());
  }
  EXPECT_EQ(Only("reg.example:5000", {.directories = {root}}).host, "reg.example_5000_.test");
  EXPECT_EQ(Only("other", {.directories = {root}}).host, "_default.test");
  EXPECT_EQ(Only("other", {.directories = {root + "/nothing"}}).host, "other");
  ASSERT_TRUE(base::RemoveTree(root).ok());
}

TEST(ParseChallenges, PutsBearerFirst) {
  const auto challenges = ParseChallenges({"Basic realm=\"x\"", "Digest a=b",
                                           "Bearer realm=\"https://auth/token\",Service=reg, "
                                           "scope=\"repository:a:pull,push\",error=\"a\\\"b\""});
  ASSERT_EQ(challenges.size(), 2u);
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_EQ(challenges[0].parameters.at("realm"), "https://auth/token");
  EXPECT_EQ(challenges[0].parameters.at("service"), "reg");
  EXPECT_EQ(challenges[0].parameters.at("scope"), "repository:a:pull,push");
  EXPECT_EQ(challenges[0].parameters.at("error"), "a\"b");
  EXPECT_EQ(challenges[1].scheme, "basic");
}

TEST(Encoding, Base64AndQuery) {
  EXPECT_EQ(EncodeBase64(""), "");
  EXPECT_EQ(EncodeBase64("a"), "YQ==");
  EXPECT_EQ(EncodeBase64("user:pass"), "dXNlcjpwYXNz");
  EXPECT_EQ(EncodeQuery("sha256:a/b c"), "sha256%3Aa%2Fb%20c");
}

}  // namespace
}  // namespace ctrd::registry
