// SPDX-License-Identifier: Apache-2.0

// What a shim puts into the directory for temporary files: documents for the runtime, which others
// must not read, and folders of sockets, whose paths must be short. Their names bear the mark of a
// bundle, so that what a killed shim left is found from the bundle alone.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ctrd::runtime::shim {

inline constexpr std::string_view kProcessDocument = "runc-process";  // Of an exec.
inline constexpr std::string_view kTerminalFolder = "pty";
inline constexpr std::array kTemporaryPrefixes = {kProcessDocument, kTerminalFolder};

// Whether the directory is that of a user's session, $XDG_RUNTIME_DIR; it is $TMPDIR or /tmp if
// not.
bool TemporariesAreOfSession();

// A file that only we can read, there for as long as the object lives.
class TemporaryFile {
 public:
  static absl::StatusOr<TemporaryFile> Create(std::string_view prefix, const std::string& bundle,
                                              std::string_view content);
  TemporaryFile(TemporaryFile&& other) noexcept;
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile();
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFile(std::string path);
  std::string path_;
};

// A folder that only we can enter, of one socket; whoever makes it removes it.
absl::StatusOr<std::string> MakeSocketFolder(std::string_view prefix, const std::string& bundle);

// Removes what is left of the shims of `bundle`, all of which must be dead. Only what is ours.
void RemoveTemporaries(const std::string& bundle);

}  // namespace ctrd::runtime::shim
