// SPDX-License-Identifier: Apache-2.0

// The Prometheus endpoint: GET /v1/metrics asks all sources and answers with what they tell, in
// text format, compressed for clients that take gzip. prometheus-cpp holds and writes the values,
// its HTTP server (civetweb) serves; docs/decisions/metrics.md says why its Exposer does not
// answer. Nothing here authenticates. Source document: docs/operations/metrics.md.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/metric.h"
#include "metrics/collector.h"
#include "metrics/listen_address.h"

struct mg_connection;  // civetweb's.
struct mg_context;

namespace ctrd::metrics {

struct EndpointLimits {
  int connections = 8;  // Served at once, each by a thread; others wait for their turn.
  int head_bytes = 8 << 10;
  absl::Duration request = absl::Seconds(10);  // For a client to send its request.
};

class Endpoint {
 public:
  // Binds "host:port", where no host is every interface and port 0 any that is free. Until Start,
  // scrapes are answered 503.
  //   kInvalidArgument  no such address; others: it cannot be bound
  static absl::StatusOr<std::unique_ptr<Endpoint>> Listen(const std::string& address,
                                                          EndpointLimits limits = {});
  // Waits for scrapes that run, and up to two seconds where a client has sent half a request.
  ~Endpoint();

  // `sources` are borrowed and outlive the endpoint. Call it once.
  void Start(std::vector<const base::MetricSource*> sources);
  int port() const { return at_.port(); }

 private:
  // What it tells of itself, under the names that Go's handler has.
  class Scrapes final : public base::MetricSource {
   public:
    void Report(base::MetricSink& sink) const override;
    base::Gauge in_flight;
    base::Counter ok, unavailable;
  };

  Endpoint() = default;
  absl::Status ListenAt(const ListenAddress& at, const EndpointLimits& limits);
  void Stop();
  static int Answer(mg_connection* connection);
  int AnswerScrape(mg_connection* connection, bool with_body);

  Scrapes scrapes_;
  std::unique_ptr<const Collector> collector_;
  std::atomic<const Collector*> started_ = nullptr;
  std::string complaint_;  // Of civetweb, while it starts.
  ListenAddress at_ = {};  // With the port that was chosen.
  mg_context* server_ = nullptr;
};

// gzip of `text`; "" if memory is short.
std::string Gzip(std::string_view text);

}  // namespace ctrd::metrics
