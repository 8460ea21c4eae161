// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"
#include "ctr/commands.h"
#include "ctr/output.h"
#include "runtime/spec/spec.h"

namespace ctrd::ctr {
namespace {

absl::Status ShowSpec(Invocation& invocation) {
  if (const std::string platform = invocation.Text("platform");
      !platform.empty() && !platform.starts_with("linux")) {
    return base::Unimplemented("a specification for platform {}", platform);
  }
  PrintLine(runtime::Spec::Default(invocation.Text("namespace"), "").ToJson(4));
  return absl::OkStatus();
}

}  // namespace

Command OciCommand() {
  Command spec{.names = "spec", .summary = "print the default specification", .action = ShowSpec};
  spec.flags = {{FlagKind::kText, "platform", "for this platform"}};
  return {.names = "oci", .summary = "tools for OCI documents", .commands = {spec}};
}

}  // namespace ctrd::ctr
