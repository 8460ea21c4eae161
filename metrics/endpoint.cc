// SPDX-License-Identifier: Apache-2.0
#include "metrics/endpoint.h"

#include <zlib.h>

#include "base/status.h"
#include "metrics/exposition.h"

namespace ctrd::metrics {
namespace {

constexpr char kPath[] = "/v1/metrics";

HttpResponse PlainText(int code, std::string body) {
  return {.code = code,
          .headers = {{"Content-Type", "text/plain; charset=utf-8"},
                      {"X-Content-Type-Options", "nosniff"}},
          .body = std::move(body)};
}

bool TakesGzip(const HttpRequest& request) {
  const auto it = request.headers.find("accept-encoding");
  if (it == request.headers.end()) return false;
  std::string_view left = it->second;
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

absl::StatusOr<std::unique_ptr<Endpoint>> Endpoint::Listen(const std::string& address) {
  auto server = HttpServer::Listen(address);
  if (!server.ok()) {
    return base::Annotate(server.status(), "failed to get listener for metrics endpoint");
  }
  return std::unique_ptr<Endpoint>(new Endpoint(*std::move(server)));
}

void Endpoint::Start(std::vector<const base::MetricSource*> sources) {
  sources_ = std::move(sources);
  server_->Start([this](const HttpRequest& request) { return Answer(request); });
}

std::string Endpoint::Gather() const {
  Exposition exposition;
  for (const base::MetricSource* source : sources_) source->Report(exposition);
  exposition.AddGauge("promhttp_metric_handler_requests_in_flight",
                      "Scrapes that are being answered.", in_flight_.value());
  const auto add_requests = [&](const char* code, uint64_t count) {
    exposition.AddCounter("promhttp_metric_handler_requests_total",
                          "Scrapes that were answered, by HTTP status code.", count,
                          {{"code", code}});
  };
  add_requests("200", ok_.value());
  add_requests("500", 0);  // There is no way to fail; dashboards expect the series.
  add_requests("503", 0);
  return exposition.Text();
}

HttpResponse Endpoint::Answer(const HttpRequest& request) {
  if (request.path != kPath) return PlainText(404, "404 page not found\n");
  if (request.method != "GET" && request.method != "HEAD") {
    return PlainText(405, "405 method not allowed\n");
  }
  in_flight_.Add(1);
  HttpResponse response{.headers = {{"Content-Type", kTextContentType}}, .body = Gather()};
  in_flight_.Add(-1);
  ok_.Add();
  if (TakesGzip(request)) {
    if (std::string compressed = Gzip(response.body); !compressed.empty()) {
      response.headers["Content-Encoding"] = "gzip";
      response.headers["Vary"] = "Accept-Encoding";
      response.body = std::move(compressed);
    }
  }
  return response;
}

}  // namespace ctrd::metrics
