// SPDX-License-Identifier: Apache-2.0
// The connection to a daemon: calls carry the namespace, the lease and the deadline, and errors
// come back as absl::Status with the daemon's text.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "ctr/cli/command.h"

namespace ctrd::ctr {

absl::Status FromGrpc(const grpc::Status& status);

// Thread-safe, except for set_lease.
class Client {
 public:
  // By the program's flags: --address, --namespace, --timeout, --connect-timeout.
  static absl::StatusOr<Client> Connect(const Invocation& invocation);

  const std::string& namespace_name() const { return namespace_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // Calls made from now on belong to lease `id`; "" for none.
  void set_lease(std::string id) { lease_ = std::move(id); }
  const std::string& lease() const { return lease_; }

  // A context for one call, to be used at once.
  std::unique_ptr<grpc::ClientContext> NewContext() const;

  // client.Call(&images::Images::Stub::Get, request)
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) const {
    Stub stub(channel_);
    const auto context = NewContext();
    Response response;
    const grpc::Status status = (stub.*method)(context.get(), request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  // Calls `visit` with each message of the answer; what it returns other than OK ends the call.
  template <typename Stub, typename Request, typename Response, typename Visit>
  absl::Status Stream(std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(
                          grpc::ClientContext*, const Request&),
                      const Request& request, Visit visit) const {
    Stub stub(channel_);
    const auto context = NewContext();
    const auto reader = (stub.*method)(context.get(), request);
    for (Response response; reader->Read(&response);) {
      if (absl::Status status = visit(response); !status.ok()) {
        context->TryCancel();
        (void)reader->Finish();  // The call is dropped: our own error is the one that counts.
        return status;
      }
    }
    return FromGrpc(reader->Finish());
  }

 private:
  Client() = default;

  std::shared_ptr<grpc::Channel> channel_;
  std::string namespace_;
  std::string lease_;
  absl::Time deadline_ = absl::InfiniteFuture();
};

// A lease for as long as the object lives; the client's calls belong to it meanwhile. A client that
// has a lease already keeps it, and nothing is made.
class ScopedLease {
 public:
  static absl::StatusOr<ScopedLease> Create(Client& client);
  ScopedLease(ScopedLease&& other) noexcept
      : client_(std::exchange(other.client_, nullptr)), id_(std::move(other.id_)) {}
  ScopedLease& operator=(ScopedLease&&) = delete;
  ~ScopedLease() { Release(); }
  void Release();  // Deletes the lease now. What fails is left to the lease's expiry.

 private:
  ScopedLease(Client* client, std::string id) : client_(client), id_(std::move(id)) {}
  Client* client_;
  std::string id_;
};

// `given` if it is not empty; else what the namespace's labels or the API's conventions say.
absl::StatusOr<std::string> ResolveSnapshotter(const Client& client, std::string given);

}  // namespace ctrd::ctr
