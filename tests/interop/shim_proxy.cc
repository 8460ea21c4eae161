// SPDX-License-Identifier: Apache-2.0

// A shim for tests of how the daemon reaches shims. It starts the real shim that stands beside it
// and stands before it, in the manner that the name it is called by ends with:
//
//   grpc      speaks gRPC on a UNIX socket
//   hvsock    is a hypervisor's socket: hangs up on the first who connects, then answers CONNECT
//   abstract  listens in the abstract space, and says so as the oldest shims did
//
// It lives as long as the real shim. All calls but `start` are those of the real one.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "base/event_loop.h"
#include "base/files.h"
#include "base/process.h"
#include "base/status.h"
#include "fmt/format.h"
#include "runtime/supervisor/bootstrap.h"
#include "runtime/supervisor/shim_address.h"
#include "runtime/supervisor/testing/grpc_bridge.h"
#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime {
namespace {

constexpr std::string_view kPort = "1024";

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

std::string RealShim() {
  return std::filesystem::canonical("/proc/self/exe").replace_filename("containerd-shim-runc-v2");
}

std::vector<std::string> RealArguments(int argc, char** argv) {
  std::vector<std::string> arguments = {RealShim()};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  return arguments;
}

// Bytes from one to the other, until either ends; then neither has anything more to say.
void Pass(int from, int to) {
  char buffer[16 << 10];
  while (true) {
    const ssize_t count = ::recv(from, buffer, sizeof(buffer), 0);
    if (count <= 0) break;
    for (ssize_t sent = 0; sent < count;) {
      const ssize_t part =
          ::send(to, buffer + sent, static_cast<size_t>(count - sent), MSG_NOSIGNAL);
      if (part <= 0) break;
      sent += part;
    }
  }
  (void)::shutdown(from, SHUT_RDWR);
  (void)::shutdown(to, SHUT_RDWR);
}

// The line that a hypervisor is greeted with; false if it is not that.
bool TakeGreeting(int peer) {
  const std::string expected = fmt::format("CONNECT {}\n", kPort);
  std::string line(expected.size(), '\0');
  if (::recv(peer, line.data(), line.size(), MSG_WAITALL) != static_cast<ssize_t>(line.size())) {
    return false;
  }
  constexpr std::string_view kAnswer = "OK 1073741824\n";
  return line == expected && ::send(peer, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL) > 0;
}

void Relay(const base::UniqueFd& listener, const std::string& real, bool hypervisor) {
  bool hang_up = hypervisor;
  while (true) {
    base::UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer.valid() || std::exchange(hang_up, false)) continue;
    std::thread([peer = std::move(peer), real, hypervisor]() {
      if (hypervisor && !TakeGreeting(peer.get())) return;
      const auto shim = DialShim(real, Soon());
      if (!shim.ok()) return;
      (void)::fcntl(shim->get(), F_SETFL, 0);
      std::thread back([&] { Pass(shim->get(), peer.get()); });
      Pass(peer.get(), shim->get());
      back.join();
    }).detach();
  }
}

absl::StatusOr<base::UniqueFd> ListenAbstract(const std::string& name) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  name.copy(address.sun_path + 1, sizeof(address.sun_path) - 1);
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(fd.get(), 64) != 0) {
    return base::ErrnoStatus("listen", name);
  }
  return fd;
}

int Fail(std::string_view text) {
  std::fprintf(stderr, "%s\n", std::string(text).c_str());
  return 1;
}

struct Manner {
  bool grpc, hypervisor, abstract;
};

// Until the real shim is gone.
int Serve(const Manner& manner, base::UniqueFd listener, const std::string& path,
          const std::string& real) {
  auto thread = base::EventLoopThread::Create();
  if (!thread.ok()) return 1;
  auto client = ttrpc::Client::Connect((*thread)->loop(), real, Soon());
  if (!client.ok()) return 1;
  (*client)->OnClose([&path] {
    ::unlink(path.c_str());
    ::_exit(0);
  });
  if (manner.grpc) {
    const GrpcBridge bridge(client->get(), std::move(listener));
    while (true) ::pause();
  }
  (void)::fcntl(listener.get(), F_SETFL, 0);
  Relay(listener, real, manner.hypervisor);
  return 0;
}

int Start(const Manner& manner, int argc, char** argv) {
  const auto input = base::ReadAll(STDIN_FILENO, "stdin");
  if (!input.ok()) return Fail(base::MessageOf(input.status()));
  base::SpawnOptions spawn;
  spawn.argv = RealArguments(argc, argv);
  spawn.environment = base::CurrentEnvironment();
  const auto started = base::Run(std::move(spawn), *input, Soon());
  if (!started.ok()) return Fail(base::MessageOf(started.status()));
  if (started->exit_code != 0) return Fail(started->output);
  const auto real = DecodeStartAnswer(started->output);
  if (!real.ok()) return Fail(base::MessageOf(real.status()));
  const std::string path = SocketFile(real->address) + ".p";
  auto listener = manner.abstract ? ListenAbstract(path) : ttrpc::ListenUnix(path);
  if (!listener.ok()) return Fail(base::MessageOf(listener.status()));
  if (::fork() == 0) {
    ::setsid();
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
    ::_exit(Serve(manner, std::move(*listener), path, real->address));
  }
  if (manner.abstract) {
    std::printf("%s\n", path.c_str());
  } else {
    const std::string address =
        manner.hypervisor ? fmt::format("hvsock://{}:{}", path, kPort) : path;
    std::printf(R"({"version":3,"address":"%s","protocol":"%s"})", address.c_str(),
                manner.grpc ? "grpc" : "ttrpc");
  }
  return 0;
}

int Main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  const std::string_view name = argv[0];
  const Manner manner{name.ends_with("grpc"), name.ends_with("hvsock"), name.ends_with("abstract")};
  if (argc > 1 && std::string_view(argv[argc - 1]) == "start") return Start(manner, argc, argv);
  std::vector<char*> arguments(argv, argv + argc + 1);
  const std::string real = RealShim();
  ::execv(real.c_str(), arguments.data());
  return Fail("cannot run " + real);
}

}  // namespace
}  // namespace ctrd::runtime

int main(int argc, char** argv) { return ctrd::runtime::Main(argc, argv); }
