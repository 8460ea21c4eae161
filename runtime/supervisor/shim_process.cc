// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/shim_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/time/clock.h"
#include "base/files.h"
#include "fmt/format.h"
#include "runtime/supervisor/shim_address.h"

namespace ctrd::runtime {
namespace {

constexpr size_t kTableLimitBytes = 64 << 20;

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    line.remove_prefix(std::min(line.size(), line.find_first_not_of(' ')));
    if (line.empty()) return words;
    const size_t end = std::min(line.size(), line.find(' '));
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

// "socket:[<inode>]" of the listener that has one of these names: Num RefCount Protocol Flags Type
// St Inode Path.
std::string ListenerLink(const std::vector<std::string>& paths) {
  if (paths.empty()) return "";
  const auto table = base::ReadFile("/proc/net/unix", kTableLimitBytes);
  if (!table.ok()) return "";
  constexpr std::string_view kAccepting = "00010000";
  for (std::string_view rest = *table; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const auto words = Words(line);
    if (words.size() == 8 && words[3] == kAccepting &&
        std::find(paths.begin(), paths.end(), words[7]) != paths.end()) {
      return fmt::format("socket:[{}]", words[6]);
    }
  }
  return "";
}

bool Holds(const std::string& pid, const std::string& link) {
  const std::string directory = fmt::format("/proc/{}/fd", pid);
  const auto names = base::ListDirectory(directory);
  if (!names.ok()) return false;  // Gone meanwhile.
  return std::any_of(names->begin(), names->end(), [&](const std::string& name) {
    char target[64];
    const ssize_t size =
        ::readlink(fmt::format("{}/{}", directory, name).c_str(), target, sizeof(target));
    return size > 0 && std::string_view(target, static_cast<size_t>(size)) == link;
  });
}

bool AwaitEnd(const base::Child& child, absl::Time deadline) {
  while (true) {
    const int64_t left =
        std::max<int64_t>(0, absl::ToInt64Milliseconds(deadline - absl::Now()) + 1);
    pollfd poll{.fd = child.pidfd.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&poll, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    return ready > 0;
  }
}

}  // namespace

std::vector<base::Child> FindListeners(const std::string& address) {
  const std::string link = ListenerLink(ListenerNames(address));
  if (link.empty()) return {};
  const auto names = base::ListDirectory("/proc");
  if (!names.ok()) return {};
  std::vector<base::Child> found;
  for (const std::string& name : *names) {
    const pid_t pid = std::atoi(name.c_str());
    if (pid <= 0 || pid == ::getpid() || !Holds(name, link)) continue;
    base::Child child{.pid = pid,
                      .pidfd = base::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)))};
    // Looked at once more, now that the number cannot pass to another process unnoticed.
    if (child.pidfd.valid() && Holds(name, link)) found.push_back(std::move(child));
  }
  return found;
}

bool KillListeners(const std::string& address, absl::Time deadline) {
  const std::vector<base::Child> listeners = FindListeners(address);
  for (const base::Child& child : listeners) {
    (void)::syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0);
  }
  return !listeners.empty() && std::all_of(listeners.begin(), listeners.end(),
                                           [&](const auto& c) { return AwaitEnd(c, deadline); });
}

void RemoveDeadSocket(const std::string& address, const std::string& directory) {
  const std::string path = SocketFile(address);
  if (path.empty() || directory.empty()) return;
  sockaddr_un peer{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(peer.sun_path) || path.substr(0, path.rfind('/')) != directory) return;
  path.copy(peer.sun_path, path.size());
  const base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return;
  const bool refused =
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) != 0 &&
      errno == ECONNREFUSED;
  if (refused) (void)::unlink(path.c_str());  // Best effort: the next shim of that name does it.
}

}  // namespace ctrd::runtime
