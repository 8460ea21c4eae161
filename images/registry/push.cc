// SPDX-License-Identifier: Apache-2.0

// Uploads.
#include "base/log.h"
#include "base/status.h"
#include "images/registry/registry.h"

namespace ctrd::registry {
namespace {

bool IsOneOf(int status, std::initializer_list<int> accepted) {
  for (const int each : accepted) {
    if (status == each) return true;
  }
  return false;
}

// Where an upload goes: absolute, a path, or "host/path" without a scheme.
std::string UploadUrl(const RegistryHost& host, std::string_view location) {
  const std::string origin = host.scheme + "://" + host.host;
  if (location.find("://") != std::string_view::npos) return std::string(location);
  if (location.starts_with('/')) return origin + std::string(location);
  return fmt::format("{}://{}", host.scheme, location);
}

}  // namespace

absl::StatusOr<RegistryHost*> Registry::PushHost() {
  const auto hosts = Candidates(&Capabilities::push, /*also_resolve=*/false);
  if (hosts.empty()) return base::NotFound("no push hosts");
  return hosts.front();
}

absl::StatusOr<PushOutcome> Registry::PushBlob(const base::Context& context,
                                               const images::Descriptor& descriptor,
                                               const HttpBody& body,
                                               const std::string& mount_from) {
  ASSIGN_OR_RETURN(RegistryHost* const host, PushHost());
  Call head{.method = "HEAD",
            .path = "blobs/" + descriptor.digest,
            .headers = {{"Accept", descriptor.media_type + ", */*"}},
            .scopes = {"repository:" + reference_.repository() + ":pull,push"}};
  {
    ASSIGN_OR_RETURN(const ExchangePtr exchange, Do(context, *host, head, /*last_host=*/true));
    const int status = exchange->response().status;
    if (status == 200) return PushOutcome::kExisted;
    if (status != 404) {
      return UnexpectedStatus("HEAD", UrlOf(*host, head), exchange->response(), "");
    }
  }
  return Upload(context, *host, descriptor, body, mount_from);
}

absl::StatusOr<PushOutcome> Registry::Upload(const base::Context& context, RegistryHost& host,
                                             const images::Descriptor& descriptor,
                                             const HttpBody& body, const std::string& mount_from) {
  Call post{.method = "POST",
            .path = "blobs/uploads/",
            .scopes = {"repository:" + reference_.repository() + ":pull,push"}};
  ExchangePtr exchange;
  if (!mount_from.empty()) {
    Call mount = post;
    mount.query =
        fmt::format("mount={}&from={}", EncodeQuery(descriptor.digest), EncodeQuery(mount_from));
    mount.scopes.insert("repository:" + mount_from + ":pull");
    auto mounted = Do(context, host, mount, /*last_host=*/true);
    RETURN_IF_ERROR(context.Check());
    // A registry that lets us push here, but not read there, gets a plain upload.
    if (mounted.ok() && (*mounted)->response().status != 401) exchange = *std::move(mounted);
  }
  if (exchange == nullptr) {
    ASSIGN_OR_RETURN(exchange, Do(context, host, post, /*last_host=*/true));
  }
  const HttpResponse& response = exchange->response();
  if (response.status == 201) return PushOutcome::kMounted;
  if (!IsOneOf(response.status, {200, 202, 204})) {
    const std::string text = exchange->ReadAll(context, 64000).value_or("");
    return UnexpectedStatus("POST", UrlOf(host, post), response, text);
  }
  const std::string_view location = response.Header("location");
  if (location.empty()) return base::Unknown("upload of {}: no location", descriptor.digest);
  std::string url = UploadUrl(host, location);
  url += fmt::format("{}digest={}", url.find('?') == std::string::npos ? "?" : "&",
                     EncodeQuery(descriptor.digest));
  Call put{.method = "PUT",
           .headers = {{"Content-Type", "application/octet-stream"}},
           .body = body,
           .scopes = post.scopes,
           .absolute_url = url,
           .authorize = url.starts_with(host.scheme + "://" + host.host + "/")};
  exchange.reset();
  ASSIGN_OR_RETURN(exchange, Do(context, host, put, /*last_host=*/true));
  const HttpResponse& done = exchange->response();
  if (!IsOneOf(done.status, {200, 201, 202, 204})) {
    const std::string text = exchange->ReadAll(context, 64000).value_or("");
    return UnexpectedStatus("PUT", url.substr(0, url.find('?')), done, text);
  }
  const std::string_view digest = done.Header("docker-content-digest");
  if (!digest.empty() && digest != descriptor.digest) {
    return base::Unknown("got digest {}, expected {}", digest, descriptor.digest);
  }
  return PushOutcome::kPushed;
}

std::string Registry::ManifestObject(const images::Descriptor& descriptor) const {
  const std::string tag = reference_.tag();
  const std::string digest = reference_.digest();
  if (!tag.empty() && (digest.empty() || digest == descriptor.digest)) return tag;
  return descriptor.digest;
}

absl::StatusOr<PushOutcome> Registry::PushManifest(const base::Context& context,
                                                   const images::Descriptor& descriptor,
                                                   const HttpBody& body) {
  ASSIGN_OR_RETURN(RegistryHost* const host, PushHost());
  Call head{.method = "HEAD",
            .path = "manifests/" + ManifestObject(descriptor),
            .headers = {{"Accept", descriptor.media_type + ", */*"}},
            .scopes = {"repository:" + reference_.repository() + ":pull,push"}};
  {
    ASSIGN_OR_RETURN(const ExchangePtr exchange, Do(context, *host, head, /*last_host=*/true));
    const HttpResponse& response = exchange->response();
    if (response.status == 200 && response.Header("docker-content-digest") == descriptor.digest) {
      return PushOutcome::kExisted;
    }
    if (response.status != 200 && response.status != 404) {
      return UnexpectedStatus("HEAD", UrlOf(*host, head), response, "");
    }
  }
  Call put = head;
  put.method = "PUT";
  put.headers = {{"Content-Type", descriptor.media_type}};
  put.body = body;
  ASSIGN_OR_RETURN(const ExchangePtr exchange, Do(context, *host, put, /*last_host=*/true));
  const HttpResponse& response = exchange->response();
  if (!IsOneOf(response.status, {200, 201, 202, 204})) {
    const std::string text = exchange->ReadAll(context, 64000).value_or("");
    return UnexpectedStatus("PUT", UrlOf(*host, put), response, text);
  }
  const std::string_view digest = response.Header("docker-content-digest");
  if (!digest.empty() && digest != descriptor.digest) {
    return base::Unknown("got digest {}, expected {}", digest, descriptor.digest);
  }
  return PushOutcome::kPushed;
}

}  // namespace ctrd::registry
