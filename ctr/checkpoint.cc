// SPDX-License-Identifier: Apache-2.0
#include "ctr/checkpoint.h"

#include "absl/time/clock.h"
#include "base/identifiers.h"
#include "ctr/client.h"
#include "ctr/container_create.h"
#include "ctr/content_writer.h"
#include "ctr/image_reader.h"
#include "ctr/output.h"
#include "ctr/snapshot_diff.h"
#include "ctr/task.h"
#include "ctr/transfer.h"
#include "images/spec/media_types.h"
#include "images/spec/platform.h"
#include "services/images/v1/images.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::tasks::v1;
namespace image_api = containerd::services::images::v1;
using containerd::runc::v1::CheckpointOptions;
using containerd::services::containers::v1::Container;
using Descriptor = containerd::types::Descriptor;

// A task that is paused for as long as this lives, unless it was not running.
class Pause {
 public:
  static absl::StatusOr<Pause> Of(const Client& client, const std::string& id) {
    api::PauseTaskRequest request;
    request.set_container_id(id);
    RETURN_IF_ERROR(client.Call(&TasksStub::Pause, request).status());
    return Pause(&client, id);
  }
  Pause(Pause&& other) noexcept
      : client_(std::exchange(other.client_, nullptr)), id_(std::move(other.id_)) {}
  Pause& operator=(Pause&&) = delete;
  void Forget() { client_ = nullptr; }  // The task has ended: there is nothing to resume.
  ~Pause() {
    if (client_ == nullptr) return;
    api::ResumeTaskRequest request;
    request.set_container_id(id_);
    const absl::Status status = client_->Call(&TasksStub::Resume, request).status();
    // It may be gone, whoever deleted it.
    if (!status.ok() && !absl::IsNotFound(status)) LogError("error resuming task", status);
  }

 private:
  Pause(const Client* client, std::string id) : client_(client), id_(std::move(id)) {}
  const Client* client_;
  std::string id_;
};

images::Descriptor ForThisPlatform(const Descriptor& descriptor) {
  images::Descriptor part = FromProto(descriptor);
  part.platform = images::HostPlatform();
  return part;
}

absl::Status AddDump(const Client& client, const std::string& id, const CheckpointOptions& options,
                     images::Index& index) {
  api::CheckpointTaskRequest request;
  request.set_container_id(id);
  *request.mutable_options() = PackBare(options);
  ASSIGN_OR_RETURN(const auto response, client.Call(&TasksStub::Checkpoint, request));
  for (const Descriptor& part : response.descriptors()) {
    index.manifests.push_back(ForThisPlatform(part));
  }
  return absl::OkStatus();
}

absl::Status AddImage(const Client& client, const std::string& name, images::Index& index) {
  ASSIGN_OR_RETURN(const auto image, GetImage(client, name));
  index.manifests.push_back(FromProto(image.target()));
  return absl::OkStatus();
}

// What the container changed in its root.
absl::Status AddChanges(const Client& client, const Container& container, images::Index& index) {
  const DiffOptions options{.media_type = std::string(images::kOciLayerGzip),
                            .ref = "checkpoint-rw-" + container.snapshot_key(),
                            .labels = {}};
  ASSIGN_OR_RETURN(const Descriptor changes, DiffSnapshots(client, container.snapshotter(),
                                                           container.snapshot_key(), "", options));
  index.manifests.push_back(ForThisPlatform(changes));
  return absl::OkStatus();
}

absl::Status SaveImage(const Client& client, const std::string& ref, const std::string& name,
                       const images::Index& index,
                       const std::map<std::string, std::string>& labels) {
  std::map<std::string, std::string> references;
  for (size_t i = 0; i < index.manifests.size(); ++i) {
    references["containerd.io/gc.ref.content." + std::to_string(i)] = index.manifests[i].digest;
  }
  ASSIGN_OR_RETURN(
      const images::Descriptor written,
      WriteBlob(client, ref, images::kOciIndex, images::SerializeIndex(index), references));
  image_api::CreateImageRequest request;
  request.mutable_image()->set_name(name);
  *request.mutable_image()->mutable_target() = ToProto(written);
  request.mutable_image()->mutable_labels()->insert(labels.begin(), labels.end());
  return client.Call(&image_api::Images::Stub::Create, request).status();
}

