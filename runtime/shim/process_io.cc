// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/process_io.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/time/clock.h"
#include "base/status.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kClientOpens = absl::Seconds(30);
constexpr absl::Duration kTerminalComes = absl::Seconds(30);

std::string_view SchemeOf(std::string_view uri) {
  const size_t separator = uri.find("://");
  return separator == std::string_view::npos ? std::string_view() : uri.substr(0, separator);
}

absl::StatusOr<base::UniqueFd> Duplicate(int fd) {
  base::UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return base::ErrnoStatus("dup", std::to_string(fd));
  return copy;
}

absl::Status CopyError(const absl::Status& status) {
  return base::Annotate(status, "failed to start io pipe copy: unable to copy pipes");
}

}  // namespace

absl::Status IoError(const absl::Status& status, std::string_view context) {
  return base::WithCode(base::Annotate(status, context), absl::StatusCode::kUnknown);
}

Async<absl::StatusOr<std::unique_ptr<ProcessIo>>> ProcessIo::Open(base::EventLoop* loop,
                                                                  runc::Reaper* reaper,
                                                                  IoOptions options) {
  std::unique_ptr<ProcessIo> io(new ProcessIo(loop));
  CO_RETURN_IF_ERROR(co_await io->OpenPaths(reaper, options));
  co_return io;
}

Async<absl::Status> ProcessIo::OpenPaths(runc::Reaper* reaper, IoOptions options) {
  const StdioPaths& paths = options.paths;
  const std::string_view scheme = SchemeOf(paths.stdout_path);
  if (paths.terminal) {
    CO_ASSIGN_OR_RETURN(console_, ConsoleSocket::Create(loop_, options.bundle));
  }
  if (scheme == "binary" || scheme == "binary-v2") {
    auto started = co_await LoggingBinary::Start(loop_, reaper, paths.stdout_path, options.id,
                                                 options.namespace_name, options.bundle);
    if (!started.ok()) co_return started.status();
    logger_ = *std::move(started);
    if (paths.terminal) {
      client_[kOut] = logger_->TakeStdout();
      (void)::fcntl(client_[kOut].get(), F_SETFL, O_NONBLOCK);
      CO_RETURN_IF_ERROR(OpenStdin(options));
    } else {
      child_[kOut] = logger_->TakeStdout();
      child_[kErr] = logger_->TakeStderr();
    }
  } else if (scheme.empty() || scheme == "file") {
    CO_RETURN_IF_ERROR(co_await OpenStreams(options));
  } else {
    co_return base::Unknown("unknown STDIO scheme {}", scheme);
  }
  co_return paths.terminal ? absl::OkStatus() : OpenNullWhereMissing();
}

// The client's ends, and the pipes between them and the process.
Async<absl::Status> ProcessIo::OpenStreams(IoOptions options) {
  const absl::Status opened = co_await OpenOutputs(options);
  if (!opened.ok()) co_return CopyError(opened);
  CO_RETURN_IF_ERROR(OpenStdin(options));
  if (options.paths.terminal) co_return absl::OkStatus();
  for (const int number : {kIn, kOut, kErr}) {
    if (client_[number].valid()) {
      CO_RETURN_IF_ERROR(MakePipe(number, options));
    }
  }
  co_return absl::OkStatus();
}

Async<absl::Status> ProcessIo::OpenOutputs(IoOptions options) {
  const StdioPaths& paths = options.paths;
  if (SchemeOf(paths.stdout_path) == "file") {
    // One file for both: each has its own descriptor, and the end of one is not that of the other.
    const std::string path = paths.stdout_path.substr(std::string_view("file://").size());
    CO_ASSIGN_OR_RETURN(client_[kOut], OpenLogFile(path));
    CO_ASSIGN_OR_RETURN(client_[kErr], Duplicate(client_[kOut].get()));
    co_return absl::OkStatus();
  }
  const absl::Time deadline = absl::Now() + kClientOpens;
  for (const int number : {kOut, kErr}) {
    const std::string path = number == kOut ? paths.stdout_path : paths.stderr_path;
    if (path.empty() || (number == kErr && paths.terminal)) continue;
    auto opened = co_await OpenOutput(loop_, path, deadline, options.abandoned);
    if (!opened.ok()) co_return opened.status();
    client_[number] = std::move(opened->fd);
    keep_alive_[number] = std::move(opened->keep_alive);
  }
  co_return absl::OkStatus();
}

