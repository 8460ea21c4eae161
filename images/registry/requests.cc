// SPDX-License-Identifier: Apache-2.0

// How a registry is asked: URLs, redirects, retries, authorization.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "base/status.h"
#include "images/registry/registry.h"
#include "images/registry/user_agent.h"
#include "nlohmann/json.hpp"

namespace ctrd::registry {
namespace {

constexpr int kMaxAttempts = 5;
constexpr int kMaxRedirects = 10;
constexpr size_t kMaxErrorBytes = 64000;
constexpr auto kRetryPause = std::chrono::milliseconds(50);

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// "scheme://host" of an absolute URL.
std::string_view OriginOf(std::string_view url) {
  const size_t start = url.find("://");
  if (start == std::string_view::npos) return {};
  return url.substr(0, std::min(url.find_first_of("/?#", start + 3), url.size()));
}

std::string OriginOf(const RegistryHost& host) { return host.scheme + "://" + host.host; }

std::string EscapePath(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        byte < 0x80 && (std::isalnum(byte) != 0 ||
                        std::string_view("-._~/:@!$&'()*+,;=").find(c) != std::string_view::npos);
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
}

std::string ResolveLocation(std::string_view base, std::string_view location) {
  if (location.starts_with("http://") || location.starts_with("https://")) {
    return std::string(location);
  }
  if (location.starts_with("//")) {
    return fmt::format("{}:{}", base.substr(0, base.find(':')), location);
  }
  if (location.starts_with('/')) return fmt::format("{}{}", OriginOf(base), location);
  return fmt::format("{}/{}", OriginOf(base), location);
}

std::string DescribeErrors(std::string_view body) {
  const auto document = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return "";
  const auto errors = document.find("errors");
  if (errors == document.end() || !errors->is_array()) return "";
  std::vector<std::string> lines;
  for (const auto& error : *errors) {
    if (!error.is_object()) continue;
    const auto text_of = [&error](const char* key) {
      const auto it = error.find(key);
      return it != error.end() && it->is_string() ? it->get<std::string>() : std::string();
    };
    std::string code = text_of("code");
    for (char& c : code) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    constexpr std::string_view kKnown[] = {"unknown", "unsupported", "unauthorized",
                                           "denied",  "unavailable", "toomanyrequests"};
    if (std::find(std::begin(kKnown), std::end(kKnown), code) == std::end(kKnown)) code = "unknown";
    const std::string message = text_of("message");
    lines.push_back(message.empty() ? code : code + ": " + message);
  }
  return fmt::format("{}", fmt::join(lines, "\n"));
}

bool IsTransportError(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable;
}

}  // namespace

absl::Status UnexpectedStatus(std::string_view method, std::string_view url,
                              const HttpResponse& response, std::string_view body) {
  const std::string details = DescribeErrors(body);
  return base::Unknown("unexpected status from {} request to {}: {}{}{}", method, url,
                       response.status_line, details.empty() ? "" : "\n", details);
}

Registry::Registry(HttpClient& http, Reference reference, RegistryOptions options,
                   std::vector<RegistryHost> hosts)
    : http_(http),
      reference_(std::move(reference)),
      options_(std::move(options)),
      hosts_(std::move(hosts)),
      authorizer_(http, options_.credentials) {}

absl::StatusOr<std::unique_ptr<Registry>> Registry::Open(HttpClient& http, Reference reference,
                                                         RegistryOptions options) {
  ASSIGN_OR_RETURN(auto hosts, HostsFor(reference.hostname(), options.hosts));
  for (RegistryHost& host : hosts) {
    host.headers.insert(host.headers.end(), options.headers.begin(), options.headers.end());
  }
  return std::unique_ptr<Registry>(
      new Registry(http, std::move(reference), std::move(options), std::move(hosts)));
}

std::string Registry::UrlOf(const RegistryHost& host, const Call& call) const {
  if (!call.absolute_url.empty()) return call.absolute_url;
  std::string query = call.query;
  if (!IsSameRegistry(reference_.hostname(), host.host)) {
    query += fmt::format("{}ns={}", query.empty() ? "" : "&", EncodeQuery(reference_.hostname()));
  }
  return fmt::format("{}{}/{}/{}{}{}", OriginOf(host), EscapePath(host.path),
                     EscapePath(reference_.repository()), EscapePath(call.path),
                     query.empty() ? "" : "?", query);
}

std::vector<RegistryHost*> Registry::Candidates(bool Capabilities::*needed, bool also_resolve) {
  std::vector<RegistryHost*> out;
  for (RegistryHost& host : hosts_) {
    if (host.capabilities.*needed && (!also_resolve || host.capabilities.resolve)) {
      out.push_back(&host);
    }
  }
  // One dead mirror costs its timeout once, not once per blob.
  std::stable_partition(out.begin(), out.end(), [&](RegistryHost* host) { return !IsDown(*host); });
  return out;
}

bool Registry::IsDown(const RegistryHost& host) {
  const std::lock_guard lock(mutex_);
  return down_.contains(host.host);
}

// One request to one URL. `own_host`: it goes to `host` itself, not to where that one sent us.
absl::StatusOr<Registry::ExchangePtr> Registry::SendOnce(const base::Context& context,
                                                         RegistryHost& host, HttpRequest request,
                                                         bool own_host) {
  request.connect_timeout = host.dial_timeout;
  if (own_host) request.tls = host.tls;
  bool fallback = false;
  {
    const std::lock_guard lock(mutex_);
    fallback = own_host && host.http_fallback;
    if (own_host && host.scheme == "http" && request.url.starts_with("https://" + host.host)) {
      request.url.erase(4, 1);  // Another request has fallen back meanwhile.
    }
  }
  auto exchange = http_.Send(context, request);
  if (exchange.ok() || !fallback || !base::MessageOf(exchange.status()).starts_with("tls: ")) {
    return exchange;
  }
  {
    const std::lock_guard lock(mutex_);
    host.scheme = "http";
    host.http_fallback = false;
  }
  if (request.url.starts_with("https:")) request.url.erase(4, 1);
  return http_.Send(context, std::move(request));
}

absl::StatusOr<Registry::ExchangePtr> Registry::SendFollowing(const base::Context& context,
                                                              RegistryHost& host,
                                                              const Call& call) {
  HttpRequest request;
  request.method = call.method;
  request.body = call.body;
  request.accept_encoding = call.accept_encoding;
  RegistryHost target;  // The host as it is now.
  {
    const std::lock_guard lock(mutex_);
    target = host;
  }
  request.url = UrlOf(target, call);
  const std::string first_origin(OriginOf(request.url));
  for (int redirects = 0;; ++redirects) {
    // What is configured or secret goes to the host itself, never to where it sends us.
    const bool own_host = call.authorize && OriginOf(request.url) == first_origin;
    request.headers = call.headers;
    bool has_user_agent = false;
    if (own_host) {
      for (const auto& header : host.headers) {
        request.headers.push_back(header);
        has_user_agent = has_user_agent || header.first == "User-Agent";
      }
      ASSIGN_OR_RETURN(const std::string authorization,
                       authorizer_.HeaderFor(context, target, call.scopes));
      if (!authorization.empty()) request.headers.emplace_back("Authorization", authorization);
    }
    if (!has_user_agent) request.headers.emplace_back("User-Agent", kUserAgent);
    ASSIGN_OR_RETURN(ExchangePtr exchange, SendOnce(context, host, request, own_host));
    const HttpResponse& response = exchange->response();
    const std::string_view location = response.Header("location");
    if (!IsRedirect(response.status) || location.empty()) return exchange;
    if (redirects == kMaxRedirects)
      return base::Unknown("stopped after {} redirects", kMaxRedirects);
    request.url = ResolveLocation(request.url, location);
    if (response.status == 303 && request.method != "HEAD") {
      request.method = "GET";
      request.body = {};
    }
  }
}

absl::StatusOr<Registry::ExchangePtr> Registry::Do(const base::Context& context, RegistryHost& host,
                                                   Call call, bool last_host) {
  int last_server_error = 0;
  for (int attempt = 1;; ++attempt) {
    auto exchange = SendFollowing(context, host, call);
    if (!exchange.ok()) {
      if (!IsTransportError(exchange.status())) return exchange.status();
      if (!last_host || attempt == kMaxAttempts) {
        const std::lock_guard lock(mutex_);
        down_.insert(host.host);
        return exchange.status();
      }
      RETURN_IF_ERROR(context.Check());
      std::this_thread::sleep_for(kRetryPause);
      continue;
    }
    const HttpResponse& response = (*exchange)->response();
    const int status = response.status;
    bool again = false;
    if (status == 401 && call.authorize) {
      RegistryHost target;
      {
        const std::lock_guard lock(mutex_);
        target = host;
      }
      ASSIGN_OR_RETURN(again, authorizer_.AddChallenge(context, target, response));
    } else if (status == 405 && call.method == "HEAD" && call.path.starts_with("manifests/")) {
      call.method = "GET";
      again = true;
    } else if (status == 408 || status == 429) {
      again = true;
      if (attempt < kMaxAttempts) std::this_thread::sleep_for(kRetryPause * (1 << attempt));
    } else if ((status == 500 || status == 503 || status == 504) && last_host) {
      again = status != last_server_error;
      last_server_error = status;
    }
    if (!again || attempt == kMaxAttempts) return exchange;
    RETURN_IF_ERROR(context.Check());
  }
}

}  // namespace ctrd::registry
