// SPDX-License-Identifier: Apache-2.0
// Containers from checkpoints. A checkpoint is an image, and may come from anywhere: it names an
// image that must be here already, and neither programs of the host nor devices are taken from it.
#include <optional>

#include "base/identifiers.h"
#include "base/json.h"
#include "ctr/checkpoint.h"
#include "ctr/client.h"
#include "ctr/container_create.h"
#include "ctr/container_flags.h"
#include "ctr/image_reader.h"
#include "ctr/output.h"
#include "ctr/task.h"
#include "ctr/transfer.h"
#include "ctr/unpack.h"
#include "images/spec/media_types.h"
#include "services/containers/v1/containers.grpc.pb.h"
#include "services/diff/v1/diff.grpc.pb.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::containers::v1;
namespace snapshots = containerd::services::snapshots::v1;

struct Checkpoint {
  images::Index index;

  std::string Annotation(const char* key) const {
    const auto found = index.annotations.find(key);
    return found == index.annotations.end() ? "" : found->second;
  }
  const images::Descriptor* Find(std::string_view media_type) const {
    for (const images::Descriptor& part : index.manifests) {
      if (part.media_type == media_type) return &part;
    }
    return nullptr;
  }
};

absl::StatusOr<Checkpoint> ReadCheckpoint(const Client& client, const std::string& ref) {
  ASSIGN_OR_RETURN(const auto image, GetImage(client, ref));
  ASSIGN_OR_RETURN(const std::string json, ReadDocument(client, image.target().digest()));
  ASSIGN_OR_RETURN(images::Index index, images::ParseIndex(json, image.target().media_type()));
  return Checkpoint{std::move(index)};
}

absl::StatusOr<google::protobuf::Any> ReadAny(const Client& client,
                                              const images::Descriptor& part) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadDocument(client, part.digest));
  google::protobuf::Any any;
  if (!any.ParseFromString(bytes)) return base::Unknown("{} is not readable", part.digest);
  return any;
}