absl::Status ProcessIo::OpenStdin(const IoOptions& options) {
  if (options.paths.stdin_path.empty()) return absl::OkStatus();
  absl::StatusOr<Stream> stream = OpenInput(options.paths.stdin_path);
  if (!stream.ok()) return CopyError(stream.status());
  client_[kIn] = std::move(stream->fd);
  stdin_keep_alive_ = std::move(stream->keep_alive);
  return absl::OkStatus();
}

absl::Status ProcessIo::MakePipe(int number, const IoOptions& options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::ErrnoStatus("pipe2", "stdio");
  const bool input = number == kIn;
  child_[number].Reset(input ? ends[0] : ends[1]);
  ours_[number].Reset(input ? ends[1] : ends[0]);
  (void)::fcntl(ours_[number].get(), F_SETFL, O_NONBLOCK);
  // A process of another user reopens its streams by /proc/self/fd: it must own them.
  if ((options.uid != 0 || options.gid != 0) &&
      (::fchown(ends[0], options.uid, options.gid) != 0 ||
       ::fchown(ends[1], options.uid, options.gid) != 0)) {
    return base::ErrnoStatus("fchown", "stdio");
  }
  return absl::OkStatus();
}

absl::Status ProcessIo::OpenNullWhereMissing() {
  for (base::UniqueFd& end : child_) {
    if (end.valid()) continue;
    end.Reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!end.valid()) return base::ErrnoStatus("open", "/dev/null");
  }
  return absl::OkStatus();
}

runc::Runc::Stdio ProcessIo::child_stdio() const {
  if (console_) return {};
  return {{child_[kIn].get(), 0}, {child_[kOut].get(), 1}, {child_[kErr].get(), 2}};
}

Async<absl::Status> ProcessIo::Started() {
  for (base::UniqueFd& end : child_) end.Reset();
  if (console_) {
    auto terminal = co_await console_->Receive(absl::Now() + kTerminalComes);
    console_.reset();
    if (!terminal.ok()) {
      co_return base::Annotate(terminal.status(), "failed to retrieve console master");
    }
    terminal_ = *std::move(terminal);
    CO_ASSIGN_OR_RETURN(ours_[kOut], Duplicate(terminal_.get()));
    if (client_[kIn].valid()) {
      CO_ASSIGN_OR_RETURN(ours_[kIn], Duplicate(terminal_.get()));
    }
  }
  for (const int number : {kOut, kErr}) {
    if (ours_[number].valid()) {
      StartOutput(std::move(ours_[number]), std::move(client_[number]));
    }
  }
  if (ours_[kIn].valid()) {
    input_ = std::make_unique<Relay>(loop_, std::move(client_[kIn]), std::move(ours_[kIn]),
                                     Relay::BrokenSink::kFinish, nullptr);
  }
  co_return absl::OkStatus();
}

void ProcessIo::StartOutput(base::UniqueFd source, base::UniqueFd sink) {
  outputs_.push_back(std::make_unique<Relay>(loop_, std::move(source), std::move(sink),
                                             Relay::BrokenSink::kDiscard, [this] {
                                               // With the last writer gone the client's reader must
                                               // see the end: our own ends go too.
                                               if (drained()) {
                                                 for (auto& end : keep_alive_) end.Reset();
                                               }
                                               drained_.Notify();
                                             }));
}

bool ProcessIo::drained() const {
  return std::all_of(outputs_.begin(), outputs_.end(),
                     [](const auto& output) { return output->finished(); });
}

absl::Status ProcessIo::Resize(uint32_t width, uint32_t height) {
  if (!terminal_.valid()) return absl::OkStatus();
  const winsize size = {.ws_row = static_cast<uint16_t>(height),
                        .ws_col = static_cast<uint16_t>(width)};
  if (::ioctl(terminal_.get(), TIOCSWINSZ, &size) != 0) {
    return base::ErrnoStatus("ioctl", "terminal");
  }
  return absl::OkStatus();
}

Async<bool> ProcessIo::Drain(absl::Time deadline) {
  bool late = false;
  const auto timer = loop_->After(deadline - absl::Now(), [this, &late] {
    late = true;
    drained_.Notify();
  });
  while (!drained() && !late) {
    co_await drained_.Wait();
  }
  loop_->Cancel(timer);
  const bool complete = drained();
  input_.reset();
  outputs_.clear();
  if (logger_ == nullptr) co_return complete;
  const bool logged = co_await LoggingBinary::Finish(logger_);
  co_return complete&& logged;
}

}  // namespace ctrd::runtime::shim
