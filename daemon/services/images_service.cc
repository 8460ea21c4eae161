// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/images_service.h"

#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "services/images/v1/images.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::images::v1;
using base::Context;
using server::Serve;

namespace {

using services::FromProto;
using services::ToProto;

void ToProto(const images::Image& image, api::Image* proto) {
  proto->set_name(image.name);
  ToProto(image.labels, proto->mutable_labels());
  ToProto(image.target, proto->mutable_target());
  ToProto(image.created, proto->mutable_created_at());
  ToProto(image.updated, proto->mutable_updated_at());
}

images::Image FromProto(const api::Image& proto) {
  return {.name = proto.name(),
          .labels = FromProto(proto.labels()),
          .target = FromProto(proto.target()),
          .created = {},
          .updated = {}};
}

template <typename Request>
std::optional<absl::Time> EpochOf(const Request& request) {
  if (!request.has_source_date_epoch()) return std::nullopt;
  return FromProto(request.source_date_epoch());
}

class ImagesService final : public api::Images::Service {
 public:
  ImagesService(images::ImageStore* images, CollectGarbage collect)
      : images_(images), collect_(std::move(collect)) {}

  grpc::Status Get(grpc::ServerContext* rpc, const api::GetImageRequest* request,
                   api::GetImageResponse* response) override {
    return Serve(rpc, "images.Get", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const images::Image image, images_->Get(context, request->name()));
      ToProto(image, response->mutable_image());
      return absl::OkStatus();
    });
  }

  grpc::Status List(grpc::ServerContext* rpc, const api::ListImagesRequest* request,
                    api::ListImagesResponse* response) override {
    return Serve(rpc, "images.List", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(const base::Filter filter, ParseFilters(request->filters()));
      ASSIGN_OR_RETURN(const std::vector<images::Image> found, images_->List(context, filter));
      for (const images::Image& image : found) ToProto(image, response->add_images());
      return absl::OkStatus();
    });
  }

  grpc::Status Create(grpc::ServerContext* rpc, const api::CreateImageRequest* request,
                      api::CreateImageResponse* response) override {
    return Serve(rpc, "images.Create", [&](const Context& context) -> absl::Status {
      if (!request->has_image()) return Missing("image");
      ASSIGN_OR_RETURN(const images::Image image,
                       images_->Create(context, FromProto(request->image()), EpochOf(*request)));
      ToProto(image, response->mutable_image());
      return absl::OkStatus();
    });
  }

  grpc::Status Update(grpc::ServerContext* rpc, const api::UpdateImageRequest* request,
                      api::UpdateImageResponse* response) override {
    return Serve(rpc, "images.Update", [&](const Context& context) -> absl::Status {
      if (!request->has_image()) return Missing("image");
      ASSIGN_OR_RETURN(const images::Image image,
                       images_->Update(context, FromProto(request->image()),
                                       PathsOf(request->update_mask()), EpochOf(*request)));
      ToProto(image, response->mutable_image());
      return absl::OkStatus();
    });
  }

  grpc::Status Delete(grpc::ServerContext* rpc, const api::DeleteImageRequest* request,
                      google::protobuf::Empty*) override {
    return Serve(rpc, "images.Delete", [&](const Context& context) -> absl::Status {
      std::optional<images::Descriptor> target;
      if (request->has_target()) target = FromProto(request->target());
      RETURN_IF_ERROR(images_->Delete(context, request->name(), target));
      return request->sync() ? collect_(context) : absl::OkStatus();
    });
  }

 private:
  images::ImageStore* const images_;
  const CollectGarbage collect_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeImagesService(images::ImageStore* images,
                                                 CollectGarbage collect) {
  return std::make_unique<ImagesService>(images, std::move(collect));
}

}  // namespace ctrd::services