absl::Status CheckpointTask(Invocation& invocation) {
  const std::string id = invocation.Argument(0);
  if (id.empty()) return base::Unknown("container id must be provided");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const Container container, GetContainer(client, id));
  ASSIGN_OR_RETURN(const auto task, GetTask(client, id));
  ASSIGN_OR_RETURN(ScopedLease lease, ScopedLease::Create(client));
  CheckpointOptions options;
  options.set_exit(invocation.Switch("exit"));
  options.set_image_path(invocation.Text("image-path"));
  options.set_work_path(invocation.Text("work-path"));
  std::optional<Pause> pause;
  if (task.status() != containerd::v1::types::PAUSED) {
    ASSIGN_OR_RETURN(Pause taken, Pause::Of(client, id));
    pause.emplace(std::move(taken));
  }
  images::Index index;
  RETURN_IF_ERROR(AddDump(client, id, options, index));
  if (options.exit() && pause) pause->Forget();
  if (!options.image_path().empty()) return absl::OkStatus();  // It is all there.
  if (!container.image().empty()) {
    RETURN_IF_ERROR(AddImage(client, container.image(), index));
    index.annotations["image.name"] = container.image();
  }
  if (!container.snapshot_key().empty()) RETURN_IF_ERROR(AddChanges(client, container, index));
  const std::string name =
      "containerd.io/checkpoint/" + id + ":" +
      absl::FormatTime("%m-%d-%Y-%H:%M:%S", absl::Now(), absl::LocalTimeZone());
  RETURN_IF_ERROR(SaveImage(client, id, name, index, {{"containerd.io/checkpoint", "true"}}));
  PrintLine(name);
  return absl::OkStatus();
}

absl::Status AddRuntime(const Client& client, const Container& container, images::Index& index) {
  if (container.runtime().options().value().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      const images::Descriptor options,
      WriteBlob(client, container.id() + "-runtime-options", kCheckpointRuntimeOptionsType,
                container.runtime().options().SerializeAsString()));
  index.manifests.push_back(options);
  return absl::OkStatus();
}

absl::Status AddTask(const Client& client, const Container& container, images::Index& index) {
  CheckpointOptions options;
  options.set_file_locks(true);
  RETURN_IF_ERROR(AddDump(client, container.id(), options, index));
  ASSIGN_OR_RETURN(const images::Descriptor written,
                   WriteBlob(client, container.id() + "-checkpoint-options", kCheckpointOptionsType,
                             PackBare(options).SerializeAsString()));
  index.manifests.push_back(written);
  return absl::OkStatus();
}

absl::Status CheckpointContainer(Invocation& invocation) {
  const std::string id = invocation.Argument(0);
  const std::string ref = invocation.Argument(1);
  if (id.empty()) return base::Unknown("container id must be provided");
  if (ref.empty()) return base::Unknown("ref must be provided");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const Container container, GetContainer(client, id));
  const auto task = GetTask(client, id);
  if (!task.ok() && !absl::IsNotFound(task.status())) return task.status();
  std::optional<Pause> pause;
  if (task.ok()) {
    ASSIGN_OR_RETURN(Pause taken, Pause::Of(client, id));
    pause.emplace(std::move(taken));
  }
  ASSIGN_OR_RETURN(const auto image, GetImage(client, container.image()));
  ASSIGN_OR_RETURN(ScopedLease lease, ScopedLease::Create(client));
  images::Index index;
  index.annotations = {{kCheckpointImageAnnotation, image.name()},
                       {kCheckpointRuntimeAnnotation, container.runtime().name()},
                       {kCheckpointSnapshotterAnnotation, container.snapshotter()}};
  RETURN_IF_ERROR(AddRuntime(client, container, index));
  if (invocation.Switch("image")) RETURN_IF_ERROR(AddImage(client, image.name(), index));
  if (invocation.Switch("rw")) RETURN_IF_ERROR(AddChanges(client, container, index));
  if (invocation.Switch("task")) RETURN_IF_ERROR(AddTask(client, container, index));
  return SaveImage(client, id + "index", ref, index, {});
}

}  // namespace

Command TaskCheckpointCommand() {
  Command command{.names = "checkpoint",
                  .summary = "save a task",
                  .arguments = "[flags] CONTAINER",
                  .action = CheckpointTask};
  command.flags = {{FlagKind::kSwitch, "exit", "end it afterwards"},
                   {FlagKind::kText, "image-path", "directory for CRIU's images"},
                   {FlagKind::kText, "work-path", "directory for CRIU's work files and logs"}};
  return command;
}

Command ContainerCheckpointCommand() {
  Command command{.names = "checkpoint",
                  .summary = "save a container",
                  .arguments = "CONTAINER REF",
                  .action = CheckpointContainer};
  command.flags = {{FlagKind::kSwitch, "rw", "what it changed in its root"},
                   {FlagKind::kSwitch, "image", "its image"},
                   {FlagKind::kSwitch, "task", "its task"}};
  return command;
}

}  // namespace ctrd::ctr
