// SPDX-License-Identifier: Apache-2.0
#include "images/diff/stream_processor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "base/files.h"
#include "base/process.h"
#include "base/status.h"
#include "base/wire.h"

namespace ctrd::diff {
namespace {

constexpr size_t kBufferBytes = 256 << 10;
constexpr size_t kErrorTextBytes = 64 << 10;

struct Pipe {
  base::UniqueFd read_end;
  base::UniqueFd write_end;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return base::ErrnoStatus("pipe", "stream processor");
  return Pipe{base::UniqueFd(fds[0]), base::UniqueFd(fds[1])};
}

// A file in memory with `text` in it, read from the start.
absl::StatusOr<base::UniqueFd> MemoryFile(std::string_view text) {
  base::UniqueFd file(::memfd_create("stream-processor", MFD_CLOEXEC));
  if (!file.valid()) return base::ErrnoStatus("memfd_create", "stream processor");
  RETURN_IF_ERROR(base::WriteAll(file.get(), text, "stream processor payload"));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return base::ErrnoStatus("lseek", "payload");
  return file;
}

class ProcessedSource : public archive::ByteSource {
 public:
  ProcessedSource(const base::Context& context, std::string name, archive::ByteSource& input)
      : context_(context), name_(std::move(name)), input_(input) {}

  ~ProcessedSource() override {
    if (child_.pidfd.valid() && !reaped_) {
      (void)::syscall(SYS_pidfd_send_signal, child_.pidfd.get(), SIGKILL, nullptr, 0);
      (void)base::WaitFor(child_, absl::InfiniteFuture());  // A killed process ends.
    }
    output_.Reset();
    if (feeder_.joinable()) feeder_.join();
  }

  absl::Status Start(base::SpawnOptions options, const base::Any* payload) {
    ASSIGN_OR_RETURN(Pipe in, MakePipe());
    ASSIGN_OR_RETURN(Pipe out, MakePipe());
    ASSIGN_OR_RETURN(errors_, MemoryFile(""));
    base::UniqueFd payload_file;
    options.descriptors = {{in.read_end.get(), 0}, {out.write_end.get(), 1}, {errors_.get(), 2}};
    if (payload != nullptr) {
      const std::string encoded =
          base::WireWriter().Bytes(1, payload->type_url).Bytes(2, payload->value).Take();
      ASSIGN_OR_RETURN(payload_file, MemoryFile(encoded));
      options.descriptors.emplace_back(payload_file.get(), 3);
    }
    ASSIGN_OR_RETURN(child_, base::Spawn(options));
    output_ = std::move(out.read_end);
    feeder_ = std::thread([this, sink = std::move(in.write_end)]() mutable { Feed(sink); });
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    while (!reaped_) {
      RETURN_IF_ERROR(WaitForOutput());
      const ssize_t count = ::read(output_.get(), buffer.data(), buffer.size());
      if (count > 0) return static_cast<size_t>(count);
      if (count == 0) RETURN_IF_ERROR(End());
      if (count < 0 && errno != EINTR) return base::ErrnoStatus("read", name_);
    }
    return 0;
  }

 private:
  // In turns of a second, so that a caller who left is noticed.
  absl::Status WaitForOutput() {
    pollfd wait = {.fd = output_.get(), .events = POLLIN};
    while (::poll(&wait, 1, 1000) <= 0) RETURN_IF_ERROR(context_.Check());
    return absl::OkStatus();
  }

  absl::Status End() {
    ASSIGN_OR_RETURN(const int exit_code, base::WaitFor(child_, context_.deadline()));
    reaped_ = true;
    feeder_.join();
    if (exit_code != 0) {
      std::string text(kErrorTextBytes, '\0');
      const ssize_t length = ::pread(errors_.get(), text.data(), text.size(), 0);
      text.resize(length > 0 ? static_cast<size_t>(length) : 0);
      return base::Unknown("{}: exit status {}: {}", name_, exit_code, text);
    }
    return input_status_;
  }

  // Runs in its own thread: copies the input to the process until either has enough.
  void Feed(const base::UniqueFd& sink) {
    sigset_t broken_pipe;  // Reported by write(2) here, never by a signal.
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    std::vector<char> buffer(kBufferBytes);
    while (true) {
      const absl::StatusOr<size_t> count = input_.Read(buffer);
      if (!count.ok()) input_status_ = count.status();
      if (!count.ok() || *count == 0) return;
      // A process that does not want the rest of its input says so by its exit status.
      if (!base::WriteAll(sink.get(), {buffer.data(), *count}, name_).ok()) return;
    }
  }

  const base::Context& context_;
  const std::string name_;
  archive::ByteSource& input_;
  absl::Status input_status_;  // The feeder's, until it is joined.
  base::Child child_;
  base::UniqueFd output_;
  base::UniqueFd errors_;
  bool reaped_ = false;
  std::thread feeder_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<archive::ByteSource>> StartStreamProcessor(
    const base::Context& context, const StreamProcessor& processor, const std::string& media_type,
    const base::Any* payload, archive::ByteSource& input) {
  base::SpawnOptions options;
  options.argv = {processor.path};
  options.argv.insert(options.argv.end(), processor.args.begin(), processor.args.end());
  options.environment = base::CurrentEnvironment();
  options.environment.insert(options.environment.end(), processor.environment.begin(),
                             processor.environment.end());
  options.environment.push_back("STREAM_PROCESSOR_MEDIATYPE=" + media_type);
  auto source = std::make_unique<ProcessedSource>(context, processor.path, input);
  RETURN_IF_ERROR(source->Start(std::move(options), payload));
  return source;
}

}  // namespace ctrd::diff
