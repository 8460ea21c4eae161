// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/sandboxes_service.h"

#include <vector>

#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "services/sandbox/v1/sandbox.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::sandbox::v1;
using base::Context;
using metadata::Sandbox;
using server::Serve;

namespace {

using services::ToProto;

void ToProto(const Sandbox& sandbox, containerd::types::Sandbox* proto) {
  proto->set_sandbox_id(sandbox.id);
  proto->mutable_runtime()->set_name(sandbox.runtime.name);
  if (!sandbox.runtime.options.empty()) {
    ToProto(sandbox.runtime.options, proto->mutable_runtime()->mutable_options());
  }
  if (!sandbox.spec.empty()) ToProto(sandbox.spec, proto->mutable_spec());
  ToProto(sandbox.labels, proto->mutable_labels());
  ToProto(sandbox.created, proto->mutable_created_at());
  ToProto(sandbox.updated, proto->mutable_updated_at());
  for (const auto& [name, extension] : sandbox.extensions) {
    ToProto(extension, &(*proto->mutable_extensions())[name]);
  }
  proto->set_sandboxer(sandbox.sandboxer);
}

class SandboxesService final : public api::Store::Service {
 public:
  explicit SandboxesService(metadata::SandboxStore* sandboxes) : sandboxes_(sandboxes) {}

  grpc::Status Create(grpc::ServerContext* rpc, const api::StoreCreateRequest* request,
                      api::StoreCreateResponse* response) override {
    return Serve(rpc, "sandboxes.Create", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const Sandbox sandbox,
                       sandboxes_->Create(context, services::FromProto(request->sandbox())));
      ToProto(sandbox, response->mutable_sandbox());
      return absl::OkStatus();
    });
  }

  grpc::Status Update(grpc::ServerContext* rpc, const api::StoreUpdateRequest* request,
                      api::StoreUpdateResponse* response) override {
    return Serve(rpc, "sandboxes.Update", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const Sandbox sandbox,
                       sandboxes_->Update(context, services::FromProto(request->sandbox()),
                                          services::FromProto(request->fields())));
      ToProto(sandbox, response->mutable_sandbox());
      return absl::OkStatus();
    });
  }

  grpc::Status Delete(grpc::ServerContext* rpc, const api::StoreDeleteRequest* request,
                      api::StoreDeleteResponse*) override {
    return Serve(rpc, "sandboxes.Delete", [&](const Context& context) {
      return sandboxes_->Delete(context, request->sandbox_id());
    });
  }

  grpc::Status List(grpc::ServerContext* rpc, const api::StoreListRequest* request,
                    api::StoreListResponse* response) override {
    return Serve(rpc, "sandboxes.List", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const base::Filter filter, ParseFilters(request->filters()));
      ASSIGN_OR_RETURN(const std::vector<Sandbox> found, sandboxes_->List(context, filter));
      for (const Sandbox& sandbox : found) ToProto(sandbox, response->add_list());
      return absl::OkStatus();
    });
  }

  grpc::Status Get(grpc::ServerContext* rpc, const api::StoreGetRequest* request,
                   api::StoreGetResponse* response) override {
    return Serve(rpc, "sandboxes.Get", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const Sandbox sandbox, sandboxes_->Get(context, request->sandbox_id()));
      ToProto(sandbox, response->mutable_sandbox());
      return absl::OkStatus();
    });
  }

 private:
  metadata::SandboxStore* const sandboxes_;
};

}  // namespace

Sandbox FromProto(const containerd::types::Sandbox& proto) {
  Sandbox sandbox;
  sandbox.id = proto.sandbox_id();
  sandbox.runtime.name = proto.runtime().name();
  sandbox.runtime.options = FromProto(proto.runtime().options());
  sandbox.spec = FromProto(proto.spec());
  sandbox.labels = FromProto(proto.labels());
  for (const auto& [name, extension] : proto.extensions()) {
    sandbox.extensions[name] = FromProto(extension);
  }
  sandbox.sandboxer = proto.sandboxer();
  return sandbox;
}

std::unique_ptr<grpc::Service> MakeSandboxesService(metadata::SandboxStore* sandboxes) {
  return std::make_unique<SandboxesService>(sandboxes);
}

}  // namespace ctrd::services
