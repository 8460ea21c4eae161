// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/mounts_service.h"

#include <utility>
#include <vector>

#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "services/mounts/v1/mounts.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::mounts::v1;
using base::Context;
using server::Serve;

namespace {

using services::ToProto;

void ToProto(const base::Mount& mount, containerd::types::Mount* proto) {
  google::protobuf::RepeatedPtrField<containerd::types::Mount> list;
  ToProto(base::Mounts{mount}, &list);
  proto->Swap(list.Mutable(0));
}

void ToProto(const base::Activation& activation, containerd::types::ActivationInfo* proto) {
  proto->set_name(activation.name);
  for (const base::ActiveMount& active : activation.active) {
    containerd::types::ActiveMount* added = proto->add_active();
    ToProto(active.mount, added->mutable_mount());
    ToProto(active.mounted_at, added->mutable_mounted_at());
    added->set_mount_point(active.mount_point);
  }
  ToProto(activation.system, proto->mutable_system());
  ToProto(activation.labels, proto->mutable_labels());
}

class MountsService final : public api::Mounts::Service {
 public:
  explicit MountsService(base::MountManager* mounts) : mounts_(mounts) {}

  grpc::Status Activate(grpc::ServerContext* rpc, const api::ActivateRequest* request,
                        api::ActivateResponse* response) override {
    return Serve(rpc, "mounts.Activate", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const base::Activation activation,
                       mounts_->Activate(context, request->name(), FromProto(request->mounts()),
                                         {.labels = FromProto(request->labels()),
                                          .temporary = request->temporary()}));
      ToProto(activation, response->mutable_info());
      return absl::OkStatus();
    });
  }

  grpc::Status Deactivate(grpc::ServerContext* rpc, const api::DeactivateRequest* request,
                          google::protobuf::Empty*) override {
    return Serve(rpc, "mounts.Deactivate", [&](const Context& context) -> absl::Status {
      return mounts_->Deactivate(context, request->name());
    });
  }

  grpc::Status Info(grpc::ServerContext* rpc, const api::InfoRequest* request,
                    api::InfoResponse* response) override {
    return Serve(rpc, "mounts.Info", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const base::Activation activation, mounts_->Info(context, request->name()));
      ToProto(activation, response->mutable_info());
      return absl::OkStatus();
    });
  }

  grpc::Status List(grpc::ServerContext* rpc, const api::ListRequest*,
                    grpc::ServerWriter<api::ListMessage>* writer) override {
    return Serve(rpc, "mounts.List", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const std::vector<base::Activation> all, mounts_->List(context));
      for (const base::Activation& activation : all) {
        api::ListMessage message;
        ToProto(activation, message.mutable_info());
        if (!writer->Write(message)) return base::MakeError(absl::StatusCode::kCancelled, "");
      }
      return absl::OkStatus();
    });
  }

 private:
  base::MountManager* const mounts_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeMountsService(base::MountManager* mounts) {
  return std::make_unique<MountsService>(mounts);
}

}  // namespace ctrd::services
