// SPDX-License-Identifier: Apache-2.0
#include "metrics/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::metrics {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::HasSubstr;
using testing::StartsWith;

base::UniqueFd Connect(int port) {
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

void Send(const base::UniqueFd& fd, const std::string& text) {
  EXPECT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(text.size()));
}

// Until the other side closes.
std::string ReadAll(const base::UniqueFd& fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;) {
    text.append(buffer, static_cast<size_t>(n));
  }
  return text;
}

class HttpServerTest : public testing::Test {
 protected:
  void Start(HttpLimits limits = {}) {
    ASSERT_OK_AND_ASSIGN(server_, HttpServer::Listen("127.0.0.1:0", limits));
    server_->Start([](const HttpRequest& request) {
      const auto agent = request.headers.find("user-agent");
      return HttpResponse{.headers = {{"X-Test", "yes"}},
                          .body = request.method + " " + request.path +
                                  (agent == request.headers.end() ? "" : " " + agent->second)};
    });
  }
  std::string Ask(const std::string& request) {
    const base::UniqueFd connection = Connect(server_->port());
    Send(connection, request);
    return ReadAll(connection);
  }
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersARequest) {
  Start();
  const std::string answer =
      Ask("GET /v1/metrics?name[]=x HTTP/1.1\r\nHost: a\r\nUSER-agent:  curl \r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nX-Test: yes\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Length: 20\r\n"));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\nGET /v1/metrics curl"));
}

TEST_F(HttpServerTest, SendsNoBodyToHead) {
  Start();
  const std::string answer = Ask("HEAD / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 6\r\n"));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, RefusesWhatIsNoRequest) {
  Start();
  EXPECT_THAT(Ask("hello\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Ask("GET http://elsewhere/ HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, ClosesWithoutAnAnswerWhatIsTooLong) {
  Start({.head_bytes = 1024});
  EXPECT_EQ(Ask("GET / HTTP/1.1\r\nX: " + std::string(1100, 'x')), "");
}

TEST_F(HttpServerTest, ASilentClientHoldsUpNobody) {
  Start();
  const base::UniqueFd silent = Connect(server_->port());
  Send(silent, "GET / HT");
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, CutsOffASilentClientInTheEnd) {
  Start({.read = absl::Milliseconds(1)});
  const base::UniqueFd silent = Connect(server_->port());
  EXPECT_EQ(ReadAll(silent), "");
}

TEST_F(HttpServerTest, TakesOnlySoManyConnections) {
  Start({.connections = 1});
  const base::UniqueFd first = Connect(server_->port());
  const base::UniqueFd second = Connect(server_->port());
  EXPECT_EQ(ReadAll(second), "");
  Send(first, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(ReadAll(first), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, EndsWithConnectionsOpen) {
  Start();
  const base::UniqueFd open = Connect(server_->port());
  Send(open, "GET / HTTP");
  server_.reset();
  EXPECT_EQ(ReadAll(open), "");
}

TEST(HttpServer, SaysWhyItCannotListen) {
  EXPECT_THAT(HttpServer::Listen("1338"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("missing port in address")));
  EXPECT_THAT(HttpServer::Listen("127.0.0.1:port"), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(const auto first, HttpServer::Listen("127.0.0.1:0"));
  EXPECT_FALSE(HttpServer::Listen(fmt::format("127.0.0.1:{}", first->port())).ok());
}

TEST(RequestHead, IsReadToItsEnd) {
  EXPECT_THAT(ParseRequestHead(""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseRequestHead("GET / HTTP/1.1\r\n"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseRequestHead("GET / HTTP/1.1\r\nno colon\r\n\r\n"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseRequestHead(" / HTTP/1.1\r\n\r\n"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseRequestHead("GET /\r\n\r\n"), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(const HttpRequest request,
                       ParseRequestHead("GET /a?b HTTP/1.1\r\nA:\r\nB:\tc \r\n\r\n"));
  EXPECT_EQ(request.path, "/a");
  EXPECT_EQ(request.headers.at("a"), "");
  EXPECT_EQ(request.headers.at("b"), "c");
}

}  // namespace
}  // namespace ctrd::metrics
