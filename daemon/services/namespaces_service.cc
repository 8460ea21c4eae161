// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/namespaces_service.h"

#include <vector>

#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "services/namespaces/v1/namespace.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::namespaces::v1;
using base::Context;
using metadata::Namespace;
using server::Serve;

namespace {

using services::FromProto;
using services::ToProto;

void ToProto(const Namespace& name_space, api::Namespace* proto) {
  proto->set_name(name_space.name);
  ToProto(name_space.labels, proto->mutable_labels());
}

Namespace FromProto(const api::Namespace& proto) {
  return {.name = proto.name(), .labels = FromProto(proto.labels())};
}

// Needs no namespace of the call: it is about all of them.
class NamespacesService final : public api::Namespaces::Service {
 public:
  explicit NamespacesService(metadata::NamespaceStore* namespaces) : namespaces_(namespaces) {}

  grpc::Status Get(grpc::ServerContext* rpc, const api::GetNamespaceRequest* request,
                   api::GetNamespaceResponse* response) override {
    return Serve(rpc, "namespaces.Get", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const Namespace found, namespaces_->Get(context, request->name()));
      ToProto(found, response->mutable_namespace_());
      return absl::OkStatus();
    });
  }

  grpc::Status List(grpc::ServerContext* rpc, const api::ListNamespacesRequest*,
                    api::ListNamespacesResponse* response) override {
    return Serve(rpc, "namespaces.List", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const std::vector<Namespace> found, namespaces_->List(context));
      for (const Namespace& name_space : found) ToProto(name_space, response->add_namespaces());
      return absl::OkStatus();
    });
  }

  grpc::Status Create(grpc::ServerContext* rpc, const api::CreateNamespaceRequest* request,
                      api::CreateNamespaceResponse* response) override {
    return Serve(rpc, "namespaces.Create", [&](const Context& context) -> absl::Status {
      if (!request->has_namespace_()) return Missing("namespace");
      RETURN_IF_ERROR(namespaces_->Create(context, FromProto(request->namespace_())).status());
      *response->mutable_namespace_() = request->namespace_();
      return absl::OkStatus();
    });
  }

  grpc::Status Update(grpc::ServerContext* rpc, const api::UpdateNamespaceRequest* request,
                      api::UpdateNamespaceResponse*) override {
    return Serve(rpc, "namespaces.Update", [&](const Context& context) -> absl::Status {
      if (!request->has_namespace_()) return Missing("namespace");
      return namespaces_
          ->Update(context, FromProto(request->namespace_()), PathsOf(request->update_mask()))
          .status();
    });
  }

  grpc::Status Delete(grpc::ServerContext* rpc, const api::DeleteNamespaceRequest* request,
                      google::protobuf::Empty*) override {
    return Serve(rpc, "namespaces.Delete", [&](const Context& context) {
      return namespaces_->Delete(context, request->name());
    });
  }

 private:
  metadata::NamespaceStore* const namespaces_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeNamespacesService(metadata::NamespaceStore* namespaces) {
  return std::make_unique<NamespacesService>(namespaces);
}

}  // namespace ctrd::services
