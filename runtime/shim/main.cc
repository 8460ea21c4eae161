// SPDX-License-Identifier: Apache-2.0

// containerd-shim-runc-v2: runs the containers of one task, or of one group of tasks, with an OCI
// runtime, and stays with them when the daemon goes. Source document: docs/api/shim.md.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/status.h"
#include "runtime/shim/commands.h"

namespace ctrd::runtime::shim {
namespace {

absl::StatusOr<std::string> Run(const Flags& flags) {
  if (flags.info) return InfoCommand();
  if (flags.namespace_name.empty()) {
    return base::Unknown("{}: shim namespace cannot be empty", kRuntimeName);
  }
  if (flags.action == "start") return StartCommand(flags);
  if (flags.action == "delete") return DeleteCommand(flags);
  RETURN_IF_ERROR(ServeCommand(flags));
  return std::string();
}

int Fail(std::string_view message) {
  const std::string line = std::string(message) + "\n";
  (void)!::write(STDERR_FILENO, line.data(), line.size());  // There is nowhere else to tell it.
  return 1;
}

int Main(const std::vector<std::string>& arguments) {
  const absl::StatusOr<Flags> flags = ParseFlags(arguments);
  if (!flags.ok()) return Fail(base::MessageOf(flags.status()));
  if (flags->version) {
    std::printf("containerd-shim-runc-v2:\n  Version:  %s\n  Revision: \n", CTRD_VERSION);
    return 0;
  }
  const absl::StatusOr<std::string> output = Run(*flags);
  if (!output.ok()) return Fail(base::MessageOf(output.status()));
  std::string_view rest = *output;
  while (!rest.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (count < 0) return Fail("cannot write the answer");
    rest.remove_prefix(static_cast<size_t>(count));
  }
  return 0;
}

}  // namespace
}  // namespace ctrd::runtime::shim

int main(int argc, char** argv) {
  return ctrd::runtime::shim::Main(std::vector<std::string>(argv + 1, argv + argc));
}
