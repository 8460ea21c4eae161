// SPDX-License-Identifier: Apache-2.0
#include "metrics/http_server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "fmt/format.h"

namespace ctrd::metrics {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

absl::StatusOr<Addresses> ResolveAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(
        base::ToAbsl(fmt::format("listen tcp: address {}: missing port in address", address)));
  }
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_family = host.empty() ? AF_INET6 : AF_UNSPEC;  // All interfaces: IPv4 comes with it.
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(),
                                  address.c_str() + colon + 1, &hints, &list);
  if (error != 0) {
    return absl::InvalidArgumentError(
        base::ToAbsl(fmt::format("listen tcp: address {}: {}", address, ::gai_strerror(error))));
  }
  return Addresses(list);
}

absl::StatusOr<base::UniqueFd> ListenAt(const addrinfo& at, const std::string& address) {
  base::UniqueFd fd(::socket(at.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return base::ErrnoStatus("socket for", address);
  const int yes = 1;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (::bind(fd.get(), at.ai_addr, at.ai_addrlen) != 0) return base::ErrnoStatus("bind", address);
  if (::listen(fd.get(), SOMAXCONN) != 0) return base::ErrnoStatus("listen", address);
  return fd;
}

int PortOf(int fd) {
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

// False at the deadline.
bool WaitFor(int fd, short events, absl::Time deadline) {
  while (true) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    pollfd poll_fd = {.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// What came up to the empty line; "" if that never came.
std::string ReadHead(int fd, const HttpLimits& limits) {
  std::string head;
  char buffer[2048];
  const absl::Time deadline = absl::Now() + limits.read;
  while (head.size() < limits.head_bytes && WaitFor(fd, POLLIN, deadline)) {
    const ssize_t got = ::recv(fd, buffer, sizeof(buffer), 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return "";
    head.append(buffer, static_cast<size_t>(got));
    const size_t end = head.find("\r\n\r\n");
    if (end != std::string::npos) return head.substr(0, end + 4);
  }
  return "";
}

void WriteAll(int fd, std::string_view text, absl::Duration limit) {
  const absl::Time deadline = absl::Now() + limit;
  while (!text.empty() && WaitFor(fd, POLLOUT, deadline)) {
    const ssize_t put = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (put < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (put < 0) return;  // The client is gone: nobody to tell.
    text.remove_prefix(static_cast<size_t>(put));
  }
}

std::string_view ReasonOf(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

std::string Render(const HttpResponse& response, bool with_body) {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", response.code, ReasonOf(response.code));
  for (const auto& [name, value] : response.headers) text += fmt::format("{}: {}\r\n", name, value);
  text +=
      fmt::format("Date: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                  absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()),
                  response.body.size());
  if (with_body) text += response.body;
  return text;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

absl::StatusOr<HttpRequest> ParseRequestHead(std::string_view head) {
  const absl::Status malformed = absl::InvalidArgumentError("malformed HTTP request");
  const size_t end = head.find("\r\n");
  if (end == head.npos) return malformed;
  const std::string_view line = head.substr(0, end);
  const size_t first = line.find(' ');
  const size_t second = line.find(' ', first == line.npos ? first : first + 1);
  if (first == line.npos || second == line.npos || first == 0) return malformed;
  if (!line.substr(second + 1).starts_with("HTTP/1.")) return malformed;
  std::string_view target = line.substr(first + 1, second - first - 1);
  if (!target.starts_with('/')) return malformed;
  HttpRequest request;
  request.method = std::string(line.substr(0, first));
  request.path = std::string(target.substr(0, target.find('?')));
  head.remove_prefix(end + 2);
  while (!head.starts_with("\r\n")) {
    const size_t next = head.find("\r\n");
    if (next == head.npos) return malformed;
    const std::string_view header = head.substr(0, next);
    const size_t colon = header.find(':');
    if (colon == header.npos || colon == 0) return malformed;
    request.headers[Lower(header.substr(0, colon))] = std::string(Trim(header.substr(colon + 1)));
    head.remove_prefix(next + 2);
  }
  return request;
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Listen(const std::string& address,
                                                               HttpLimits limits) {
  ASSIGN_OR_RETURN(const Addresses addresses, ResolveAddress(address));
  absl::Status failed = absl::InvalidArgumentError("no address");
  for (const addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
    auto listener = ListenAt(*at, address);
    if (!listener.ok()) {
      failed = listener.status();
      continue;
    }
    base::UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stop.valid()) return base::ErrnoStatus("eventfd for", address);
    const int port = PortOf(listener->get());
    return std::unique_ptr<HttpServer>(
        new HttpServer(*std::move(listener), std::move(stop), port, limits));
  }
  return failed;
}

HttpServer::~HttpServer() {
  const uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof(one));  // Cannot fail: the counter is far from full.
  if (thread_.joinable()) thread_.join();
  std::unique_lock lock(mutex_);
  stopping_ = true;
  for (const int connection : connections_) (void)::shutdown(connection, SHUT_RDWR);
  all_closed_.wait(lock, [this] { return connections_.empty(); });
}

void HttpServer::Start(Handler handler) {
  handler_ = std::move(handler);
  thread_ = std::thread([this] { Accept(); });
}

void HttpServer::Accept() {
  while (true) {
    pollfd fds[] = {{.fd = listener_.get(), .events = POLLIN, .revents = 0},
                    {.fd = stop_.get(), .events = POLLIN, .revents = 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) {
      base::LogError("metrics endpoint stops", {{"error", base::ErrnoStatus("poll", "listener")}});
      return;
    }
    if (fds[1].revents != 0) return;
    if (fds[0].revents == 0) continue;
    base::UniqueFd connection(
        ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.valid()) {
      Take(std::move(connection));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // The connection stays in the queue; asking at once again would only burn time.
      (void)WaitFor(stop_.get(), POLLIN, absl::Now() + absl::Milliseconds(100));
    }
  }
}

void HttpServer::Take(base::UniqueFd connection) {
  {
    const std::scoped_lock lock(mutex_);
    if (connections_.size() >= static_cast<size_t>(limits_.connections)) return;  // Closed.
    connections_.insert(connection.get());
  }
  const int fd = connection.Release();
  const auto serve = [this, fd] {
    base::UniqueFd owned(fd);
    Serve(fd);
    // Under the lock: the destructor must not meet a number that is somebody else's already.
    const std::scoped_lock lock(mutex_);
    connections_.erase(fd);
    owned.Reset();
    all_closed_.notify_all();
  };
  try {
    std::thread(serve).detach();
  } catch (const std::system_error&) {
    serve();  // No thread to be had: the others wait.
  }
}

void HttpServer::Serve(int connection) {
  const std::string head = ReadHead(connection, limits_);
  if (head.empty()) return;
  const auto request = ParseRequestHead(head);
  HttpResponse response;
  if (request.ok()) {
    response = handler_(*request);
  } else {
    response = {.code = 400,
                .headers = {{"Content-Type", "text/plain; charset=utf-8"}},
                .body = "400 Bad Request"};
  }
  const bool with_body = !request.ok() || request->method != "HEAD";
  WriteAll(connection, Render(response, with_body), limits_.write);
  (void)::shutdown(connection, SHUT_WR);
}

}  // namespace ctrd::metrics
