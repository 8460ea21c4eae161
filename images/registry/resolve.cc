// SPDX-License-Identifier: Apache-2.0

// From a name to a descriptor.
#include <optional>

#include "base/digest.h"
#include "base/status.h"
#include "images/registry/registry.h"
#include "images/spec/media_types.h"

namespace ctrd::registry {
namespace {

constexpr int64_t kMaxManifestBytes = 4 * 1048 * 1048;
constexpr std::string_view kManifestAccept =
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

// How much a failure tells: of several hosts' failures the most telling one is reported.
enum class Failure { kNone, kTransport, kNotFound, kStatus, kTooLarge };

Failure KindOf(const absl::Status& status) {
  if (status.ok()) return Failure::kNone;
  const std::string message = base::MessageOf(status);
  if (message.starts_with("rejecting ")) return Failure::kTooLarge;
  if (absl::IsNotFound(status)) return Failure::kNotFound;
  if (message.starts_with("unexpected status from ")) return Failure::kStatus;
  return Failure::kTransport;
}

bool IsEnd(const absl::Status& status) {
  return status.code() == absl::StatusCode::kCancelled ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

}  // namespace

absl::StatusOr<images::Descriptor> Registry::ResolveOn(const base::Context& context,
                                                       RegistryHost& host, const std::string& path,
                                                       bool last_host) {
  const std::string name = reference_.text();
  Call call{.method = "HEAD",
            .path = path,
            .headers = {{"Accept", std::string(kManifestAccept)}},
            .scopes = {"repository:" + reference_.repository() + ":pull"}};
  ASSIGN_OR_RETURN(ExchangePtr exchange, Do(context, host, call, last_host));
  if (exchange->response().status == 403) {
    // The body that says why comes with a GET only.
    call.method = "GET";
    ASSIGN_OR_RETURN(ExchangePtr diagnostic, Do(context, host, call, last_host));
    if (diagnostic->response().status == 403) exchange = std::move(diagnostic);
  }
  const int status = exchange->response().status;
  if (status == 404) return base::NotFound("{}", name);
  if (status < 200 || status > 299) {
    const std::string body = exchange->ReadAll(context, 64000).value_or("");
    return UnexpectedStatus(call.method, UrlOf(host, call), exchange->response(), body);
  }
  images::Descriptor descriptor;
  std::string_view type = exchange->response().Header("content-type");
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  descriptor.media_type = type == "text/plain" ? images::kDockerSchema1 : type;
  descriptor.size_bytes = exchange->response().ContentLength();
  descriptor.digest = reference_.digest();
  if (descriptor.digest.empty()) {
    descriptor.digest = exchange->response().Header("docker-content-digest");
  }
  if (!descriptor.digest.empty()) RETURN_IF_ERROR(base::Digest::Parse(descriptor.digest).status());
  if (descriptor.size_bytes > kMaxManifestBytes) {
    return base::NotFound("rejecting {} byte manifest for {}", descriptor.size_bytes, name);
  }
  if (!descriptor.digest.empty() && descriptor.size_bytes >= 0) return descriptor;

  call.method = "GET";
  ASSIGN_OR_RETURN(exchange, Do(context, host, call, last_host));
  if (exchange->response().status != 200) {
    return UnexpectedStatus("GET", UrlOf(host, call), exchange->response(), "");
  }
  const auto body = exchange->ReadAll(context, kMaxManifestBytes);
  if (absl::IsResourceExhausted(body.status())) {
    return base::NotFound("rejecting manifest of more than {} byte for {}", kMaxManifestBytes,
                          name);
  }
  RETURN_IF_ERROR(body.status());
  descriptor.size_bytes = static_cast<int64_t>(body->size());
  if (descriptor.digest.empty()) descriptor.digest = base::Digest::Of(*body).text();
  return descriptor;
}

absl::StatusOr<images::Descriptor> Registry::Resolve(const base::Context& context) {
  if (reference_.object.empty()) return base::Unknown("object required");
  const std::string digest = reference_.digest();
  std::vector<std::string> paths = {"manifests/" + reference_.tag()};
  if (!digest.empty()) {
    RETURN_IF_ERROR(base::Digest::Parse(digest).status());
    paths = {"manifests/" + digest, "blobs/" + digest};
  }
  const auto hosts = Candidates(&Capabilities::pull, /*also_resolve=*/digest.empty());
  if (hosts.empty()) return base::NotFound("no resolve hosts");
  absl::Status worst;
  for (const std::string& path : paths) {
    // Only "there is no such manifest" makes a blob of that digest worth asking for.
    if (KindOf(worst) > Failure::kNotFound) break;
    for (RegistryHost* host : hosts) {
      auto descriptor = ResolveOn(context, *host, path, host == hosts.back());
      if (descriptor.ok() || IsEnd(descriptor.status())) return descriptor;
      if (KindOf(descriptor.status()) > KindOf(worst)) worst = descriptor.status();
    }
  }
  return worst;
}

}  // namespace ctrd::registry
