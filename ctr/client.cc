// SPDX-License-Identifier: Apache-2.0
#include "ctr/client.h"

#include <sys/stat.h>

#include "base/identifiers.h"
#include "base/time.h"
#include "services/leases/v1/leases.grpc.pb.h"
#include "services/namespaces/v1/namespace.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace leases = containerd::services::leases::v1;
namespace namespaces = containerd::services::namespaces::v1;

constexpr int kMaximumMessageBytes = 16 << 20;
constexpr absl::Duration kDefaultConnectTimeout = absl::Seconds(10);
constexpr absl::Duration kLeaseLifetime = absl::Hours(24);

// A daemon's text ends in the name of the error's class, or else gets it here: what people read is
// the same whichever side wrote it.
std::string WithClassText(absl::StatusCode code, std::string message) {
  const std::string text =
      code == absl::StatusCode::kUnknown ? "unknown" : std::string(base::ClassText(code));
  const auto ends_in = [&](std::string_view class_text) {
    return message == class_text || message.ends_with(": " + std::string(class_text));
  };
  if (text.empty() || ends_in(text)) return message;
  if (code == absl::StatusCode::kFailedPrecondition &&
      (ends_in("conflict") || ends_in("not modified"))) {
    return message;
  }
  return message.empty() ? text : message + ": " + text;
}

absl::Status CheckSocket(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) return absl::OkStatus();
  std::string reason = errno == ENOENT ? "no such file or directory" : std::strerror(errno);
  return base::Unknown("cannot access socket {}: stat {}: {}", path, path, reason);
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  return {code, base::ToAbsl(WithClassText(code, status.error_message()))};
}

absl::StatusOr<Client> Client::Connect(const Invocation& invocation) {
  std::string path = invocation.Text("address");
  if (path.starts_with("unix://")) path.erase(0, 7);
  RETURN_IF_ERROR(CheckSocket(path));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaximumMessageBytes);
  arguments.SetMaxSendMessageSize(kMaximumMessageBytes);
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  Client client;
  client.channel_ =
      grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), arguments);
  client.namespace_ = invocation.Text("namespace");
  if (const absl::Duration timeout = invocation.Duration("timeout");
      timeout > absl::ZeroDuration()) {
    client.deadline_ = absl::Now() + timeout;
  }
  absl::Duration connect = invocation.Duration("connect-timeout");
  if (connect <= absl::ZeroDuration()) connect = kDefaultConnectTimeout;
  if (!client.channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + connect))) {
    return base::Unknown("failed to dial {}: context deadline exceeded", base::Quote(path));
  }
  return client;
}

std::unique_ptr<grpc::ClientContext> Client::NewContext() const {
  auto context = std::make_unique<grpc::ClientContext>();
  context->AddMetadata("containerd-namespace", namespace_);
  if (!lease_.empty()) context->AddMetadata("containerd-lease", lease_);
  if (deadline_ != absl::InfiniteFuture()) context->set_deadline(absl::ToChronoTime(deadline_));
  return context;
}

absl::StatusOr<ScopedLease> ScopedLease::Create(Client& client) {
  if (!client.lease().empty()) return ScopedLease(nullptr, "");
  leases::CreateRequest request;
  request.set_id(base::GenerateName());
  (*request.mutable_labels())["containerd.io/gc.expire"] =
      base::FormatRfc3339(absl::Now() + kLeaseLifetime);
  ASSIGN_OR_RETURN(const auto response, client.Call(&leases::Leases::Stub::Create, request));
  client.set_lease(response.lease().id());
  return ScopedLease(&client, response.lease().id());
}

void ScopedLease::Release() {
  if (client_ == nullptr) return;
  Client* client = std::exchange(client_, nullptr);
  client->set_lease("");
  leases::DeleteRequest request;
  request.set_id(id_);
  (void)client->Call(&leases::Leases::Stub::Delete, request);  // It expires.
}

absl::StatusOr<std::string> ResolveSnapshotter(const Client& client, std::string given) {
  if (!given.empty()) return given;
  namespaces::GetNamespaceRequest request;
  request.set_name(client.namespace_name());
  const auto response = client.Call(&namespaces::Namespaces::Stub::Get, request);
  if (!response.ok() && !absl::IsNotFound(response.status())) return response.status();
  if (response.ok()) {
    const auto& labels = response->namespace_().labels();
    const auto found = labels.find("containerd.io/defaults/snapshotter");
    if (found != labels.end()) return found->second;
  }
  return "overlayfs";
}

}  // namespace ctrd::ctr
