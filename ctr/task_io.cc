// SPDX-License-Identifier: Apache-2.0
#include "ctr/task_io.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cstring>

#include "base/files.h"
#include "base/status.h"

namespace ctrd::ctr {
namespace {

constexpr char kFifoParent[] = "/run/containerd/fifo";
constexpr size_t kBufferBytes = 32 << 10;

absl::Status MakeFifo(const std::string& path, std::string_view name) {
  if (path.empty() || ::mkfifo(path.c_str(), 0700) == 0) return absl::OkStatus();
  std::string reason = std::strerror(errno);
  reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
  return base::Unknown("failed to open {} fifo: error creating fifo {}: {}", name, path, reason);
}

absl::Status MakeFifos(const StreamPaths& paths) {
  RETURN_IF_ERROR(MakeFifo(paths.input, "stdin"));
  RETURN_IF_ERROR(MakeFifo(paths.output, "stdout"));
  return MakeFifo(paths.error, "stderr");
}

// A new directory below `parent`, by a number as other clients name theirs.
absl::StatusOr<std::string> MakeNumberedDirectory(const std::string& parent) {
  while (true) {
    uint32_t number = 0;
    if (::getrandom(&number, sizeof(number), 0) < 0)
      return base::ErrnoStatus("get", "random number");
    const std::string path = parent + "/" + std::to_string(number);
    if (::mkdir(path.c_str(), 0700) == 0) return path;
    if (errno != EEXIST) return base::ErrnoStatus("make directory", path);
  }
}

bool IsFifo(const std::string& path) {
  struct stat info {};
  return path.starts_with('/') && ::lstat(path.c_str(), &info) == 0 && S_ISFIFO(info.st_mode);
}

void Raise(int event) { (void)::eventfd_write(event, 1); }

// Reads what is there from `from`, a non-blocking descriptor. False at the end.
bool CopySome(int from, int to) {
  std::array<char, kBufferBytes> buffer;
  const ssize_t count = ::read(from, buffer.data(), buffer.size());
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) return false;
  // If nobody reads our output any more the process's output is still taken: it must not block.
  (void)base::WriteAll(to, {buffer.data(), static_cast<size_t>(count)}, "output");
  return true;
}

}  // namespace

absl::StatusOr<RawTerminal> RawTerminal::Enter() {
  for (int fd : {STDERR_FILENO, STDOUT_FILENO, STDIN_FILENO}) {
    termios saved{};
    if (::tcgetattr(fd, &saved) != 0) continue;
    termios raw = saved;
    ::cfmakeraw(&raw);
    raw.c_oflag |= OPOST;  // As other clients leave it.
    if (::tcsetattr(fd, TCSANOW, &raw) != 0) return base::ErrnoStatus("set", "terminal");
    return RawTerminal(fd, saved);
  }
  return base::Unknown("provided file is not a console");
}

RawTerminal::~RawTerminal() {
  if (fd_ >= 0) (void)::tcsetattr(fd_, TCSANOW, &saved_);
}

absl::StatusOr<std::unique_ptr<TaskIo>> TaskIo::Create(const std::string& id,
                                                       const TaskIoOptions& options) {
  auto io = std::unique_ptr<TaskIo>(new TaskIo());
  io->terminal_ = options.terminal;
  if (options.null_io) return io;
  if (!options.log_uri.empty()) {
    io->paths_ = {"", options.log_uri, options.terminal ? "" : options.log_uri};
    return io;
  }
  const std::string parent = options.fifo_directory.empty() ? kFifoParent : options.fifo_directory;
  RETURN_IF_ERROR(base::MakeDirectories(parent, 0700));
  ASSIGN_OR_RETURN(const std::string directory, MakeNumberedDirectory(parent));
  io->paths_ = {directory + "/" + id + "-stdin", directory + "/" + id + "-stdout",
                options.terminal ? "" : directory + "/" + id + "-stderr"};
  if (absl::Status status = MakeFifos(io->paths_); !status.ok()) {
    RemoveFifos(io->paths_);
    (void)::rmdir(directory.c_str());  // The identifier may have led to another place.
    return status;
  }
  RETURN_IF_ERROR(io->OpenEnds());
  return io;
}

