// SPDX-License-Identifier: Apache-2.0

// The Prometheus endpoint: GET /v1/metrics asks all sources and answers with what they tell, in
// text format, compressed for clients that take gzip. Source document: docs/operations/metrics.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/metric.h"
#include "metrics/http_server.h"

namespace ctrd::metrics {

class Endpoint {
 public:
  // Binds "host:port"; nothing is answered before Start.
  static absl::StatusOr<std::unique_ptr<Endpoint>> Listen(const std::string& address);

  // `sources` are borrowed and outlive the endpoint.
  void Start(std::vector<const base::MetricSource*> sources);
  int port() const { return server_->port(); }

 private:
  explicit Endpoint(std::unique_ptr<HttpServer> server) : server_(std::move(server)) {}
  HttpResponse Answer(const HttpRequest& request);
  std::string Gather() const;

  std::vector<const base::MetricSource*> sources_;
  base::Gauge in_flight_;
  base::Counter ok_;
  std::unique_ptr<HttpServer> server_;  // Last: its threads use the rest.
};

// gzip of `text`; "" if memory is short.
std::string Gzip(std::string_view text);

}  // namespace ctrd::metrics
