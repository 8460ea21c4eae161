// SPDX-License-Identifier: Apache-2.0

// Registry: one repository of an OCI registry, on whichever of its hosts answers.
// Source document: docs/api/distribution.md (sections 3, 4, 6, 8).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/context.h"
#include "images/descriptor.h"
#include "images/registry/authorizer.h"
#include "images/registry/hosts.h"
#include "images/registry/http_client.h"
#include "images/spec/reference.h"

namespace ctrd::registry {

using images::Reference;

// A body that is being fetched. A connection that breaks is taken up again where it broke. Nothing
// here verifies digests. Used by one thread at a time.
class BlobStream {
 public:
  virtual ~BlobStream() = default;
  // Exchanges `chunk` for the next piece, "" at the end.
  virtual absl::Status Read(const base::Context& context, std::string& chunk) = 0;
};

struct RegistryOptions {
  HostOptions hosts;
  Headers headers;  // Of every request to the registry's own hosts.
  CredentialsCallback credentials;
};

enum class PushOutcome { kPushed, kExisted, kMounted };

// Thread-safe.
class Registry {
 public:
  // Of the repository that `reference` names; nothing is asked yet. `http` outlives it.
  static absl::StatusOr<std::unique_ptr<Registry>> Open(HttpClient& http, Reference reference,
                                                        RegistryOptions options);

  const Reference& reference() const { return reference_; }

  // What the reference's object points at: media type, digest and size.
  //   kNotFound  "<reference>: not found"
  //   kUnknown   "object required", "unexpected status from HEAD request to <url>: <status>"
  absl::StatusOr<images::Descriptor> Resolve(const base::Context& context);

  // The blob or manifest from `offset` on.
  //   kNotFound  "could not fetch content descriptor <digest> (<type>) from remote: not found"
  absl::StatusOr<std::unique_ptr<BlobStream>> Fetch(const base::Context& context,
                                                    const images::Descriptor& descriptor,
                                                    int64_t offset);

  // Uploads what `body` reads, unless it is there. `mount_from` names repositories of this registry
  // which have it too, best first.
  absl::StatusOr<PushOutcome> PushBlob(const base::Context& context,
                                       const images::Descriptor& descriptor, const HttpBody& body,
                                       const std::string& mount_from);
  // By the reference's tag if the descriptor is what it is for, else by digest.
  absl::StatusOr<PushOutcome> PushManifest(const base::Context& context,
                                           const images::Descriptor& descriptor,
                                           const HttpBody& body);

 private:
  friend class ResumingStream;
  struct Call {
    std::string method;
    std::string path;   // Below the repository: "manifests/latest".
    std::string query;  // Without '?'.
    Headers headers;
    HttpBody body;
    std::set<std::string> scopes;
    bool accept_encoding = false;
    std::string absolute_url;  // Instead of host, path and query: an upload's location.
    bool authorize = true;     // Credentials and configured headers go along.
  };
  using ExchangePtr = std::unique_ptr<HttpExchange>;

  Registry(HttpClient& http, Reference reference, RegistryOptions options,
           std::vector<RegistryHost> hosts);

  std::string UrlOf(const RegistryHost& host, const Call& call) const;
  absl::StatusOr<ExchangePtr> Do(const base::Context& context, RegistryHost& host, Call call,
                                 bool last_host);
  absl::StatusOr<ExchangePtr> SendFollowing(const base::Context& context, RegistryHost& host,
                                            const Call& call);
  absl::StatusOr<ExchangePtr> SendOnce(const base::Context& context, RegistryHost& host,
                                       HttpRequest request, bool own_host);
  absl::StatusOr<images::Descriptor> ResolveOn(const base::Context& context, RegistryHost& host,
                                               const std::string& path, bool last_host);
  absl::StatusOr<ExchangePtr> OpenFetch(const base::Context& context, const Call& call);
  absl::StatusOr<ExchangePtr> OpenUrls(const base::Context& context,
                                       const images::Descriptor& descriptor, int64_t offset);
  absl::StatusOr<ExchangePtr> OpenFor(const base::Context& context,
                                      const images::Descriptor& descriptor, int64_t offset);
  absl::StatusOr<RegistryHost*> PushHost();
  absl::StatusOr<PushOutcome> Upload(const base::Context& context, RegistryHost& host,
                                     const images::Descriptor& descriptor, const HttpBody& body,
                                     const std::string& mount_from);
  std::string ManifestObject(const images::Descriptor& descriptor) const;
  std::vector<RegistryHost*> Candidates(bool Capabilities::*needed, bool also_resolve);
  bool IsDown(const RegistryHost& host);

  HttpClient& http_;
  const Reference reference_;
  const RegistryOptions options_;
  std::vector<RegistryHost> hosts_;  // Entries are stable; `scheme` only changes under `mutex_`.
  Authorizer authorizer_;
  std::mutex mutex_;
  std::set<std::string> down_;  // Hosts that could not be reached: tried last.
};

// The text of an answer that is no success, for people: the status line, and what the registry
// says.
absl::Status UnexpectedStatus(std::string_view method, std::string_view url,
                              const HttpResponse& response, std::string_view body);

}  // namespace ctrd::registry
