// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/snapshots_service.h"

#include <string>
#include <utility>

#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::snapshots::v1;
using base::Context;
using server::Serve;
using snapshots::Snapshotter;

namespace {

using services::ToProto;

constexpr int kListBatch = 100;

void ToProto(const snapshots::Info& info, api::Info* proto) {
  proto->set_name(info.name);
  proto->set_parent(info.parent);
  proto->set_kind(static_cast<api::Kind>(info.kind));
  ToProto(info.created, proto->mutable_created_at());
  ToProto(info.updated, proto->mutable_updated_at());
  ToProto(info.labels, proto->mutable_labels());
}

class SnapshotsService final : public api::Snapshots::Service {
 public:
  explicit SnapshotsService(FindSnapshotter find) : find_(std::move(find)) {}

  grpc::Status Prepare(grpc::ServerContext* rpc, const api::PrepareSnapshotRequest* request,
                       api::PrepareSnapshotResponse* response) override {
    return Serve(rpc, "snapshots.Prepare", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(Snapshotter * driver, Find(request->snapshotter()));
      ASSIGN_OR_RETURN(const base::Mounts mounts,
                       driver->Prepare(context, request->key(), request->parent(),
                                       FromProto(request->labels())));
      ToProto(mounts, response->mutable_mounts());
      return absl::OkStatus();
    });
  }

  grpc::Status View(grpc::ServerContext* rpc, const api::ViewSnapshotRequest* request,
                    api::ViewSnapshotResponse* response) override {
    return Serve(rpc, "snapshots.View", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(Snapshotter * driver, Find(request->snapshotter()));
      ASSIGN_OR_RETURN(
          const base::Mounts mounts,
          driver->View(context, request->key(), request->parent(), FromProto(request->labels())));
      ToProto(mounts, response->mutable_mounts());
      return absl::OkStatus();
    });
  }

  grpc::Status Mounts(grpc::ServerContext* rpc, const api::MountsRequest* request,
                      api::MountsResponse* response) override {
    return Serve(rpc, "snapshots.Mounts", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(Snapshotter * driver, Find(request->snapshotter()));
      ASSIGN_OR_RETURN(const base::Mounts mounts, driver->MountsOf(context, request->key()));
      ToProto(mounts, response->mutable_mounts());
      return absl::OkStatus();
    });
  }

  grpc::Status Commit(grpc::ServerContext* rpc, const api::CommitSnapshotRequest* request,
                      google::protobuf::Empty*) override {
    return Serve(rpc, "snapshots.Commit", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(Snapshotter * driver, Find(request->snapshotter()));
      return driver->Commit(context, request->name(), request->key(), FromProto(request->labels()),
                            request->parent());
    });
  }

  grpc::Status Remove(grpc::ServerContext* rpc, const api::RemoveSnapshotRequest* request,
                      google::protobuf::Empty*) override {
    return Serve(rpc, "snapshots.Remove", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(Snapshotter * driver, Find(request->snapshotter()));
      return driver->Remove(context, request->key());
    });
  }

  grpc::Status Stat(grpc::ServerContext* rpc, const api::StatSnapshotRequest* request,
                    api::StatSnapshotResponse* response) override {
    return Serve(rpc, "snapshots.Stat", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(Snapshotter * driver, Find(request->snapshotter()));
      ASSIGN_OR_RETURN(const snapshots::Info info, driver->Stat(context, request->key()));
      ToProto(info, response->mutable_info());
      return absl::OkStatus();
    });
  }

  grpc::Status Update(grpc::ServerContext* rpc, const api::UpdateSnapshotRequest* request,
                      api::UpdateSnapshotResponse* response) override {
    return Serve(rpc, "snapshots.Update", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(Snapshotter * driver, Find(request->snapshotter()));
      if (!request->has_info()) return Missing("info");
      snapshots::Info info;
      info.name = request->info().name();
      info.labels = FromProto(request->info().labels());
      ASSIGN_OR_RETURN(const auto update, LabelsUpdateOf<snapshots::LabelsUpdate>(
                                              request->update_mask(),
                                              fmt::format("snapshot {}", base::Quote(info.name))));
      ASSIGN_OR_RETURN(const snapshots::Info updated, driver->Update(context, info, update));
      ToProto(updated, response->mutable_info());
      return absl::OkStatus();
    });
  }

  grpc::Status List(grpc::ServerContext* rpc, const api::ListSnapshotsRequest* request,
                    grpc::ServerWriter<api::ListSnapshotsResponse>* writer) override {
    return Serve(rpc, "snapshots.List", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(Snapshotter * driver, Find(request->snapshotter()));
      ASSIGN_OR_RETURN(const base::Filter filter, ParseFilters(request->filters()));
      api::ListSnapshotsResponse batch;
      const auto send = [&]() -> absl::Status {
        if (!writer->Write(batch)) return base::MakeError(absl::StatusCode::kCancelled, "");
        batch.Clear();
        return absl::OkStatus();
      };
      RETURN_IF_ERROR(driver->Walk(context, filter, [&](const snapshots::Info& info) {
        ToProto(info, batch.add_info());
        return batch.info_size() < kListBatch ? absl::OkStatus() : send();
      }));
      return batch.info().empty() ? absl::OkStatus() : send();
    });
  }

  grpc::Status Usage(grpc::ServerContext* rpc, const api::UsageRequest* request,
                     api::UsageResponse* response) override {
    return Serve(rpc, "snapshots.Usage", [&](const Context& context) -> absl::Status {
      ASSIGN_OR_RETURN(Snapshotter * driver, Find(request->snapshotter()));
      ASSIGN_OR_RETURN(const snapshots::Usage usage, driver->UsageOf(context, request->key()));
      response->set_size(usage.size_bytes);
      response->set_inodes(usage.inodes);
      return absl::OkStatus();
    });
  }

  // Clean-up is the collector's business; the call exists for the daemon's own proxies.
  grpc::Status Cleanup(grpc::ServerContext* rpc, const api::CleanupRequest* request,
                       google::protobuf::Empty*) override {
    return Serve(rpc, "snapshots.Cleanup", [&](const Context&) -> absl::Status {
      RETURN_IF_ERROR(Find(request->snapshotter()).status());
      return base::Unimplemented("snapshotter does not implement Cleanup method");
    });
  }

 private:
  absl::StatusOr<Snapshotter*> Find(const std::string& name) const {
    if (name.empty()) return base::InvalidArgument("snapshotter argument missing");
    Snapshotter* driver = find_(name);
    if (driver == nullptr) return base::InvalidArgument("snapshotter not loaded: {}", name);
    return driver;
  }

  const FindSnapshotter find_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSnapshotsService(FindSnapshotter find) {
  return std::make_unique<SnapshotsService>(std::move(find));
}

}  // namespace ctrd::services
