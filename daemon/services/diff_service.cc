// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/diff_service.h"

#include <functional>
#include <utility>

#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "services/diff/v1/diff.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::diff::v1;
using base::Context;
using server::Serve;

namespace {

class DiffService final : public api::Diff::Service {
 public:
  DiffService(std::vector<diff::Differ*> differs, bool sync_fs)
      : differs_(std::move(differs)), sync_fs_(sync_fs) {}

  grpc::Status Apply(grpc::ServerContext* rpc, const api::ApplyRequest* request,
                     api::ApplyResponse* response) override {
    return Serve(rpc, "diff.Apply", [&](const Context& context) -> absl::Status {
      const images::Descriptor layer = FromProto(request->diff());
      const base::Mounts mounts = FromProto(request->mounts());
      diff::ApplyOptions options;
      options.sync_fs = request->sync_fs() || sync_fs_;
      for (const auto& [id, payload] : request->payloads()) {
        options.payloads[id] = FromProto(payload);
      }
      ASSIGN_OR_RETURN(const images::Descriptor applied, FirstAble([&](diff::Differ& differ) {
                         return differ.Apply(context, layer, mounts, options);
                       }));
      ToProto(applied, response->mutable_applied());
      return absl::OkStatus();
    });
  }

  grpc::Status Diff(grpc::ServerContext* rpc, const api::DiffRequest* request,
                    api::DiffResponse* response) override {
    return Serve(rpc, "diff.Diff", [&](const Context& context) -> absl::Status {
      diff::CompareOptions options{.media_type = request->media_type(),
                                   .ref = request->ref(),
                                   .labels = FromProto(request->labels()),
                                   .source_date_epoch = {}};
      if (request->has_source_date_epoch()) {
        options.source_date_epoch = FromProto(request->source_date_epoch());
      }
      const base::Mounts left = FromProto(request->left());
      const base::Mounts right = FromProto(request->right());
      ASSIGN_OR_RETURN(const images::Descriptor made, FirstAble([&](diff::Differ& differ) {
                         return differ.Compare(context, left, right, options);
                       }));
      ToProto(made, response->mutable_diff());
      return absl::OkStatus();
    });
  }

 private:
  // The answer of the first differ that does not call the job none of its business.
  absl::StatusOr<images::Descriptor> FirstAble(
      const std::function<absl::StatusOr<images::Descriptor>(diff::Differ&)>& call) const {
    absl::StatusOr<images::Descriptor> result = base::Unimplemented("no differ is loaded");
    for (diff::Differ* differ : differs_) {
      result = call(*differ);
      if (!absl::IsUnimplemented(result.status())) break;
    }
    return result;
  }

  const std::vector<diff::Differ*> differs_;
  const bool sync_fs_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeDiffService(std::vector<diff::Differ*> differs, bool sync_fs) {
  return std::make_unique<DiffService>(std::move(differs), sync_fs);
}

}  // namespace ctrd::services
