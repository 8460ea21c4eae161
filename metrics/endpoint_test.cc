// SPDX-License-Identifier: Apache-2.0
#include "metrics/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <zlib.h>

#include <string>

#include "absl/time/clock.h"
#include "base/testing/status_matchers.h"
#include "base/unique_fd.h"
#include "base/wire.h"
#include "gtest/gtest.h"
#include "metrics/container_metrics.h"
#include "metrics/exposition.h"
#include "metrics/process_metrics.h"
#include "runtime/testing/fake_task_runtime.h"

namespace ctrd::metrics {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class OneCounter final : public base::MetricSource {
 public:
  void Report(base::MetricSink& sink) const override { sink.AddCounter("one_total", "One.", 1); }
};

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

class EndpointTest : public testing::Test {
 protected:
  void SetUp() override { Start({}); }
  void Start(EndpointLimits limits) {
    endpoint_.reset();
    ASSERT_OK_AND_ASSIGN(endpoint_, Endpoint::Listen("127.0.0.1:0", limits));
    endpoint_->Start({&counter_});
  }
  // The whole answer, until the other side closes.
  std::string Ask(const std::string& request) {
    const base::UniqueFd connection = Connect(endpoint_->port());
    Send(connection, request);
    return ReadAll(connection);
  }
  OneCounter counter_;
  std::unique_ptr<Endpoint> endpoint_;
};

TEST_F(EndpointTest, TellsWhatItsSourcesTell) {
  const std::string answer = Ask("GET /v1/metrics HTTP/1.1\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("\none_total 1\n"));
  EXPECT_THAT(answer, HasSubstr("\npromhttp_metric_handler_requests_in_flight 1\n"));
  EXPECT_THAT(answer, HasSubstr("\npromhttp_metric_handler_requests_total{code=\"200\"} 0\n"));
  EXPECT_THAT(Ask("GET /v1/metrics HTTP/1.1\r\n\r\n"),
              HasSubstr("\npromhttp_metric_handler_requests_total{code=\"200\"} 1\n"));
}

TEST_F(EndpointTest, KnowsOnePathOnly) {
  for (const char* path : {"/", "/metrics", "/v1/metrics/", "/v1"}) {
    const std::string answer = Ask(fmt::format("GET {} HTTP/1.1\r\n\r\n", path));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 Not Found\r\n")) << path;
    EXPECT_THAT(answer, EndsWith("\r\n\r\n404 page not found\n")) << path;
  }
  EXPECT_THAT(Ask("POST /v1/metrics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 405 "));
}

TEST_F(EndpointTest, CompressesForThoseWhoTakeIt) {
  const std::string answer =
      Ask("GET /v1/metrics HTTP/1.1\r\nAccept-Encoding: deflate, gzip;q=1.0\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Encoding: gzip\r\n"));
  const std::string body = answer.substr(answer.find("\r\n\r\n") + 4);
  z_stream stream = {};
  ASSERT_EQ(::inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
  std::string text(1 << 16, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(::inflate(&stream, Z_FINISH), Z_STREAM_END);
  ::inflateEnd(&stream);
  EXPECT_THAT(text.substr(0, stream.total_out), HasSubstr("\none_total 1\n"));
  EXPECT_THAT(Ask("GET /v1/metrics HTTP/1.1\r\nAccept-Encoding: gzip;q=0\r\n\r\n"),
              HasSubstr("\none_total 1\n"));
}

TEST_F(EndpointTest, LooksAtThePathOnly) {
  EXPECT_THAT(Ask("GET /v1/metrics?name[]=x HTTP/1.1\r\nHost: a\r\n\r\n"),
              StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(EndpointTest, SendsNoBodyToHead) {
  const std::string answer = Ask("HEAD /v1/metrics HTTP/1.1\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: "));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(EndpointTest, RefusesWhatIsNoRequest) {
  EXPECT_THAT(Ask("hello\r\n\r\n"), HasSubstr(" 400 Bad Request\r\n"));
  EXPECT_THAT(Ask("GET /v1/metrics HTTP/1.1\r\nno colon\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(EndpointTest, RefusesAHeadThatIsTooLong) {
  Start({.head_bytes = 2048});
  const std::string answer = Ask("GET /v1/metrics HTTP/1.1\r\nX: " + std::string(2100, 'x'));
  EXPECT_THAT(answer, testing::Not(HasSubstr("200 OK")));
  EXPECT_THAT(answer, testing::Not(HasSubstr("one_total")));
}

TEST_F(EndpointTest, ASilentClientHoldsUpNobody) {
  const base::UniqueFd silent = Connect(endpoint_->port());
  Send(silent, "GET / HT");
  EXPECT_THAT(Ask("GET /v1/metrics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(EndpointTest, CutsOffASilentClientInTheEnd) {
  Start({.request = absl::Milliseconds(1)});
  const base::UniqueFd silent = Connect(endpoint_->port());
  EXPECT_THAT(ReadAll(silent), testing::Not(HasSubstr("200 OK")));
}

TEST_F(EndpointTest, MoreClientsThanItServesAtOnceWaitForTheirTurn) {
  Start({.connections = 1});
  const base::UniqueFd first = Connect(endpoint_->port());
  Send(first, "GET /v1/metrics HTTP/1.1\r\n");
  const base::UniqueFd second = Connect(endpoint_->port());
  Send(second, "GET /v1/metrics HTTP/1.1\r\n\r\n");
  Send(first, "\r\n");
  EXPECT_THAT(ReadAll(first), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ReadAll(second), StartsWith("HTTP/1.1 200 "));
}

TEST_F(EndpointTest, EndsAtOnce) {
  Ask("GET /v1/metrics HTTP/1.1\r\n\r\n");
  const absl::Time before = absl::Now();
  endpoint_.reset();
  EXPECT_LT(absl::Now() - before, absl::Seconds(1));
}

// civetweb looks every two seconds whether one that waits for a request is to end.
TEST_F(EndpointTest, EndsWithConnectionsOpen) {
  const base::UniqueFd open = Connect(endpoint_->port());
  Send(open, "GET / HTTP");
  const absl::Time before = absl::Now();
  endpoint_.reset();
  EXPECT_LT(absl::Now() - before, absl::Seconds(9));  // Its time to send would be ten.
}

TEST(Endpoint, IsUnavailableUntilItIsStarted) {
  ASSERT_OK_AND_ASSIGN(const auto endpoint, Endpoint::Listen("127.0.0.1:0"));
  const base::UniqueFd early = Connect(endpoint->port());
  Send(early, "GET /v1/metrics HTTP/1.1\r\n\r\n");
  EXPECT_THAT(ReadAll(early), StartsWith("HTTP/1.1 503 "));
  endpoint->Start({});
  const base::UniqueFd later = Connect(endpoint->port());
  Send(later, "GET /v1/metrics HTTP/1.1\r\n\r\n");
  EXPECT_THAT(ReadAll(later),
              HasSubstr("\npromhttp_metric_handler_requests_total{code=\"503\"} 1\n"));
}

TEST(Endpoint, SaysWhyItCannotListen) {
  EXPECT_THAT(Endpoint::Listen("nowhere"),
              base::StatusIs(absl::StatusCode::kInvalidArgument,
                             StartsWith("failed to get listener for metrics endpoint: ")));
  ASSERT_OK_AND_ASSIGN(const auto first, Endpoint::Listen("127.0.0.1:0"));
  const std::string taken = fmt::format("127.0.0.1:{}", first->port());
  const auto second = Endpoint::Listen(taken);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(),
            fmt::format("failed to get listener for metrics endpoint: bind '{}': Address already "
                        "in use",
                        taken));
}

TEST(ProcessMetrics, TellsOfThisProcess) {
  Exposition exposition;
  ProcessMetrics().Report(exposition);
  const std::string text = TextOf(exposition.Families());
  for (const char* name :
       {"process_cpu_seconds_total", "process_max_fds", "process_open_fds",
        "process_resident_memory_bytes", "process_start_time_seconds", "process_threads",
        "process_virtual_memory_bytes", "process_virtual_memory_max_bytes"}) {
    EXPECT_THAT(text, HasSubstr(fmt::format("\n{} ", name)));
  }
  EXPECT_THAT(text, HasSubstr("\nprocess_threads 1\n"));
}

TEST(ProcessMetrics, LeavesOutWhatCannotBeRead) {
  Exposition exposition;
  ProcessMetrics("/nowhere").Report(exposition);
  EXPECT_EQ(TextOf(exposition.Families()), "");
}

TEST(ContainerMetrics, AsksTheTasksOfAllNamespaces) {
  class TwoTasks final : public runtime::FakeTaskRuntime {
   public:
    absl::StatusOr<std::vector<runtime::TaskStatistics>> Statistics(
        const base::Context& context, const std::function<bool(std::string_view)>&) override {
      if (context.namespace_name() == "broken") return absl::UnknownError("broken");
      const std::string pids = base::WireWriter().Varint(1, 4).Take();
      return std::vector<runtime::TaskStatistics>{
          {.id = "c",
           .data = {.type_url = "io.containerd.cgroups.v1.Metrics",
                    .value = base::WireWriter().Message(2, pids).Take()}}};
    }
  } tasks;
  const ContainerMetrics metrics(
      tasks,
      [] {
        return std::vector<std::string>{"a", "broken", "b"};
      },
      [](const base::Context& context, const std::string&) -> std::string {
        return context.namespace_name() == "a" ? "io.containerd.runc.v2" : "";
      });
  Exposition exposition;
  metrics.Report(exposition);
  EXPECT_THAT(TextOf(exposition.Families()),
              HasSubstr("\ncontainer_pids_current{container_id=\"c\",namespace=\"a\","
                        "runtime=\"io.containerd.runc.v2\"} 4\n"
                        "container_pids_current{container_id=\"c\",namespace=\"b\"} 4\n"));
}

}  // namespace
}  // namespace ctrd::metrics
