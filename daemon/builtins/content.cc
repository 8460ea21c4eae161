// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include "base/files.h"
#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "images/content/local/local_content_store.h"

namespace ctrd::builtins {

void AddContent(plugin::Registry& registry) {
  registry.Add({.type = plugin::kContent,
                .id = "content",
                .requirements = {},
                .schema = {},
                .init = [](plugin::InitContext& init) -> absl::StatusOr<plugin::Instance> {
                  ASSIGN_OR_RETURN(auto store, content::OpenLocalContentStore(init.root_dir));
                  init.record.exports["root"] = init.root_dir;
                  return plugin::Instance::Of<content::ContentStore>(std::move(store));
                }});
}

}  // namespace ctrd::builtins
