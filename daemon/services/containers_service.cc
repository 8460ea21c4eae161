// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/containers_service.h"

#include <vector>

#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "services/containers/v1/containers.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::containers::v1;
using base::Context;
using metadata::Container;
using server::Serve;

namespace {

using services::FromProto;
using services::ToProto;

void ToProto(const Container& container, api::Container* proto) {
  proto->set_id(container.id);
  ToProto(container.labels, proto->mutable_labels());
  proto->set_image(container.image);
  proto->mutable_runtime()->set_name(container.runtime.name);
  if (!container.runtime.options.empty()) {
    ToProto(container.runtime.options, proto->mutable_runtime()->mutable_options());
  }
  if (!container.spec.empty()) ToProto(container.spec, proto->mutable_spec());
  proto->set_snapshotter(container.snapshotter);
  proto->set_snapshot_key(container.snapshot_key);
  ToProto(container.created, proto->mutable_created_at());
  ToProto(container.updated, proto->mutable_updated_at());
  for (const auto& [name, extension] : container.extensions) {
    ToProto(extension, &(*proto->mutable_extensions())[name]);
  }
  proto->set_sandbox(container.sandbox);
}

Container FromProto(const api::Container& proto) {
  Container container;
  container.id = proto.id();
  container.labels = FromProto(proto.labels());
  container.image = proto.image();
  container.runtime.name = proto.runtime().name();
  container.runtime.options = FromProto(proto.runtime().options());
  container.spec = FromProto(proto.spec());
  container.snapshotter = proto.snapshotter();
  container.snapshot_key = proto.snapshot_key();
  for (const auto& [name, extension] : proto.extensions()) {
    container.extensions[name] = FromProto(extension);
  }
  container.sandbox = proto.sandbox();
  return container;
}

class ContainersService final : public api::Containers::Service {
 public:
  explicit ContainersService(metadata::ContainerStore* containers) : containers_(containers) {}

  grpc::Status Get(grpc::ServerContext* rpc, const api::GetContainerRequest* request,
                   api::GetContainerResponse* response) override {
    return Serve(rpc, "containers.Get", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const Container container, containers_->Get(context, request->id()));
      ToProto(container, response->mutable_container());
      return absl::OkStatus();
    });
  }

  grpc::Status List(grpc::ServerContext* rpc, const api::ListContainersRequest* request,
                    api::ListContainersResponse* response) override {
    return Serve(rpc, "containers.List", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const std::vector<Container> found, Find(context, *request));
      for (const Container& container : found) ToProto(container, response->add_containers());
      return absl::OkStatus();
    });
  }

  grpc::Status ListStream(grpc::ServerContext* rpc, const api::ListContainersRequest* request,
                          grpc::ServerWriter<api::ListContainerMessage>* writer) override {
    return Serve(rpc, "containers.ListStream", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const std::vector<Container> found, Find(context, *request));
      for (const Container& container : found) {
        api::ListContainerMessage message;
        ToProto(container, message.mutable_container());
        if (!writer->Write(message)) return base::MakeError(absl::StatusCode::kCancelled, "");
      }
      return absl::OkStatus();
    });
  }

  grpc::Status Create(grpc::ServerContext* rpc, const api::CreateContainerRequest* request,
                      api::CreateContainerResponse* response) override {
    return Serve(rpc, "containers.Create", [&](const Context& context) -> absl::Status {
      if (!request->has_container()) return Missing("container");
      ASSIGN_OR_RETURN(const Container container,
                       containers_->Create(context, FromProto(request->container())));
      ToProto(container, response->mutable_container());
      return absl::OkStatus();
    });
  }

  grpc::Status Update(grpc::ServerContext* rpc, const api::UpdateContainerRequest* request,
                      api::UpdateContainerResponse* response) override {
    return Serve(rpc, "containers.Update", [&](const Context& context) -> absl::Status {
      if (!request->has_container()) return Missing("container");
      ASSIGN_OR_RETURN(const Container container,
                       containers_->Update(context, FromProto(request->container()),
                                           PathsOf(request->update_mask())));
      ToProto(container, response->mutable_container());
      return absl::OkStatus();
    });
  }

  grpc::Status Delete(grpc::ServerContext* rpc, const api::DeleteContainerRequest* request,
                      google::protobuf::Empty*) override {
    return Serve(rpc, "containers.Delete", [&](const Context& context) {
      return containers_->Delete(context, request->id());
    });
  }

 private:
  absl::StatusOr<std::vector<Container>> Find(const Context& context,
                                              const api::ListContainersRequest& request) {
    ASSIGN_OR_RETURN(const base::Filter filter, ParseFilters(request.filters()));
    return containers_->List(context, filter);
  }

  metadata::ContainerStore* const containers_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeContainersService(metadata::ContainerStore* containers) {
  return std::make_unique<ContainersService>(containers);
}

}  // namespace ctrd::services
