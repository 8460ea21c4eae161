// SPDX-License-Identifier: Apache-2.0

// Root file systems that need the mount manager: docs/api/shim.md, sections 6 and 7.

#include "base/log.h"
#include "base/status.h"
#include "runtime/supervisor/runtime_features.h"
#include "runtime/supervisor/supervisor.h"

namespace ctrd::runtime {
namespace {

// Ties what was activated for a task to its container. A client may have taken the name first.
constexpr char kContainerLabel[] = "containerd.io/gc.bref.container";

}  // namespace

absl::StatusOr<base::Mounts> Supervisor::ActivateRootfs(const base::Context& context,
                                                        const CreateTask& request,
                                                        const Task& task) {
  if (options_.mounts == nullptr || !options_.mounts->Needs(request.rootfs)) return request.rootfs;
  base::ActivateOptions options{.labels = {{kContainerLabel, request.id}}};
  // What the shim mounts itself is left to it. One that does not tell mounts what the kernel knows.
  if (const auto info = RuntimeInfo(context, request.runtime, request.options); info.ok()) {
    options.caller_mounts = MountsOfRuntime(info->value);
  } else {
    base::LogWarn("runtime does not tell which mounts it makes, ignoring",
                  {{"runtime", request.runtime}, {"error", info.status()}});
  }
  // Of a task that was removed when the daemon died.
  DeactivateRootfs(task);
  auto activation = options_.mounts->Activate(context, request.id, request.rootfs, options);
  if (absl::IsUnimplemented(activation.status()) &&
      base::MessageOf(activation.status()) == base::ClassText(absl::StatusCode::kUnimplemented)) {
    return request.rootfs;
  }
  RETURN_IF_ERROR(base::Annotate(activation.status(), "failed to activate mounts"));
  return std::move(activation->system);
}

bool Supervisor::HasActiveMounts(const Task& task) const {
  if (options_.mounts == nullptr) return false;
  const auto activation =
      options_.mounts->Info(base::Context(task.bundle.namespace_name), task.bundle.id);
  if (!activation.ok()) return false;  // The usual case.
  const auto label = activation->labels.find(kContainerLabel);
  return label != activation->labels.end() && label->second == task.bundle.id;
}

void Supervisor::DeactivateRootfs(const Task& task) {
  if (!HasActiveMounts(task)) return;
  const base::Context context(task.bundle.namespace_name);
  if (const absl::Status status = options_.mounts->Deactivate(context, task.bundle.id);
      !status.ok()) {
    base::LogWarn("mounts of a root file system stay", {{"id", task.bundle.id}, {"error", status}});
  }
}

}  // namespace ctrd::runtime
