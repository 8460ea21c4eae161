// SPDX-License-Identifier: Apache-2.0
#include "metrics/endpoint.h"

#include <civetweb.h>
#include <zlib.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "base/status.h"
#include "fmt/format.h"
#include "metrics/exposition.h"

namespace ctrd::metrics {
namespace {

constexpr char kPath[] = "/v1/metrics";

struct Response {
  int code;
  std::vector<std::pair<const char*, std::string>> headers;
  std::string body;
};

Response PlainText(int code, std::string body) {
  return {.code = code,
          .headers = {{"Content-Type", "text/plain; charset=utf-8"},
                      {"X-Content-Type-Options", "nosniff"}},
          .body = std::move(body)};
}

// Returns the code, as civetweb wants it. A client that is gone is nobody to tell.
int Send(mg_connection* connection, const Response& response, bool with_body) {
  const std::string length = fmt::format("{}", response.body.size());
  ::mg_response_header_start(connection, response.code);
  for (const auto& [name, value] : response.headers) {
    ::mg_response_header_add(connection, name, value.data(), static_cast<int>(value.size()));
  }
  ::mg_response_header_add(connection, "Content-Length", length.data(), -1);
  ::mg_response_header_send(connection);
  if (with_body) (void)::mg_write(connection, response.body.data(), response.body.size());
  return response.code;
}

bool TakesGzip(mg_connection* connection) {
  const char* accepted = ::mg_get_header(connection, "Accept-Encoding");
  std::string_view left = accepted == nullptr ? "" : accepted;
  while (!left.empty()) {
    const size_t comma = left.find(',');
    std::string_view coding = left.substr(0, comma);
    left.remove_prefix(comma == left.npos ? left.size() : comma + 1);
    while (coding.starts_with(' ')) coding.remove_prefix(1);
    if (coding == "gzip" || (coding.starts_with("gzip;") && !coding.ends_with("q=0"))) return true;
  }
  return false;
}

}  // namespace

std::string Gzip(std::string_view text) {
  z_stream stream = {};
  constexpr int kGzipFormat = 16;  // Added to the size of the window.
  if (::deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + kGzipFormat, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
    return "";
  }
  std::string compressed(::deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(compressed.data());
  stream.avail_out = static_cast<uInt>(compressed.size());
  const int result = ::deflate(&stream, Z_FINISH);
  compressed.resize(stream.total_out);
  ::deflateEnd(&stream);
  return result == Z_STREAM_END ? compressed : "";
}

void Endpoint::Scrapes::Report(base::MetricSink& sink) const {
  sink.AddGauge("promhttp_metric_handler_requests_in_flight", "Scrapes that are being answered.",
                in_flight.value());
  const auto add_requests = [&](const char* code, uint64_t count) {
    sink.AddCounter("promhttp_metric_handler_requests_total",
                    "Scrapes that were answered, by HTTP status code.", count, {{"code", code}});
  };
  add_requests("200", ok.value());
  add_requests("500", 0);  // There is no way to fail; dashboards expect the series.
  add_requests("503", unavailable.value());
}

absl::StatusOr<std::unique_ptr<Endpoint>> Endpoint::Listen(const std::string& address,
                                                           EndpointLimits limits) {
  constexpr char kWhat[] = "failed to get listener for metrics endpoint";
  const auto addresses = ResolveListenAddress(address);
  if (!addresses.ok()) return base::Annotate(addresses.status(), kWhat);
  std::unique_ptr<Endpoint> endpoint(new Endpoint);
  absl::Status failed;
  for (const ListenAddress& at : *addresses) {
    const absl::Status started = endpoint->ListenAt(at, limits);
    if (started.ok()) return endpoint;
    // civetweb logs the number of an error and returns none: the kernel is asked once more.
    failed = TryToBind(at, address);
    if (failed.ok()) failed = started;
  }
  return base::Annotate(failed, kWhat);
}

absl::Status Endpoint::ListenAt(const ListenAddress& at, const EndpointLimits& limits) {
  const std::string address = at.ForCivetweb();
  const std::string threads = fmt::format("{}", limits.connections);
  const std::string head = fmt::format("{}", limits.head_bytes);
  const std::string timeout = fmt::format("{}", absl::ToInt64Milliseconds(limits.request));
  const char* options[] = {"listening_ports",    address.c_str(),    "num_threads",
                           threads.c_str(),      "max_request_size", head.c_str(),
                           "request_timeout_ms", timeout.c_str(),    nullptr};
  mg_callbacks callbacks = {};
  callbacks.begin_request = Answer;
  callbacks.log_message = [](const mg_connection* connection, const char* message) {
    auto* self = static_cast<Endpoint*>(::mg_get_user_data(::mg_get_context(connection)));
    if (self->server_ == nullptr) self->complaint_ = message;
    return 1;  // Not to civetweb's own log: what clients do wrong is theirs to see.
  };
  server_ = ::mg_start(&callbacks, this, options);
  if (server_ == nullptr) return absl::UnavailableError(base::ToAbsl(complaint_));
  mg_server_port port = {};
  (void)::mg_get_server_ports(server_, 1, &port);  // There is one.
  at_ = at.WithPort(port.port);
  return absl::OkStatus();
}

Endpoint::~Endpoint() {
  if (server_ != nullptr) Stop();
}

// civetweb sees that it is to end when somebody comes, else within two seconds: we come.
void Endpoint::Stop() {
  std::promise<void> stopped;
  std::future<void> end = stopped.get_future();
  std::thread stopper([this, &stopped] {
    ::mg_stop(server_);
    stopped.set_value();
  });
  while (end.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready) Knock(at_);
  stopper.join();
}

void Endpoint::Start(std::vector<const base::MetricSource*> sources) {
  sources.push_back(&scrapes_);
  collector_ = std::make_unique<const Collector>(std::move(sources));
  started_.store(collector_.get(), std::memory_order_release);
}

int Endpoint::Answer(mg_connection* connection) {
  const mg_request_info* request = ::mg_get_request_info(connection);
  const std::string_view path = request->local_uri == nullptr ? "" : request->local_uri;
  const std::string_view method = request->request_method;
  const bool head = method == "HEAD";
  if (path != kPath) return Send(connection, PlainText(404, "404 page not found\n"), !head);
  if (method != "GET" && !head) {
    return Send(connection, PlainText(405, "405 method not allowed\n"), true);
  }
  auto* self = static_cast<Endpoint*>(::mg_get_user_data(::mg_get_context(connection)));
  return self->AnswerScrape(connection, !head);
}

int Endpoint::AnswerScrape(mg_connection* connection, bool with_body) {
  const Collector* collector = started_.load(std::memory_order_acquire);
  if (collector == nullptr) {
    scrapes_.unavailable.Add();
    return Send(connection, PlainText(503, "the daemon is starting\n"), with_body);
  }
  scrapes_.in_flight.Add(1);
  Response response = {.code = 200,
                       .headers = {{"Content-Type", kTextContentType}},
                       .body = TextOf(collector->Collect())};
  scrapes_.in_flight.Add(-1);
  scrapes_.ok.Add();
  if (TakesGzip(connection)) {
    if (std::string compressed = Gzip(response.body); !compressed.empty()) {
      response.headers.emplace_back("Content-Encoding", "gzip");
      response.headers.emplace_back("Vary", "Accept-Encoding");
      response.body = std::move(compressed);
    }
  }
  return Send(connection, response, with_body);
}

}  // namespace ctrd::metrics
