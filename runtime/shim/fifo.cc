// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/fifo.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/status.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(1);
constexpr absl::Duration kLongestPause = absl::Milliseconds(20);

absl::Status OpenError(const std::string& path, std::string_view reason) {
  return base::Unknown("containerd-shim: opening file \"{}\" failed: {}", path, reason);
}

absl::Status OpenError(const std::string& path, int error_number) {
  std::string reason = std::strerror(error_number);
  reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
  return OpenError(path, fmt::format("open {}: {}", path, reason));
}

// What `path` is, held by a handle: it stays the same file however often it is opened.
struct Handle {
  base::UniqueFd fd;
  bool is_pipe = false;
  std::string by_descriptor() const { return "/proc/self/fd/" + std::to_string(fd.get()); }
};

absl::StatusOr<Handle> Find(const std::string& path) {
  Handle handle{.fd = base::UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC))};
  if (!handle.fd.valid()) return OpenError(path, errno);
  struct stat info;
  if (::fstat(handle.fd.get(), &info) != 0) return OpenError(path, errno);
  handle.is_pipe = S_ISFIFO(info.st_mode);
  return handle;
}

}  // namespace

Async<absl::StatusOr<Stream>> OpenOutput(base::EventLoop* loop, std::string path,
                                         absl::Time deadline, const bool* abandoned) {
  CO_ASSIGN_OR_RETURN(const Handle handle, Find(path));
  const std::string name = handle.by_descriptor();
  Stream stream;
  if (!handle.is_pipe) {
    stream.fd.Reset(::open(name.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK));
    if (!stream.fd.valid()) co_return OpenError(path, errno);
    co_return stream;
  }
  absl::Duration pause = kFirstPause;
  while (true) {
    stream.fd.Reset(::open(name.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
    if (stream.fd.valid()) break;
    if (errno != ENXIO) co_return OpenError(path, errno);
    // Nobody reads yet. Output must not be thrown at a pipe that nobody holds.
    if (*abandoned) co_return OpenError(path, "context canceled");
    if (absl::Now() >= deadline) co_return OpenError(path, "context deadline exceeded");
    co_await Sleep{loop, pause};
    pause = std::min(pause * 2, kLongestPause);
  }
  stream.keep_alive.Reset(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!stream.keep_alive.valid()) co_return OpenError(path, errno);
  co_return stream;
}

absl::StatusOr<Stream> OpenInput(const std::string& path) {
  ASSIGN_OR_RETURN(const Handle handle, Find(path));
  const std::string name = handle.by_descriptor();
  Stream stream;
  stream.fd.Reset(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!stream.fd.valid()) return OpenError(path, errno);
  if (!handle.is_pipe) return stream;
  stream.keep_alive.Reset(::open(name.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
  if (!stream.keep_alive.valid()) return OpenError(path, errno);
  return stream;
}

absl::StatusOr<base::UniqueFd> OpenLogFile(const std::string& path) {
  if (const size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0) {
    const std::string directory = path.substr(0, slash);
    if (!base::Exists(directory)) RETURN_IF_ERROR(base::MakeDirectories(directory, 0755));
  }
  base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file.valid()) return OpenError(path, errno);
  return file;
}

}  // namespace ctrd::runtime::shim
