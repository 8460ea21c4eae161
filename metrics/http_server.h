// SPDX-License-Identifier: Apache-2.0

// HttpServer: as much HTTP/1.1 as a scrape needs, on a TCP address. One request per connection,
// without a body; what takes longer than the limits is cut off. Nothing here authenticates.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace ctrd::metrics {

struct HttpRequest {
  std::string method;                          // "GET"
  std::string path;                            // Without what follows a '?'.
  std::map<std::string, std::string> headers;  // Names in lower case.
};

struct HttpResponse {
  int code = 200;
  std::map<std::string, std::string> headers;  // Content-Length comes by itself.
  std::string body;
};

struct HttpLimits {
  int connections = 16;  // More are closed at once.
  size_t head_bytes = 8 << 10;
  absl::Duration read = absl::Seconds(10);
  absl::Duration write = absl::Seconds(30);
};

class HttpServer {
 public:
  // Called from any thread, several at a time.
  using Handler = std::function<HttpResponse(const HttpRequest& request)>;

  // Binds and listens at "host:port"; a port of 0 takes any that is free.
  //   kInvalidArgument  no such address; others: it cannot be bound
  static absl::StatusOr<std::unique_ptr<HttpServer>> Listen(const std::string& address,
                                                            HttpLimits limits = {});
  // Ends all connections, and waits for handlers that run.
  ~HttpServer();

  // Begins to accept. Call it once.
  void Start(Handler handler);
  int port() const { return port_; }

 private:
  HttpServer(base::UniqueFd listener, base::UniqueFd stop, int port, HttpLimits limits)
      : listener_(std::move(listener)), stop_(std::move(stop)), port_(port), limits_(limits) {}
  void Accept();
  void Take(base::UniqueFd connection);
  void Serve(int connection);

  const base::UniqueFd listener_;
  const base::UniqueFd stop_;  // An eventfd.
  const int port_;
  const HttpLimits limits_;
  Handler handler_;
  std::mutex mutex_;
  std::condition_variable all_closed_;
  std::set<int> connections_;
  bool stopping_ = false;
  std::thread thread_;
};

// The head of a request: up to and including its empty line.  kInvalidArgument
absl::StatusOr<HttpRequest> ParseRequestHead(std::string_view head);

}  // namespace ctrd::metrics
