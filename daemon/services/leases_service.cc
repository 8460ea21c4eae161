// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/leases_service.h"

#include <utility>
#include <vector>

#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "services/leases/v1/leases.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::leases::v1;
using base::Context;
using server::Serve;

namespace {

using services::FromProto;
using services::ToProto;

void ToProto(const images::Lease& lease, api::Lease* proto) {
  proto->set_id(lease.id);
  ToProto(lease.created, proto->mutable_created_at());
  ToProto(lease.labels, proto->mutable_labels());
}

images::LeaseResource FromProto(const api::Resource& proto) {
  return {.id = proto.id(), .type = proto.type()};
}

class LeasesService final : public api::Leases::Service {
 public:
  LeasesService(images::LeaseManager* leases, CollectGarbage collect)
      : leases_(leases), collect_(std::move(collect)) {}

  grpc::Status Create(grpc::ServerContext* rpc, const api::CreateRequest* request,
                      api::CreateResponse* response) override {
    return Serve(rpc, "leases.Create", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const images::Lease lease,
                       leases_->Create(context, {.id = request->id(),
                                                 .created = {},
                                                 .labels = FromProto(request->labels())}));
      ToProto(lease, response->mutable_lease());
      return absl::OkStatus();
    });
  }

  grpc::Status Delete(grpc::ServerContext* rpc, const api::DeleteRequest* request,
                      google::protobuf::Empty*) override {
    return Serve(rpc, "leases.Delete", [&](const Context& context) -> absl::Status {
      RETURN_IF_ERROR(leases_->Delete(context, request->id()));
      return request->sync() ? collect_(context) : absl::OkStatus();
    });
  }

  grpc::Status List(grpc::ServerContext* rpc, const api::ListRequest* request,
                    api::ListResponse* response) override {
    return Serve(rpc, "leases.List", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const base::Filter filter, ParseFilters(request->filters()));
      ASSIGN_OR_RETURN(const std::vector<images::Lease> found, leases_->List(context, filter));
      for (const images::Lease& lease : found) ToProto(lease, response->add_leases());
      return absl::OkStatus();
    });
  }

  grpc::Status AddResource(grpc::ServerContext* rpc, const api::AddResourceRequest* request,
                           google::protobuf::Empty*) override {
    return Serve(rpc, "leases.AddResource", [&](const Context& context) {
      return leases_->AddResource(context, request->id(), FromProto(request->resource()));
    });
  }

  grpc::Status DeleteResource(grpc::ServerContext* rpc, const api::DeleteResourceRequest* request,
                              google::protobuf::Empty*) override {
    return Serve(rpc, "leases.DeleteResource", [&](const Context& context) {
      return leases_->DeleteResource(context, request->id(), FromProto(request->resource()));
    });
  }

  grpc::Status ListResources(grpc::ServerContext* rpc, const api::ListResourcesRequest* request,
                             api::ListResourcesResponse* response) override {
    return Serve(rpc, "leases.ListResources", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const std::vector<images::LeaseResource> resources,
                       leases_->ListResources(context, request->id()));
      for (const images::LeaseResource& resource : resources) {
        api::Resource* added = response->add_resources();
        added->set_id(resource.id);
        added->set_type(resource.type);
      }
      return absl::OkStatus();
    });
  }

 private:
  images::LeaseManager* const leases_;
  const CollectGarbage collect_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeLeasesService(images::LeaseManager* leases,
                                                 CollectGarbage collect) {
  return std::make_unique<LeasesService>(leases, std::move(collect));
}

}  // namespace ctrd::services