absl::Status RestoreRuntime(const Client& client, const Checkpoint& checkpoint,
                            api::Container& container) {
  const std::string name = checkpoint.Annotation(kCheckpointRuntimeAnnotation);
  if (name.empty()) return base::Unknown("runtime name not found in index");
  if (name.find('/') != std::string::npos) {
    return base::InvalidArgument("the checkpoint names a program of the host as its runtime: {}",
                                 base::Quote(name));
  }
  container.mutable_runtime()->set_name(name);
  const images::Descriptor* part = checkpoint.Find(kCheckpointRuntimeOptionsType);
  if (part == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(google::protobuf::Any any, ReadAny(client, *part));
  containerd::runc::v1::Options options;
  if (name != kDefaultRuntime || !options.ParseFromString(any.value())) {
    LogWarning("runtime options of the checkpoint are ignored");
    return absl::OkStatus();
  }
  containerd::runc::v1::Options kept;  // What names nothing of the host.
  kept.set_no_pivot_root(options.no_pivot_root());
  kept.set_no_new_keyring(options.no_new_keyring());
  kept.set_systemd_cgroup(options.systemd_cgroup());
  if (kept.SerializeAsString() != options.SerializeAsString()) {
    LogWarning("programs and paths in the checkpoint's runtime options are ignored");
  }
  *container.mutable_runtime()->mutable_options() = PackBare(kept);
  return absl::OkStatus();
}

// The stored specification without what would act on the host by itself.
absl::StatusOr<std::string> CheckedSpec(const std::string& stored) {
  Json spec = base::ParseJson<Json>(stored);
  if (!spec.is_object()) return base::Unknown("the checkpoint's specification is no JSON object");
  if (spec.contains("hooks")) {
    return base::InvalidArgument("the checkpoint's specification runs hooks on the host");
  }
  if (auto annotations = spec.find("annotations");
      annotations != spec.end() && annotations->is_object()) {
    Json kept = Json::object();
    for (const auto& [key, value] : annotations->items()) {
      if (key == "cdi.k8s.io" || key.starts_with("cdi.k8s.io/")) {
        LogWarning("annotation " + base::Quote(key) + " of the checkpoint is ignored");
      } else {
        kept[key] = value;
      }
    }
    *annotations = std::move(kept);
  }
  return base::DumpJson(spec);
}

absl::Status RestoreSpec(const Client& client, const Checkpoint& checkpoint,
                         api::Container& container) {
  const images::Descriptor* part = checkpoint.Find(kCheckpointSpecType);
  if (part == nullptr) return base::Unknown("media type not found in index");
  ASSIGN_OR_RETURN(google::protobuf::Any any, ReadAny(client, *part));
  ASSIGN_OR_RETURN(*any.mutable_value(), CheckedSpec(any.value()));
  *container.mutable_spec() = std::move(any);
  return absl::OkStatus();
}

absl::Status RestoreSnapshot(Client& client, const Checkpoint& checkpoint, bool changes,
                             api::Container& container) {
  const std::string name = checkpoint.Annotation(kCheckpointImageAnnotation);
  if (name.empty()) return base::Unknown("image name not found in index");
  ASSIGN_OR_RETURN(
      *container.mutable_snapshotter(),
      ResolveSnapshotter(client, checkpoint.Annotation(kCheckpointSnapshotterAnnotation)));
  ASSIGN_OR_RETURN(const auto record, GetImage(client, name));
  ASSIGN_OR_RETURN(const ResolvedImage image,
                   ResolveImage(client, FromProto(record.target()),
                                images::PlatformMatcher::Only(images::HostPlatform())));
  RETURN_IF_ERROR(Unpack(client, container.snapshotter(), image));
  const images::Descriptor* layer = checkpoint.Find(images::kOciLayerGzip);
  if (changes && layer == nullptr) return base::Unknown("media type not found in index");
  snapshots::PrepareSnapshotRequest request;
  request.set_snapshotter(container.snapshotter());
  request.set_key(container.id());
  request.set_parent(image.chain_id);
  ASSIGN_OR_RETURN(const auto prepared, client.Call(&snapshots::Snapshots::Stub::Prepare, request));
  container.set_image(record.name());
  container.set_snapshot_key(container.id());
  if (!changes) return absl::OkStatus();
  containerd::services::diff::v1::ApplyRequest apply;
  *apply.mutable_diff() = ToProto(*layer);
  *apply.mutable_mounts() = prepared.mounts();
  return client.Call(&containerd::services::diff::v1::Diff::Stub::Apply, apply).status();
}

absl::Status RestoreContainer(Client& client, const Checkpoint& checkpoint, bool changes,
                              api::Container& container) {
  RETURN_IF_ERROR(RestoreRuntime(client, checkpoint, container));
  RETURN_IF_ERROR(RestoreSpec(client, checkpoint, container));
  absl::Status status = RestoreSnapshot(client, checkpoint, changes, container);
  if (status.ok()) {
    api::CreateContainerRequest request;
    *request.mutable_container() = container;
    status = client.Call(&api::Containers::Stub::Create, request).status();
  }
  if (!status.ok() && !container.snapshot_key().empty()) {
    snapshots::RemoveSnapshotRequest removal;
    removal.set_snapshotter(container.snapshotter());
    removal.set_key(container.snapshot_key());
    (void)client.Call(&snapshots::Snapshots::Stub::Remove, removal);  // The first error counts.
  }
  return status;
}

absl::Status StartRestored(Invocation& invocation, const Client& client,
                           const api::Container& container,
                           const containerd::types::Descriptor* dump) {
  ASSIGN_OR_RETURN(const runtime::Spec spec, runtime::Spec::Parse(container.spec().value()));
  const bool terminal = spec.HasTerminal();
  std::optional<RawTerminal> raw;
  if (terminal) {
    ASSIGN_OR_RETURN(RawTerminal entered, RawTerminal::Enter());
    raw.emplace(std::move(entered));
  }
  ASSIGN_OR_RETURN(const auto io, TaskIo::Create(container.id(), {.terminal = terminal,
                                                                  .null_io = false,
                                                                  .log_uri = "",
                                                                  .fifo_directory = ""}));
  RETURN_IF_ERROR(CreateTask(client, container, *io, nullptr, dump).status());
  const ProcessId id{container.id(), ""};
  absl::StatusOr<uint32_t> code = 0;
  if (terminal) {
    code = RunAttached(client, id, *io, /*start=*/true);
    if (code.ok()) RETURN_IF_ERROR(DeleteProcess(client, id).status());
  } else {
    code = StartProcess(client, id);
    if (code.ok()) io->Keep();
  }
  if (!code.ok()) {
    (void)DeleteTask(client, container.id(), /*force=*/true);  // What went wrong first counts.
    return code.status();
  }
  if (terminal) invocation.ExitWith(static_cast<int>(*code));
  return absl::OkStatus();
}

absl::Status Restore(Invocation& invocation) {
  const std::string id = invocation.Argument(0);
  const std::string ref = invocation.Argument(1);
  if (id.empty()) return base::Unknown("container id must be provided");
  if (ref.empty()) return base::Unknown("ref must be provided");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(ScopedLease lease, ScopedLease::Create(client));
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint(client, ref));
  const images::Descriptor* dump = nullptr;
  if (invocation.Switch("live")) {
    dump = checkpoint.Find(kCheckpointDumpType);
    if (dump == nullptr) return base::Unknown("checkpoint not found in index {}", ref);
  }
  api::Container container;
  container.set_id(id);
  RETURN_IF_ERROR(RestoreContainer(client, checkpoint, invocation.Switch("rw"), container));
  if (dump == nullptr) return StartRestored(invocation, client, container, nullptr);
  const containerd::types::Descriptor descriptor = ToProto(*dump);
  return StartRestored(invocation, client, container, &descriptor);
}

}  // namespace

Command ContainerRestoreCommand() {
  Command command{.names = "restore",
                  .summary = "make a container from a checkpoint, and start it",
                  .arguments = "CONTAINER REF",
                  .action = Restore};
  command.flags = {{FlagKind::kSwitch, "rw", "with what it had changed in its root"},
                   {FlagKind::kSwitch, "live", "with its processes"}};
  return command;
}

}  // namespace ctrd::ctr
