// SPDX-License-Identifier: Apache-2.0
#include "images/registry/testing/scripted_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <sstream>

#include "fmt/format.h"

namespace ctrd::registry {

ScriptedServer::ScriptedServer(Handler handler)
    : handler_(std::move(handler)),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  (void)::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length);
  (void)::listen(listener_.get(), 16);
  (void)::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

ScriptedServer::~ScriptedServer() {
  (void)::eventfd_write(stop_.get(), 1);
  thread_.join();
}

std::string ScriptedServer::host() const { return fmt::format("127.0.0.1:{}", port_); }

std::vector<ScriptedServer::Request> ScriptedServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void ScriptedServer::Run() {
  while (true) {
    pollfd fds[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents != 0) return;
    const base::UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.valid()) Serve(connection.get());
  }
}

void ScriptedServer::Serve(int connection) {
  std::string text;
  size_t end = std::string::npos;
  size_t wanted = 0;
  Request request;
  char buffer[4096];
  while (end == std::string::npos || text.size() < wanted) {
    const ssize_t count = ::read(connection, buffer, sizeof(buffer));
    if (count <= 0) return;
    text.append(buffer, static_cast<size_t>(count));
    if (end != std::string::npos || (end = text.find("\r\n\r\n")) == std::string::npos) continue;
    std::istringstream head(text.substr(0, end));
    std::string line;
    head >> request.method >> request.target;
    std::getline(head, line);
    while (std::getline(head, line)) {
      if (line.ends_with('\r')) line.pop_back();
      const size_t colon = line.find(':');
      std::string name = line.substr(0, colon);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      request.headers[name] = line.substr(std::min(colon + 2, line.size()));
    }
    wanted =
        end + 4 +
        (request.headers.contains("content-length") ? std::stoul(request.headers["content-length"])
                                                    : 0);
  }
  request.body = text.substr(end + 4);
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  const Response response = handler_(request);
  std::string out = fmt::format("HTTP/1.1 {} Scripted\r\nConnection: close\r\n", response.status);
  bool has_length = false;
  for (const auto& [name, value] : response.headers) {
    out += name + ": " + value + "\r\n";
    has_length = has_length || name == "Content-Length";
  }
  if (!has_length) out += fmt::format("Content-Length: {}\r\n", response.body.size());
  out += "\r\n";
  if (request.method != "HEAD") out += response.body.substr(0, response.send_bytes);
  for (size_t sent = 0; sent < out.size();) {
    const ssize_t count = ::send(connection, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return;
    sent += static_cast<size_t>(count);
  }
}

}  // namespace ctrd::registry