absl::StatusOr<std::unique_ptr<TaskIo>> TaskIo::Attach(const StreamPaths& paths, bool terminal) {
  auto io = std::unique_ptr<TaskIo>(new TaskIo());
  io->terminal_ = terminal;
  io->keep_ = true;
  if (IsFifo(paths.input)) io->paths_.input = paths.input;
  if (IsFifo(paths.output)) io->paths_.output = paths.output;
  if (IsFifo(paths.error)) io->paths_.error = paths.error;
  RETURN_IF_ERROR(io->OpenEnds());
  return io;
}

TaskIo::~TaskIo() {
  if (stop_.valid()) Raise(stop_.get());
  if (output_thread_.joinable()) output_thread_.join();
  if (input_thread_.joinable()) input_thread_.join();
  if (!keep_) RemoveFifos(paths_);
}

absl::Status TaskIo::OpenEnds() {
  stop_.Reset(::eventfd(0, EFD_CLOEXEC));
  output_done_.Reset(::eventfd(0, EFD_CLOEXEC));
  if (!stop_.valid() || !output_done_.valid()) return base::ErrnoStatus("make", "eventfd");
  if (!paths_.output.empty()) {
    ASSIGN_OR_RETURN(output_, base::Open(paths_.output, O_RDONLY | O_NONBLOCK));
  }
  if (!paths_.error.empty()) {
    ASSIGN_OR_RETURN(error_, base::Open(paths_.error, O_RDONLY | O_NONBLOCK));
  }
  // For reading too: opening for writing alone fails as long as nobody reads.
  if (!paths_.input.empty()) {
    ASSIGN_OR_RETURN(input_, base::Open(paths_.input, O_RDWR | O_NONBLOCK));
  }
  return absl::OkStatus();
}

void TaskIo::StartOutput() {
  if (!output_.valid() && !error_.valid()) return;
  output_thread_ = std::thread([this] { CopyOutput(); });
}

void TaskIo::CopyOutput() {
  // Until the other side opens a FIFO for the first time poll says nothing of it, not even POLLHUP.
  std::array<pollfd, 3> fds = {pollfd{output_.get(), POLLIN, 0}, pollfd{error_.get(), POLLIN, 0},
                               pollfd{stop_.get(), POLLIN, 0}};
  constexpr std::array<int, 2> kTargets = {STDOUT_FILENO, STDERR_FILENO};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) break;
    for (size_t i = 0; i < kTargets.size(); ++i) {
      if (fds[i].revents == 0 || fds[i].fd < 0) continue;
      if (!CopySome(fds[i].fd, kTargets[i])) fds[i].fd = -1;
    }
    if (fds[2].revents != 0) break;
  }
  Raise(output_done_.get());
}

void TaskIo::StartInput(std::function<void()> at_end) {
  if (!input_.valid()) return;
  input_thread_ = std::thread([this, at_end = std::move(at_end)] { CopyInput(at_end); });
}

void TaskIo::CopyInput(const std::function<void()>& at_end) {
  std::array<char, kBufferBytes> buffer;
  while (true) {
    std::array<pollfd, 2> source = {pollfd{STDIN_FILENO, POLLIN, 0},
                                    pollfd{stop_.get(), POLLIN, 0}};
    if (::poll(source.data(), source.size(), -1) < 0 && errno != EINTR) return;
    if (source[1].revents != 0) return;
    if (source[0].revents == 0) continue;
    const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) break;
    for (ssize_t written = 0; written < count;) {
      const ssize_t part =
          ::write(input_.get(), buffer.data() + written, static_cast<size_t>(count - written));
      if (part > 0) {
        written += part;
        continue;
      }
      if (errno != EAGAIN && errno != EINTR) return;
      std::array<pollfd, 2> sink = {pollfd{input_.get(), POLLOUT, 0},
                                    pollfd{stop_.get(), POLLIN, 0}};
      (void)::poll(sink.data(), sink.size(), -1);
      if (sink[1].revents != 0) return;
    }
  }
  // Our end first: the runtime sees the end of input once no writer is left, and at_end makes it
  // close its own.
  input_.Reset();
  at_end();
}

void TaskIo::Drain(absl::Duration timeout) {
  if (!output_thread_.joinable()) return;
  pollfd done{output_done_.get(), POLLIN, 0};
  (void)::poll(&done, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
}

void RemoveFifos(const StreamPaths& paths) {
  for (const std::string* path : {&paths.input, &paths.output, &paths.error}) {
    if (!IsFifo(*path)) continue;
    (void)::unlink(path->c_str());  // What stays is an empty name in a run-time directory.
    (void)::rmdir(path->substr(0, path->rfind('/')).c_str());  // Once it is empty.
  }
}

}  // namespace ctrd::ctr
