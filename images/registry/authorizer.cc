// SPDX-License-Identifier: Apache-2.0
#include "images/registry/authorizer.h"

#include <algorithm>
#include <cctype>

#include "absl/time/clock.h"
#include "base/status.h"
#include "images/registry/user_agent.h"
#include "nlohmann/json.hpp"

namespace ctrd::registry {
namespace {

constexpr size_t kMaxTokenBytes = 1 << 20;

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::string OriginOf(const RegistryHost& host) { return host.scheme + "://" + host.host; }

std::string Join(const std::set<std::string>& scopes) {
  return fmt::format("{}", fmt::join(scopes, " "));
}

// A token or a quoted string at `at`, which moves behind it.
std::string ReadValue(std::string_view text, size_t& at) {
  std::string out;
  if (at < text.size() && text[at] == '"') {
    for (++at; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\' && at + 1 < text.size()) ++at;
      out.push_back(text[at]);
    }
    if (at < text.size()) ++at;
    return out;
  }
  while (at < text.size() && text[at] != ',' && text[at] != ' ') out.push_back(text[at++]);
  return out;
}

void SkipSeparators(std::string_view text, size_t& at) {
  while (at < text.size() && (text[at] == ' ' || text[at] == ',' || text[at] == '\t')) ++at;
}

Challenge ParseChallenge(std::string_view header) {
  Challenge challenge;
  size_t at = std::min(header.find(' '), header.size());
  challenge.scheme = Lower(header.substr(0, at));
  for (SkipSeparators(header, at); at < header.size(); SkipSeparators(header, at)) {
    const size_t equals = header.find('=', at);
    if (equals == std::string_view::npos) break;
    const std::string key = Lower(header.substr(at, equals - at));
    at = equals + 1;
    challenge.parameters[key] = ReadValue(header, at);
  }
  return challenge;
}

std::string Find(const std::map<std::string, std::string>& map, const std::string& key) {
  const auto it = map.find(key);
  return it == map.end() ? "" : it->second;
}

std::string BasicHeader(const Credentials& credentials) {
  return "Basic " + EncodeBase64(credentials.username + ":" + credentials.secret);
}

std::string TokenForm(const Credentials& credentials, const std::string& service,
                      const std::set<std::string>& scopes) {
  std::string form =
      credentials.username.empty()
          ? "grant_type=refresh_token&refresh_token=" + EncodeQuery(credentials.secret)
          : "grant_type=password&username=" + EncodeQuery(credentials.username) +
                "&password=" + EncodeQuery(credentials.secret);
  form += "&client_id=containerd-client&service=" + EncodeQuery(service);
  if (!scopes.empty()) form += "&scope=" + EncodeQuery(Join(scopes));
  return form;
}

std::string TokenUrl(const std::string& realm, const std::string& service,
                     const std::set<std::string>& scopes) {
  std::string url = realm;
  const auto add = [&url](std::string_view key, const std::string& value) {
    url += fmt::format("{}{}={}", url.find('?') == std::string::npos ? "?" : "&", key,
                       EncodeQuery(value));
  };
  if (!service.empty()) add("service", service);
  for (const std::string& scope : scopes) add("scope", scope);
  return url;
}

absl::Status AuthorizationFailed(std::string_view why) {
  return base::Unknown("{}: authorization failed", why);
}

}  // namespace

std::string EncodeBase64(std::string_view data) {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < data.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (i + k < data.size() ? static_cast<uint8_t>(data[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      out.push_back(i + k > data.size() ? '=' : kAlphabet[bits >> (18 - 6 * k) & 63]);
    }
  }
  return out;
}

std::string EncodeQuery(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 &&
        (std::isalnum(byte) != 0 || std::string_view("-._~").find(c) != std::string_view::npos)) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

std::vector<Challenge> ParseChallenges(const std::vector<std::string_view>& headers) {
  std::vector<Challenge> out;
  for (const std::string_view header : headers) {
    Challenge challenge = ParseChallenge(header);
    if (challenge.scheme == "basic" || challenge.scheme == "bearer")
      out.push_back(std::move(challenge));
  }
  std::stable_sort(out.begin(), out.end(), [](const Challenge& left, const Challenge& right) {
    return left.scheme > right.scheme;
  });
  return out;
}

absl::StatusOr<std::string> Authorizer::HeaderFor(const base::Context& context,
                                                  const RegistryHost& host,
                                                  const std::set<std::string>& scopes) {
  const std::lock_guard lock(mutex_);
  const auto it = handlers_.find(OriginOf(host));
  if (it == handlers_.end()) return std::string();
  Handler& handler = it->second;
  if (!handler.bearer) return BasicHeader(handler.credentials);
  std::set<std::string> wanted = scopes;
  wanted.insert(handler.scopes.begin(), handler.scopes.end());
  Token& token = handler.tokens[Join(wanted)];
  if (token.value.empty() || token.expires <= absl::Now()) {
    ASSIGN_OR_RETURN(token, FetchToken(context, host, handler, wanted));
  }
  return "Bearer " + token.value;
}

absl::StatusOr<bool> Authorizer::AddChallenge(const base::Context& context,
                                              const RegistryHost& host,
                                              const HttpResponse& response) {
  const std::lock_guard lock(mutex_);
  const std::string origin = OriginOf(host);
  for (const Challenge& challenge : ParseChallenges(response.AllHeaders("www-authenticate"))) {
    const auto known = handlers_.find(origin);
    Handler handler;
    if (known != handlers_.end()) {
      handler.failed_before = known->second.failed_before;
      handler.credentials = known->second.credentials;
    } else if (credentials_) {
      ASSIGN_OR_RETURN(handler.credentials, credentials_(context, host.host));
    }
    if (challenge.scheme == "basic") {
      if (handler.credentials.username.empty() || handler.credentials.secret.empty()) {
        return AuthorizationFailed("no basic auth credentials");
      }
      if (known != handlers_.end()) return false;  // They have been tried.
      handlers_[origin] = std::move(handler);
      return true;
    }
    handler.bearer = true;
    const std::string error = Find(challenge.parameters, "error");
    if (!error.empty()) {
      if (handler.failed_before) return AuthorizationFailed("server message: " + error);
      handler.failed_before = true;
    }
    handler.realm = Find(challenge.parameters, "realm");
    if (handler.realm.empty()) {
      return base::Unknown("no realm specified for token auth challenge");
    }
    if (host.scheme == "https" && !handler.realm.starts_with("https://") &&
        !handler.credentials.secret.empty()) {
      return AuthorizationFailed("token server without TLS asks for a secret");
    }
    handler.service = Find(challenge.parameters, "service");
    if (known != handlers_.end()) handler.scopes = known->second.scopes;
    const std::string scope = Find(challenge.parameters, "scope");
    for (size_t start = 0; start < scope.size();) {
      const size_t end = std::min(scope.find(' ', start), scope.size());
      if (end > start) handler.scopes.insert(scope.substr(start, end - start));
      start = end + 1;
    }
    handlers_[origin] = std::move(handler);
    return true;
  }
  return false;
}

absl::StatusOr<HttpResponse> Authorizer::Ask(const base::Context& context, const RegistryHost& host,
                                             HttpRequest request, std::string& body) {
  request.headers.emplace_back("User-Agent", kUserAgent);
  const bool same_origin = request.url.starts_with(OriginOf(host) + "/");
  for (const auto& header : host.headers) {
    const std::string name = Lower(header.first);
    if (!same_origin && (name == "authorization" || name == "cookie")) continue;
    request.headers.push_back(header);
  }
  request.tls = host.tls;
  request.connect_timeout = host.dial_timeout;
  ASSIGN_OR_RETURN(const auto exchange, http_.Send(context, std::move(request)));
  ASSIGN_OR_RETURN(body, exchange->ReadAll(context, kMaxTokenBytes));
  return exchange->response();
}

absl::StatusOr<Authorizer::Token> Authorizer::FetchToken(const base::Context& context,
                                                         const RegistryHost& host,
                                                         const Handler& handler,
                                                         const std::set<std::string>& scopes) {
  const Credentials& credentials = handler.credentials;
  HttpRequest get;
  get.url = TokenUrl(handler.realm, handler.service, scopes);
  HttpResponse response;
  std::string body;
  bool answered = false;
  if (!credentials.secret.empty()) {
    HttpRequest post;
    post.method = "POST";
    post.url = handler.realm;
    post.headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
    post.body = HttpBody::Of(TokenForm(credentials, handler.service, scopes));
    ASSIGN_OR_RETURN(response, Ask(context, host, std::move(post), body));
    const int status = response.status;
    const bool unsupported = status == 400 || status == 401 || status == 404 ||
                             (status == 405 && !credentials.username.empty());
    answered = !unsupported;
    get.headers = {{"Authorization", BasicHeader(credentials)}};
  }
  if (!answered) {
    ASSIGN_OR_RETURN(response, Ask(context, host, get, body));
  }
  if (response.status < 200 || response.status >= 400) {
    return base::Unknown("failed to fetch oauth token: unexpected status from request to {}: {}",
                         handler.realm, response.status_line);
  }
  const auto document = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  Token token;
  if (document.is_object()) {
    for (const char* key : {"token", "access_token"}) {
      const auto it = document.find(key);
      if (it != document.end() && it->is_string() && !it->get_ref<const std::string&>().empty()) {
        token.value = it->get<std::string>();
      }
    }
    const auto expires = document.find("expires_in");
    if (expires != document.end() && expires->is_number_integer() && expires->get<int64_t>() > 0) {
      token.expires = absl::Now() + absl::Seconds(expires->get<int64_t>());
    }
  }
  if (token.value.empty()) {
    return base::Unknown("authorization server did not include a token in the response");
  }
  return token;
}

}  // namespace ctrd::registry
