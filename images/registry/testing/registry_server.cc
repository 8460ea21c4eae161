// SPDX-License-Identifier: Apache-2.0
#include "images/registry/testing/registry_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/status.h"

namespace ctrd::registry {
namespace {

absl::StatusOr<int> FreePort() {
  const base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return base::ErrnoStatus("bind", "127.0.0.1");
  }
  return ntohs(address.sin_port);
}

// Reads what the server logs until it says that it listens.
absl::Status WaitUntilListening(int log) {
  std::string text;
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (absl::Now() < deadline) {
    pollfd poll{log, POLLIN, 0};
    if (::poll(&poll, 1, 1000) <= 0) continue;
    char buffer[4096];
    const ssize_t got = ::read(log, buffer, sizeof(buffer));
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
    if (text.find("listening on") != std::string::npos) return absl::OkStatus();
  }
  return base::Unknown("docker-registry does not listen: {}", text);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RegistryServer>> RegistryServer::Start() {
  ASSIGN_OR_RETURN(const std::string program, base::FindExecutable("docker-registry"));
  auto server = std::unique_ptr<RegistryServer>(new RegistryServer);
  ASSIGN_OR_RETURN(server->directory_, base::MakeTempDirectory("/tmp", "registry-test-"));
  ASSIGN_OR_RETURN(const int port, FreePort());
  server->host_ = fmt::format("127.0.0.1:{}", port);
  const std::string config = server->directory_ + "/config.yml";
  RETURN_IF_ERROR(base::WriteFileAtomically(
      config,
      fmt::format("version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\nstorage:\n  "
                  "filesystem: {{rootdirectory: {}}}\n"
                  "http: {{addr: '{}'}}\n",
                  server->directory_ + "/data", server->host_),
      0600));
  int log[2];
  if (::pipe2(log, O_CLOEXEC) != 0) return base::ErrnoStatus("pipe2", "");
  server->log_.Reset(log[0]);  // Kept: a server whose log has no reader dies of it.
  base::UniqueFd write_end(log[1]);
  ASSIGN_OR_RETURN(server->child_, base::Spawn({.argv = {program, "serve", config},
                                                .environment = base::CurrentEnvironment(),
                                                .descriptors = {{write_end.get(), 2}},
                                                .parent_death_signal = SIGKILL}));
  write_end.Reset();
  RETURN_IF_ERROR(WaitUntilListening(server->log_.get()));
  return server;
}

RegistryServer::~RegistryServer() {
  if (child_.pid > 0) {
    ::kill(child_.pid, SIGKILL);
    (void)base::WaitFor(child_, absl::Now() + absl::Seconds(10));
  }
  if (!directory_.empty()) (void)base::RemoveTree(directory_);
}

std::string RegistryServer::BlobPath(const std::string& digest) const {
  const std::string hex = digest.substr(digest.find(':') + 1);
  return fmt::format("{}/data/docker/registry/v2/blobs/sha256/{}/{}/data", directory_,
                     hex.substr(0, 2), hex);
}

}  // namespace ctrd::registry
