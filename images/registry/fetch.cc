// SPDX-License-Identifier: Apache-2.0

// Blobs and manifests from a registry, resumed where a connection breaks.
#include <charconv>

#include "base/log.h"
#include "base/status.h"
#include "images/registry/registry.h"
#include "images/registry/user_agent.h"
#include "images/spec/media_types.h"

namespace ctrd::registry {
namespace {

constexpr int kMaxStalls = 3;

// Where the body of `response` begins in the blob: 206 or a Content-Range say so.
int64_t StartOf(const HttpResponse& response) {
  std::string_view range = response.Header("content-range");
  if (!range.starts_with("bytes ")) return 0;
  range.remove_prefix(6);
  int64_t start = 0;
  std::from_chars(range.data(), range.data() + range.size(), start);
  return start;
}

}  // namespace

class ResumingStream : public BlobStream {
 public:
  ResumingStream(Registry& registry, images::Descriptor descriptor, int64_t offset)
      : registry_(registry), descriptor_(std::move(descriptor)), offset_(offset) {}

  absl::Status Open(const base::Context& context) {
    ASSIGN_OR_RETURN(exchange_, registry_.OpenFor(context, descriptor_, offset_));
    const int64_t start = StartOf(exchange_->response());
    if (start > offset_) {
      return base::Unknown("unexpected Content-Range of {}: begins at {}, asked for {}",
                           descriptor_.digest, start, offset_);
    }
    skip_ = offset_ - start;
    return absl::OkStatus();
  }

  absl::Status Read(const base::Context& context, std::string& chunk) override {
    while (true) {
      const absl::Status status = ReadOnce(context, chunk);
      if (status.ok() && !chunk.empty()) {
        stalls_ = 0;
        offset_ += static_cast<int64_t>(chunk.size());
        return status;
      }
      const bool complete = offset_ >= descriptor_.size_bytes;
      if (status.ok() && complete) return status;
      if (!status.ok() && status.code() != absl::StatusCode::kUnavailable) return status;
      if (++stalls_ > kMaxStalls) {
        return status.ok()
                   ? base::Unavailable("unexpected EOF of {} at {}", descriptor_.digest, offset_)
                   : status;
      }
      base::LogDebug("resuming fetch", {{"digest", descriptor_.digest}, {"offset", offset_}});
      exchange_.reset();
      RETURN_IF_ERROR(Open(context));
    }
  }

 private:
  // The next bytes that are wanted; those before `offset_` are dropped.
  absl::Status ReadOnce(const base::Context& context, std::string& chunk) {
    while (true) {
      RETURN_IF_ERROR(exchange_->Read(context, chunk));
      if (chunk.empty() || skip_ == 0) return absl::OkStatus();
      const auto dropped = std::min<int64_t>(skip_, static_cast<int64_t>(chunk.size()));
      chunk.erase(0, static_cast<size_t>(dropped));
      skip_ -= dropped;
      if (!chunk.empty()) return absl::OkStatus();
    }
  }

  Registry& registry_;
  const images::Descriptor descriptor_;
  int64_t offset_;
  int64_t skip_ = 0;
  int stalls_ = 0;
  std::unique_ptr<HttpExchange> exchange_;
};

// The first host that has it.
absl::StatusOr<Registry::ExchangePtr> Registry::OpenFetch(const base::Context& context,
                                                          const Call& call) {
  const auto hosts = Candidates(&Capabilities::pull, /*also_resolve=*/false);
  if (hosts.empty()) return base::NotFound("no pull hosts");
  absl::Status first;
  for (RegistryHost* host : hosts) {
    auto exchange = Do(context, *host, call, host == hosts.back());
    absl::Status failure = exchange.status();
    if (exchange.ok()) {
      const HttpResponse& response = (*exchange)->response();
      if (response.status >= 200 && response.status < 300) return exchange;
      if (response.status == 404) {
        failure = base::NotFound("content at {} not found", UrlOf(*host, call));
      } else {
        const std::string body = (*exchange)->ReadAll(context, 64000).value_or("");
        failure = UnexpectedStatus(call.method, UrlOf(*host, call), response, body);
      }
    }
    RETURN_IF_ERROR(context.Check());
    if (first.ok() || absl::IsNotFound(first)) first = failure;
  }
  return first;
}

// The descriptor's own URLs: a stranger's servers, who get nothing of ours.
absl::StatusOr<Registry::ExchangePtr> Registry::OpenUrls(const base::Context& context,
                                                         const images::Descriptor& descriptor,
                                                         int64_t offset) {
  for (const std::string& url : descriptor.urls) {
    if (!url.starts_with("http://") && !url.starts_with("https://")) continue;
    RegistryHost stranger;
    Call call{.method = "GET", .absolute_url = url, .authorize = false};
    call.headers = {{"Accept", descriptor.media_type + ", */*"}};
    if (offset > 0) call.headers.emplace_back("Range", fmt::format("bytes={}-", offset));
    ASSIGN_OR_RETURN(ExchangePtr exchange, Do(context, stranger, call, /*last_host=*/true));
    const HttpResponse& response = exchange->response();
    if (response.status >= 200 && response.status < 300) return exchange;
    if (response.status != 404) return UnexpectedStatus("GET", url, response, "");
  }
  return base::NotFound("no url of {}", descriptor.digest);
}

absl::StatusOr<Registry::ExchangePtr> Registry::OpenFor(const base::Context& context,
                                                        const images::Descriptor& descriptor,
                                                        int64_t offset) {
  if (!descriptor.urls.empty()) {
    auto exchange = OpenUrls(context, descriptor, offset);
    if (exchange.ok() || !absl::IsNotFound(exchange.status())) return exchange;
  }
  const bool manifest =
      images::IsManifest(descriptor.media_type) || images::IsIndex(descriptor.media_type);
  Call call{.method = "GET",
            .path = (manifest ? "manifests/" : "blobs/") + descriptor.digest,
            .headers = {{"Accept", descriptor.media_type + ", */*"}},
            .scopes = {"repository:" + reference_.repository() + ":pull"}};
  call.accept_encoding = offset == 0;
  if (offset > 0) call.headers.emplace_back("Range", fmt::format("bytes={}-", offset));
  auto exchange = OpenFetch(context, call);
  if (!absl::IsNotFound(exchange.status()) ||
      exchange.status().message() == "no pull hosts: not found") {
    return exchange;
  }
  return base::NotFound("could not fetch content descriptor {} ({}) from remote", descriptor.digest,
                        descriptor.media_type);
}

absl::StatusOr<std::unique_ptr<BlobStream>> Registry::Fetch(const base::Context& context,
                                                            const images::Descriptor& descriptor,
                                                            int64_t offset) {
  auto stream = std::make_unique<ResumingStream>(*this, descriptor, offset);
  RETURN_IF_ERROR(stream->Open(context));
  return stream;
}

}  // namespace ctrd::registry
