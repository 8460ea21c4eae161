// SPDX-License-Identifier: Apache-2.0

// A container's way to disk and back, which the runtime goes with criu.
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/wire.h"
#include "runtime/shim/container.h"

namespace ctrd::runtime::shim {
namespace {

absl::StatusOr<runc::CheckpointOptions> DecodeCheckpointOptions(const base::Any& any,
                                                                const std::string& path) {
  runc::CheckpointOptions options{.image_path = path};
  if (!any.empty() && !any.type_url.ends_with("containerd.runc.v1.CheckpointOptions")) {
    return base::InvalidArgument("checkpoint options of type {:?} are not for this runtime",
                                 any.type_url);
  }
  base::WireReader reader(any.value);
  while (const auto field = reader.Next()) {
    switch (field->number) {
      case 1:
        options.exit = field->varint != 0;
        break;
      case 2:
        options.open_tcp = field->varint != 0;
        break;
      case 3:
        options.external_unix_sockets = field->varint != 0;
        break;
      case 4:
        options.terminal = field->varint != 0;
        break;
      case 5:
        options.file_locks = field->varint != 0;
        break;
      case 6:
        options.empty_namespaces.emplace_back(field->bytes);
        break;
      case 9:
        options.work_path = field->bytes;
        break;
    }
  }
  if (!reader.ok()) return base::InvalidArgument("checkpoint options are not readable");
  return options;
}

}  // namespace

Async<absl::Status> Container::Restore(Ptr self) {
  const IoOptions io_options = self->IoOptionsFor(*self->init_);
  auto io = co_await ProcessIo::Open(self->shim_.loop, self->shim_.reaper, io_options);
  if (!io.ok()) co_return IoError(io.status(), "failed to create init process I/O");
  self->init_->io = *std::move(io);
  const runc::Reaper::Attention attention = self->shim_.reaper->PayAttention();
  runc::RestoreOptions options;
  options.create = self->CreateOptions();
  options.image_path = self->request_.checkpoint;
  options.work_path = self->options_.criu_work_path.empty() ? self->bundle() + "/work"
                                                            : self->options_.criu_work_path;
  options.parent_path = self->request_.parent_checkpoint;
  Completion<absl::Status> restored;
  self->runc_.Restore(self->id(), options, self->init_->io->child_stdio(), restored.callback());
  absl::Status status = co_await restored;
  if (status.ok()) {
    status = co_await FinishCreate(self);
  }
  if (!status.ok()) {
    self->init_->io.reset();
    (void)co_await UndoRuntime(self);
    co_return status;
  }
  self->WatchInit(self);
  self->WatchCgroup(self);
  co_return status;
}

Async<absl::Status> Container::Checkpoint(Ptr self, std::string path, base::Any options) {
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  CO_RETURN_IF_ERROR(CheckAction(self->init_->state, Action::kCheckpoint));
  CO_ASSIGN_OR_RETURN(runc::CheckpointOptions runtime_options,
                      DecodeCheckpointOptions(options, path));
  const bool own_work_path = runtime_options.work_path.empty();
  if (own_work_path) {
    runtime_options.work_path = self->bundle() + "/work/criu-work";
    CO_RETURN_IF_ERROR(base::MakeDirectories(runtime_options.work_path, 0700));
  }
  Completion<absl::Status> dumped;
  self->runc_.Checkpoint(self->id(), runtime_options, dumped.callback());
  absl::Status status = co_await dumped;
  if (!status.ok()) {
    const std::string log = self->bundle() + "/criu-dump.log";
    const auto text = base::ReadFile(runtime_options.work_path + "/dump.log");
    if (text.ok()) (void)base::WriteFileAtomically(log, *text, 0600);  // Only for people.
    const std::string message = base::MessageOf(status);
    status = base::Unknown("{} path= {}", message.substr(0, message.find('\n')), log);
  }
  if (own_work_path)
    (void)base::RemoveTree(runtime_options.work_path);  // Below the work directory.
  co_return status;
}

}  // namespace ctrd::runtime::shim
