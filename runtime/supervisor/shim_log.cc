// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/shim_log.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"

namespace ctrd::runtime {
namespace {

constexpr size_t kLineLimitBytes = 16 << 10;

base::LogLevel LevelOf(std::string_view line) {
  constexpr std::string_view kKey = "level=";
  const size_t at = line.find(kKey);
  const std::string_view rest =
      at == line.npos ? std::string_view() : line.substr(at + kKey.size());
  if (rest.starts_with("debug") || rest.starts_with("trace")) return base::LogLevel::kDebug;
  if (rest.starts_with("warn")) return base::LogLevel::kWarn;
  if (rest.starts_with("error") || rest.starts_with("fatal")) return base::LogLevel::kError;
  return base::LogLevel::kInfo;
}

}  // namespace

struct ShimLog::Copier {
  base::UniqueFd fd;
  std::string task_id;
  std::string partial;

  void Line(std::string_view line) const {
    if (!line.empty()) base::Log(LevelOf(line), "shim", {{"id", task_id}, {"line", line}});
  }

  // One buffer per round: other descriptors of the loop get their turn.
  void Read() {
    char buffer[4096];
    const ssize_t count = ::read(fd.get(), buffer, sizeof(buffer));
    if (count <= 0) return;
    partial.append(buffer, static_cast<size_t>(count));
    size_t begin = 0;
    for (size_t end; (end = partial.find('\n', begin)) != partial.npos; begin = end + 1) {
      Line(std::string_view(partial).substr(begin, end - begin));
    }
    partial.erase(0, begin);
    if (partial.size() >= kLineLimitBytes) {
      Line(partial);
      partial.clear();
    }
  }
};

absl::StatusOr<std::unique_ptr<ShimLog>> ShimLog::Open(base::EventLoop* loop,
                                                       const std::string& fifo,
                                                       const std::string& task_id) {
  auto copier = std::make_shared<Copier>();
  ASSIGN_OR_RETURN(copier->fd, base::Open(fifo, O_RDWR | O_NONBLOCK | O_NOFOLLOW));
  struct stat info;
  if (::fstat(copier->fd.get(), &info) != 0) return base::ErrnoStatus("fstat", fifo);
  if (!S_ISFIFO(info.st_mode)) return base::Unknown("shim log {} is not a FIFO", fifo);
  copier->task_id = task_id;
  loop->Post([loop, copier] {
    const absl::Status added =
        loop->Add(copier->fd.get(), EPOLLIN, [copier](uint32_t) { copier->Read(); });
    if (!added.ok()) base::LogWarn("shim log is not copied", {{"error", added}});
  });
  return std::unique_ptr<ShimLog>(new ShimLog(loop, std::move(copier)));
}

ShimLog::~ShimLog() {
  loop_->Post([loop = loop_, copier = std::move(copier_)] {
    copier->Read();  // What the shim wrote last.
    if (!copier->partial.empty()) copier->Line(copier->partial);
    loop->Remove(copier->fd.get());
  });
}

}  // namespace ctrd::runtime
