// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace ctrd::registry {

// An HTTP server on a port of 127.0.0.1 that answers what a test says. One connection, one request.
class ScriptedServer {
 public:
  struct Request {
    std::string method;
    std::string target;                          // Path and query.
    std::map<std::string, std::string> headers;  // Names in lower case.
    std::string body;
  };
  struct Response {
    int status = 200;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    size_t send_bytes = std::string::npos;  // Of the body; fewer than all break the connection.
  };
  using Handler = std::function<Response(const Request&)>;

  explicit ScriptedServer(Handler handler);
  ~ScriptedServer();

  std::string host() const;
  std::vector<Request> requests() const;  // So far.

 private:
  void Run();
  void Serve(int connection);

  const Handler handler_;
  base::UniqueFd listener_;
  base::UniqueFd stop_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;  // Guarded by `mutex_`.
  std::thread thread_;
};

}  // namespace ctrd::registry
