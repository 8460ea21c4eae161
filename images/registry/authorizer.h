// SPDX-License-Identifier: Apache-2.0

// Who we are towards registries: answers challenges with tokens or passwords.
//
// Credentials and tokens belong to one host and are never shown to another. Only hosts that are
// configured for the registry may ask for them: what a redirect or a descriptor's URL leads to may
// not. Source document: docs/api/distribution.md (section 5).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/context.h"
#include "images/registry/hosts.h"
#include "images/registry/http_client.h"

namespace ctrd::registry {

// User and password; no user and a refresh token; or neither: anonymous.
struct Credentials {
  std::string username;
  std::string secret;
};
// Asked at the first challenge of `host`, at most once at a time.
using CredentialsCallback =
    std::function<absl::StatusOr<Credentials>(const base::Context&, const std::string& host)>;

struct Challenge {
  std::string scheme;  // "basic" or "bearer"
  std::map<std::string, std::string> parameters;
};
// The challenges of all WWW-Authenticate headers, bearer first; others are left out.
std::vector<Challenge> ParseChallenges(const std::vector<std::string_view>& headers);

std::string EncodeBase64(std::string_view data);
std::string EncodeQuery(std::string_view text);

// Thread-safe.
class Authorizer {
 public:
  Authorizer(HttpClient& http, CredentialsCallback credentials)
      : http_(http), credentials_(std::move(credentials)) {}

  // The value of the Authorization header for a request to `host`; "" when nothing is known.
  absl::StatusOr<std::string> HeaderFor(const base::Context& context, const RegistryHost& host,
                                        const std::set<std::string>& scopes);
  // Takes in a 401 of `host`. True: the request is worth another try.
  //   kUnknown "server message: …: authorization failed", "no basic auth credentials…"
  absl::StatusOr<bool> AddChallenge(const base::Context& context, const RegistryHost& host,
                                    const HttpResponse& response);

 private:
  struct Token {
    std::string value;
    absl::Time expires = absl::InfiniteFuture();
  };
  struct Handler {
    bool bearer = false;
    bool failed_before = false;  // A bearer challenge has carried an error already.
    std::string realm, service;
    std::set<std::string> scopes;
    Credentials credentials;
    std::map<std::string, Token> tokens;  // By the joined scopes.
  };

  absl::StatusOr<Token> FetchToken(const base::Context& context, const RegistryHost& host,
                                   const Handler& handler, const std::set<std::string>& scopes);
  absl::StatusOr<HttpResponse> Ask(const base::Context& context, const RegistryHost& host,
                                   HttpRequest request, std::string& body);

  HttpClient& http_;
  CredentialsCallback credentials_;
  // Held while a token is fetched: requests for the same one then share it.
  std::mutex mutex_;
  std::map<std::string, Handler> handlers_;  // By scheme and host.
};

}  // namespace ctrd::registry
