// SPDX-License-Identifier: Apache-2.0

// HTTP for registries. One thread drives all exchanges (curl's multi interface); callers block on
// their own exchange: until its header is in, then piece by piece for its body. A body that nobody
// reads is not read from the network either, beyond one small buffer.
//
// Redirects are not followed, statuses are not judged and nothing is retried here: that is the
// registry client's part, which knows whom a header is meant for.
//
// Thread-safe; one HttpExchange is used by one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/context.h"

namespace ctrd::registry {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct TlsOptions {
  bool skip_verify = false;
  std::vector<std::string> ca_files;  // Besides those of the system.
  std::string certificate_file;       // Of the client; "" for none.
  std::string key_file;               // "" if the certificate's file holds it.
};

// What is sent with a request. Read from the driving thread, possibly from the start again.
struct HttpBody {
  int64_t size_bytes = 0;
  std::function<absl::StatusOr<size_t>(int64_t offset, std::span<char> buffer)> read_at;
  static HttpBody Of(std::string text);
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  Headers headers;
  HttpBody body;  // With `read_at` only.
  TlsOptions tls;
  absl::Duration connect_timeout = absl::Seconds(30);
  // Undo a transport encoding. Not for ranges.
  bool accept_encoding = false;
};

struct HttpResponse {
  int status = 0;
  std::string status_line;  // "404 Not Found"
  Headers headers;          // Names in lower case.

  std::string_view Header(std::string_view name) const;  // The first; "" for none.
  std::vector<std::string_view> AllHeaders(std::string_view name) const;
  int64_t ContentLength() const;  // -1 if not said.
};

class HttpExchange {
 public:
  struct State;
  explicit HttpExchange(std::shared_ptr<State> state) : state_(std::move(state)) {}
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;
  ~HttpExchange();  // Ends the exchange where it stands.

  const HttpResponse& response() const;
  // Exchanges `chunk` for the next piece of the body, "" at its end. An end that comes early is
  // kUnavailable. What was in `chunk` is lost, its memory used again.
  absl::Status Read(const base::Context& context, std::string& chunk);
  // The whole body.  kResourceExhausted beyond `limit_bytes`.
  absl::StatusOr<std::string> ReadAll(const base::Context& context, size_t limit_bytes);

 private:
  std::shared_ptr<State> state_;
};

class HttpClient {
 public:
  // Costs nothing before the first request: libcurl is loaded then (curl_library.h).
  static std::unique_ptr<HttpClient> Create();
  virtual ~HttpClient() = default;  // All exchanges are gone by then.
  // Sends the request (with its body) and waits for the header of the answer.
  //   kFailedPrecondition  there is no libcurl
  //   kUnavailable         no connection, no answer, or slower than any working server is
  //   kCancelled, …        as the context says
  // A failure whose text begins with "tls: " is one of the TLS handshake.
  virtual absl::StatusOr<std::unique_ptr<HttpExchange>> Send(const base::Context& context,
                                                             HttpRequest request) = 0;
};

}  // namespace ctrd::registry
