// SPDX-License-Identifier: Apache-2.0

// Who gets to see what: tokens, passwords, configured headers; and how broken answers are met.
#include "base/digest.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/registry/registry.h"
#include "images/registry/testing/scripted_server.h"
#include "images/spec/media_types.h"

namespace ctrd::registry {
namespace {

using base::IsOk;
using base::StatusIs;
using images::Descriptor;
using Request = ScriptedServer::Request;
using Response = ScriptedServer::Response;

const std::string kData(300000, 'd');

Descriptor Blob() {
  Descriptor descriptor;
  descriptor.media_type = images::kOciLayer;
  descriptor.digest = base::Digest::Of(kData).text();
  descriptor.size_bytes = static_cast<int64_t>(kData.size());
  return descriptor;
}

std::string HeaderOf(const Request& request, const std::string& name) {
  const auto it = request.headers.find(name);
  return it == request.headers.end() ? "" : it->second;
}

class SecretsTest : public testing::Test {
 protected:
  void SetUp() override { http_ = HttpClient::Create(); }

  std::unique_ptr<Registry> Open(const ScriptedServer& server) {
    auto reference = images::Reference::Parse(server.host() + "/a:v1");
    RegistryOptions options;
    options.hosts.default_scheme = "http";
    options.headers = {{"X-Secret", "header"}};
    options.credentials = [this](const base::Context&, const std::string& host) {
      asked_.push_back(host);
      return Credentials{"user", "password"};
    };
    auto registry = Registry::Open(*http_, *reference, options);
    EXPECT_THAT(registry, IsOk());
    return *std::move(registry);
  }

  absl::StatusOr<std::string> Fetch(Registry& registry, const Descriptor& descriptor) {
    ASSIGN_OR_RETURN(auto stream, registry.Fetch(context_, descriptor, 0));
    std::string all;
    for (std::string chunk;;) {
      RETURN_IF_ERROR(stream->Read(context_, chunk));
      if (chunk.empty()) return all;
      all += chunk;
    }
  }

  const base::Context context_{"test"};
  std::vector<std::string> asked_;
  std::unique_ptr<HttpClient> http_;
};

TEST_F(SecretsTest, ATokenIsFetchedOnceAndSentFromThenOn) {
  std::string realm;
  ScriptedServer server([&](const Request& request) -> Response {
    if (request.target.starts_with("/token"))
      return {.body = R"({"access_token":"T","expires_in":300})"};
    if (HeaderOf(request, "authorization") == "Bearer T") return {.body = kData};
    return {.status = 401,
            .headers = {{"WWW-Authenticate", "Bearer realm=\"" + realm + "\",service=\"s\""}}};
  });
  realm = "http://" + server.host() + "/token";
  const auto registry = Open(server);
  EXPECT_THAT(Fetch(*registry, Blob()), IsOk());
  EXPECT_THAT(Fetch(*registry, Blob()), IsOk());
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(requests[1].method, "POST");
  EXPECT_EQ(requests[1].body,
            "grant_type=password&username=user&password=password&client_id=containerd-client&"
            "service=s&scope=repository%3Aa%3Apull");
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(SecretsTest, BasicCredentialsGoToTheirHost) {
  ScriptedServer server([&](const Request& request) -> Response {
    if (HeaderOf(request, "authorization") == "Basic dXNlcjpwYXNzd29yZA==") return {.body = kData};
    return {.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=x"}}};
  });
  EXPECT_THAT(Fetch(*Open(server), Blob()), IsOk());
  EXPECT_EQ(asked_, std::vector<std::string>{server.host()});
}

TEST_F(SecretsTest, ARedirectsTargetGetsNothing) {
  ScriptedServer elsewhere([](const Request&) -> Response { return {.body = kData}; });
  ScriptedServer server([&](const Request& request) -> Response {
    if (HeaderOf(request, "authorization").empty()) {
      return {.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=x"}}};
    }
    return {.status = 307, .headers = {{"Location", "http://" + elsewhere.host() + "/blob?sig=1"}}};
  });
  EXPECT_THAT(Fetch(*Open(server), Blob()), IsOk());
  ASSERT_EQ(elsewhere.requests().size(), 1u);
  const Request request = elsewhere.requests()[0];
  EXPECT_EQ(request.target, "/blob?sig=1");
  EXPECT_EQ(HeaderOf(request, "authorization"), "");
  EXPECT_EQ(HeaderOf(request, "x-secret"), "");
}

TEST_F(SecretsTest, ADescriptorsUrlGetsNothingWhateverItAsks) {
  std::string realm;
  ScriptedServer attacker([&](const Request&) -> Response {
    return {.status = 401, .headers = {{"WWW-Authenticate", "Bearer realm=\"" + realm + "\""}}};
  });
  realm = "http://" + attacker.host() + "/token";
  ScriptedServer server([](const Request&) -> Response { return {.body = kData}; });
  Descriptor foreign = Blob();
  foreign.urls = {"http://" + attacker.host() + "/layer"};
  EXPECT_FALSE(Fetch(*Open(server), foreign).ok());
  EXPECT_TRUE(asked_.empty());
  ASSERT_EQ(attacker.requests().size(), 1u);
  EXPECT_EQ(HeaderOf(attacker.requests()[0], "authorization"), "");
  EXPECT_EQ(HeaderOf(attacker.requests()[0], "x-secret"), "");
}

TEST_F(SecretsTest, ABrokenBodyIsResumedWhereItBroke) {
  ScriptedServer server([](const Request& request) -> Response {
    const std::string range = HeaderOf(request, "range");
    if (range.empty()) return {.body = kData, .send_bytes = 100000};
    const size_t from = std::stoul(range.substr(6));
    return {.status = 206,
            .headers = {{"Content-Range",
                         fmt::format("bytes {}-{}/{}", from, kData.size() - 1, kData.size())}},
            .body = kData.substr(from)};
  });
  ASSERT_OK_AND_ASSIGN(const std::string got, Fetch(*Open(server), Blob()));
  EXPECT_EQ(got, kData);
  EXPECT_EQ(HeaderOf(server.requests()[1], "range"), "bytes=100000-");
}

TEST_F(SecretsTest, AHugeManifestIsRejected) {
  ScriptedServer server([](const Request&) -> Response {
    return {.headers = {{"Content-Length", "4393217"},
                        {"Docker-Content-Digest", base::Digest::Of("x").text()}}};
  });
  EXPECT_THAT(Open(server)->Resolve(context_),
              StatusIs(absl::StatusCode::kNotFound, "rejecting 4393217 byte manifest for " +
                                                        server.host() + "/a:v1: not found"));
}

TEST_F(SecretsTest, WhatTheRegistrySaysIsTold) {
  ScriptedServer server([](const Request& request) -> Response {
    if (request.method == "HEAD") return {.status = 403};
    return {.status = 403, .body = R"({"errors":[{"code":"DENIED","message":"go away"}]})"};
  });
  EXPECT_THAT(Open(server)->Resolve(context_),
              StatusIs(absl::StatusCode::kUnknown,
                       "unexpected status from GET request to http://" + server.host() +
                           "/v2/a/manifests/v1: 403 Scripted\ndenied: go away"));
}

}  // namespace
}  // namespace ctrd::registry
