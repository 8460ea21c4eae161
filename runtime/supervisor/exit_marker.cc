// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/exit_marker.h"

#include <fcntl.h>

#include "base/files.h"
#include "fmt/format.h"

namespace ctrd::runtime {
namespace {

constexpr size_t kLimitBytes = 128;

std::string MarkerOf(const std::string& bundle_path, const std::string& process) {
  return process.empty() ? bundle_path + "/exit-told"
                         : fmt::format("{}/{}.exit-told", bundle_path, process);
}

std::string TextOf(const Exit& exit) {
  return fmt::format("{} {}\n", exit.pid, absl::ToUnixNanos(exit.at));
}

}  // namespace

void MarkExitTold(const std::string& bundle_path, const std::string& process, const Exit& exit) {
  // Without the mark an exit is told twice, which subscribers must bear. A bundle that is gone is
  // fine: its task was deleted.
  const auto file =
      base::Open(MarkerOf(bundle_path, process), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  if (file.ok()) (void)base::WriteAll(file->get(), TextOf(exit), "exit-told");
}

bool ExitWasTold(const std::string& bundle_path, const std::string& process, const Exit& exit) {
  const auto text = base::ReadFile(MarkerOf(bundle_path, process), kLimitBytes);
  return text.ok() && *text == TextOf(exit);
}

bool SomeExitWasTold(const std::string& bundle_path, const std::string& process) {
  return base::Exists(MarkerOf(bundle_path, process));
}

}  // namespace ctrd::runtime
