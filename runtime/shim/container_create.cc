// SPDX-License-Identifier: Apache-2.0

// How a container comes to be, and how nothing is left of one that does not.
#include <signal.h>

#include <cerrno>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "events/task.pb.h"
#include "runtime/shim/bundle_spec.h"
#include "runtime/shim/container.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kOrphansEnd = absl::Seconds(2);
constexpr absl::Duration kLookAgain = absl::Milliseconds(5);

}  // namespace

Async<absl::Status> Container::Create(Ptr self) {
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  CO_RETURN_IF_ERROR(self->facts_.limits);
  RemoveExitRecord(self->bundle(), "");  // Of a container of that name before.
  CO_RETURN_IF_ERROR(SaveRuncOptions(self->bundle(), self->options_));
  if (!self->request_.rootfs.empty()) {
    const absl::Status mounted = base::MountAll(self->request_.rootfs, self->RootfsPath());
    if (!mounted.ok()) {
      co_return base::Annotate(absl::UnknownError(mounted.message()),
                               "failed to mount rootfs component");
    }
  }
  absl::Status status = co_await CreateMounted(self);
  if (!status.ok() && !self->request_.rootfs.empty()) {
    const absl::Status unmounted = base::UnmountAll(self->RootfsPath());
    if (!unmounted.ok()) base::LogWarn("rootfs left mounted", {{"error", unmounted}});
  }
  co_return status;
}

Async<absl::Status> Container::CreateMounted(Ptr self) {
  if (self->init_->state == State::kRestorable) {
    self->PublishCreate();
    co_return absl::OkStatus();
  }
  CO_RETURN_IF_ERROR(CheckRoot(self->facts_.root));
  const IoOptions io_options = self->IoOptionsFor(*self->init_);
  auto io = co_await ProcessIo::Open(self->shim_.loop, self->shim_.reaper, io_options);
  CO_RETURN_IF_ERROR(self->Unwanted());
  if (!io.ok()) co_return IoError(io.status(), "failed to create init process I/O");
  self->init_->io = *std::move(io);

  const runc::Reaper::Attention attention = self->shim_.reaper->PayAttention();
  Completion<absl::Status> created;
  self->runc_.Create(self->id(), self->CreateOptions(), self->init_->io->child_stdio(),
                     created.callback());
  absl::Status status = co_await created;
  if (status.ok()) {
    status = co_await FinishCreate(self);
  }
  status.Update(self->Unwanted());
  if (!status.ok()) {
    self->init_->io.reset();
    (void)co_await UndoRuntime(self);
    co_return self->abandoned_ ? self->Unwanted() : status;
  }
  self->PublishCreate();
  self->WatchInit(self);
  // While the answer is on its way: nothing runs in the container yet.
  self->shim_.loop->Post([self] { self->WatchCgroup(self); });
  co_return status;
}

Async<absl::Status> Container::FinishCreate(Ptr self) {
  CO_ASSIGN_OR_RETURN(self->init_->pid, self->ReadPidFile(""));
  co_return co_await self->init_->io->Started();
}

runc::CreateOptions Container::CreateOptions() const {
  return {.bundle = bundle(),
          .pid_file = PidFile(""),
          .console_socket = init_->io->console_socket(),
          .no_pivot = options_.no_pivot_root,
          .no_new_keyring = options_.no_new_keyring};
}

void Container::AbandonCreate() {
  abandoned_ = true;
  runc_.Abort();
}

absl::Status Container::Unwanted() const {
  return abandoned_ ? base::MakeError(absl::StatusCode::kCancelled, "") : absl::OkStatus();
}

// The runtime failed, or was killed at any point, or we cannot use what it made. What it knows of
// the container it deletes; what it never came to note is found by the container's cgroup.
Async<bool> Container::UndoRuntime(Ptr self) {
  if (self->runc_.HasStateOf(self->id())) {
    Completion<absl::Status> deleted;
    self->runc_.DeleteByForce(self->id(), deleted.callback());
    const absl::Status status = co_await deleted;
    if (!status.ok()) base::LogWarn("failed container left", {{"error", status}});
  }
  self->init_->pid = 0;
  const auto cgroup = cgroups::Cgroup::AtPath(CgroupsPath(self->bundle()));
  if (!cgroup.ok()) co_return true;  // None is left.
  const absl::Time deadline = absl::Now() + kOrphansEnd;
  while (self->KillOrphans(*cgroup) > 0 && absl::Now() < deadline) {
    co_await Sleep{self->shim_.loop, kLookAgain};
  }
  cgroup->Remove();  // One with processes in it stays: it is not this container's alone.
  co_return true;
}

int Container::KillOrphans(const cgroups::Cgroup& cgroup) const {
  int killed = 0;
  for (const pid_t pid : cgroup.Processes()) {
    if (shim_.reaper->IsOrphan(pid) && ::kill(pid, SIGKILL) == 0) ++killed;
  }
  return killed;
}

void Container::PublishCreate() {
  containerd::events::TaskCreate event;
  event.set_container_id(request_.id);
  event.set_bundle(request_.bundle);
  for (const base::Mount& mount : request_.rootfs) {
    auto* entry = event.add_rootfs();
    entry->set_type(mount.type);
    entry->set_source(mount.source);
    entry->set_target(mount.target);
    for (const std::string& option : mount.options) entry->add_options(option);
  }
  event.mutable_io()->set_stdin(request_.stdio.stdin_path);
  event.mutable_io()->set_stdout(request_.stdio.stdout_path);
  event.mutable_io()->set_stderr(request_.stdio.stderr_path);
  event.mutable_io()->set_terminal(request_.stdio.terminal);
  event.set_checkpoint(request_.checkpoint);
  event.set_pid(init_->pid);
  Publish("/tasks/create", event);
}

}  // namespace ctrd::runtime::shim
