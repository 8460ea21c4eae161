// SPDX-License-Identifier: Apache-2.0
#include "images/diff/activated_mounts.h"

#include "base/identifiers.h"
#include "base/status.h"

namespace ctrd::diff {

absl::StatusOr<ActivatedMounts> ActivatedMounts::Open(const base::Context& context,
                                                      const base::Mounts& mounts,
                                                      base::MountManager* manager) {
  ActivatedMounts activated;
  activated.mounts_ = mounts;
  if (mounts.size() < 2 || manager == nullptr || !manager->Needs(mounts)) return activated;
  const std::string name =
      fmt::format("fs-diffapply-{}-{}", context.namespace_name(), base::GenerateName());
  ASSIGN_OR_RETURN(base::Activation activation,
                   manager->Activate(context, name, mounts, {.labels = {}, .held = true}));
  activated.context_ = context;
  activated.manager_ = manager;
  activated.name_ = name;
  activated.mounts_ = std::move(activation.system);
  return activated;
}

absl::Status ActivatedMounts::Close() {
  base::MountManager* manager = std::exchange(manager_, nullptr);
  return manager == nullptr ? absl::OkStatus() : manager->Deactivate(context_, name_);
}

}  // namespace ctrd::diff
