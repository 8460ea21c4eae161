// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/temporary.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace ctrd::runtime::shim {
namespace {

// "" if it is not set.
std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string TemporaryDirectory() {
  for (const char* name : {"XDG_RUNTIME_DIR", "TMPDIR"}) {
    if (std::string path = Variable(name); !path.empty()) return path;
  }
  return "/tmp";
}

// A bundle is known by its folder's inode: names can be long, and repeat in other namespaces.
absl::StatusOr<std::string> MarkOf(const std::string& bundle) {
  struct stat info {};
  if (::stat(bundle.c_str(), &info) != 0) return base::ErrnoStatus("stat", bundle);
  return fmt::format("{:x}-{:x}-", info.st_dev, info.st_ino);
}

// What is not a folder cannot be emptied, and what is not empty then is not a folder of ours.
absl::Status RemoveOne(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || info.st_uid != ::geteuid()) return absl::OkStatus();
  if (!S_ISDIR(info.st_mode)) {
    return ::unlink(path.c_str()) == 0 ? absl::OkStatus() : base::ErrnoStatus("unlink", path);
  }
  ASSIGN_OR_RETURN(const auto names, base::ListDirectory(path));
  for (const std::string& name : names) (void)::unlink((path + "/" + name).c_str());
  return ::rmdir(path.c_str()) == 0 ? absl::OkStatus() : base::ErrnoStatus("rmdir", path);
}

}  // namespace

bool TemporariesAreOfSession() { return !Variable("XDG_RUNTIME_DIR").empty(); }

TemporaryFile::TemporaryFile(std::string path) : path_(std::move(path)) {}
TemporaryFile::TemporaryFile(TemporaryFile&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}
TemporaryFile::~TemporaryFile() {
  if (!path_.empty()) (void)::unlink(path_.c_str());
}

absl::StatusOr<TemporaryFile> TemporaryFile::Create(std::string_view prefix,
                                                    const std::string& bundle,
                                                    std::string_view content) {
  ASSIGN_OR_RETURN(const std::string mark, MarkOf(bundle));
  std::string path = fmt::format("{}/{}{}XXXXXX", TemporaryDirectory(), prefix, mark);
  const base::UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));  // Mode 0600.
  if (!fd.valid()) return base::ErrnoStatus("create", path);
  TemporaryFile file(path);
  RETURN_IF_ERROR(base::WriteAll(fd.get(), content, path));
  return file;
}

absl::StatusOr<std::string> MakeSocketFolder(std::string_view prefix, const std::string& bundle) {
  ASSIGN_OR_RETURN(const std::string mark, MarkOf(bundle));
  return base::MakeTempDirectory(TemporaryDirectory(), std::string(prefix) + mark);
}

void RemoveTemporaries(const std::string& bundle) {
  const auto mark = MarkOf(bundle);
  const std::string directory = TemporaryDirectory();
  const auto names = base::ListDirectory(directory);
  if (!mark.ok() || !names.ok()) return;
  for (const std::string& name : *names) {
    for (std::string_view prefix : kTemporaryPrefixes) {
      if (!name.starts_with(std::string(prefix) + *mark)) continue;
      const absl::Status removed = RemoveOne(directory + "/" + name);
      if (!removed.ok()) base::LogWarn("a temporary file stays", {{"error", removed}});
    }
  }
}

}  // namespace ctrd::runtime::shim
