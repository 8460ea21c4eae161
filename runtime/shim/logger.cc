// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/logger.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/process.h"
#include "base/status.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kBecomesReady = absl::Minutes(2);
constexpr absl::Duration kEndsByItself = absl::Seconds(2);
constexpr absl::Duration kEndsWhenAsked = absl::Seconds(12);

struct PipeEnds {
  base::UniqueFd read, write;
};

absl::StatusOr<PipeEnds> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::ErrnoStatus("pipe2", "logger");
  return PipeEnds{base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string Unescape(std::string_view text, bool plus_is_space) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '%' && i + 2 < text.size() && HexValue(text[i + 1]) >= 0 &&
                         HexValue(text[i + 2]) >= 0;
    if (escaped) {
      out += static_cast<char>(HexValue(text[i + 1]) * 16 + HexValue(text[i + 2]));
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

enum class Readiness { kCalled, kSilent, kLate };

// Whether one byte came before the end of the stream, or neither in time.
Async<Readiness> AwaitReady(base::EventLoop* loop, int fd) {
  Completion<bool> ready;
  const auto callback = ready.callback();
  const absl::Status added = loop->Add(fd, EPOLLIN, [callback](uint32_t) { callback(true); });
  if (!added.ok()) co_return Readiness::kLate;
  const auto timer = loop->After(kBecomesReady, [callback] { callback(false); });
  const bool in_time = co_await ready;
  loop->Cancel(timer);
  loop->Remove(fd);
  if (!in_time) co_return Readiness::kLate;
  char byte;
  co_return ::read(fd, &byte, 1) == 1 ? Readiness::kCalled : Readiness::kSilent;
}

}  // namespace

absl::StatusOr<LoggerUri> ParseLoggerUri(std::string_view uri) {
  LoggerUri parsed;
  const size_t separator = uri.find("://");
  const std::string_view scheme = uri.substr(0, separator);
  if (separator == std::string_view::npos || (scheme != "binary" && scheme != "binary-v2")) {
    return base::InvalidArgument("bad logging binary {:?}", uri);
  }
  parsed.strict = scheme == "binary-v2";
  uri.remove_prefix(separator + 3);
  const size_t question = std::min(uri.find('?'), uri.size());
  parsed.path = Unescape(uri.substr(0, question), false);
  if (!parsed.path.starts_with('/')) return base::InvalidArgument("absolute path required");
  std::string_view query = uri.substr(std::min(question + 1, uri.size()));
  std::vector<std::string> seen;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    std::string key = Unescape(pair.substr(0, equals), true);
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) continue;
    seen.push_back(key);
    parsed.arguments.push_back(std::move(key));
    parsed.arguments.push_back(Unescape(pair.substr(std::min(equals + 1, pair.size())), true));
  }
  return parsed;
}

Async<absl::StatusOr<std::unique_ptr<LoggingBinary>>> LoggingBinary::Start(
    base::EventLoop* loop, runc::Reaper* reaper, std::string uri, std::string id,
    std::string namespace_name, std::string bundle) {
  CO_ASSIGN_OR_RETURN(const LoggerUri program, ParseLoggerUri(uri));
  CO_ASSIGN_OR_RETURN(PipeEnds out, MakePipe());
  CO_ASSIGN_OR_RETURN(PipeEnds err, MakePipe());
  CO_ASSIGN_OR_RETURN(PipeEnds ready, MakePipe());

  base::SpawnOptions options;
  options.argv = {program.path};
  options.argv.insert(options.argv.end(), program.arguments.begin(), program.arguments.end());
  options.environment = {"CONTAINER_ID=" + id, "CONTAINER_NAMESPACE=" + namespace_name};
  options.working_directory = bundle;
  options.descriptors = {{out.read.get(), 3}, {err.read.get(), 4}, {ready.write.get(), 5}};
  auto spawned = base::Spawn(options);
  if (!spawned.ok()) {
    // Not with the code of the cause: NotFound would say that the container is not there.
    co_return base::Unknown("failed to start binary process: {}",
                            base::FromAbsl(spawned.status().message()));
  }
  base::Child child = *std::move(spawned);

  std::unique_ptr<LoggingBinary> logger(new LoggingBinary(loop));
  logger->stdout_ = std::move(out.write);
  logger->stderr_ = std::move(err.write);
  logger->pidfd_ = std::move(child.pidfd);
  reaper->Watch(child.pid, [ended = logger->ended_](runc::Exit) {
    ended->over = true;
    ended->signal.Notify();
  });
  ready.write.Reset();
  const Readiness readiness = co_await AwaitReady(loop, ready.read.get());
  if (readiness == Readiness::kLate) {
    co_return base::Unknown("logging binary {:?} does not become ready", program.path);
  }
  if (readiness == Readiness::kSilent && program.strict) {
    co_return base::Unknown(
        "logging binary did not call ready (it may have crashed or exited prematurely)");
  }
  co_return logger;
}

LoggingBinary::~LoggingBinary() {
  // Of a process that came to nothing: there is nothing to log.
  if (!ended_->over) (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

Async<bool> LoggingBinary::AwaitEnd(absl::Duration limit) {
  bool late = false;
  const auto timer = loop_->After(limit, [&late, ended = ended_] {
    late = true;
    ended->signal.Notify();
  });
  while (!ended_->over && !late) {
    co_await ended_->signal.Wait();
  }
  loop_->Cancel(timer);
  co_return ended_->over;
}

Async<bool> LoggingBinary::Finish(std::shared_ptr<LoggingBinary> self) {
  self->stdout_.Reset();
  self->stderr_.Reset();
  bool ended = co_await self->AwaitEnd(kEndsByItself);
  if (ended) co_return true;
  (void)::syscall(SYS_pidfd_send_signal, self->pidfd_.get(), SIGTERM, nullptr, 0);
  ended = co_await self->AwaitEnd(kEndsWhenAsked);
  if (ended) co_return true;
  (void)::syscall(SYS_pidfd_send_signal, self->pidfd_.get(), SIGKILL, nullptr, 0);
  co_return false;
}

}  // namespace ctrd::runtime::shim
