// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <string>
#include <vector>

#include "ctr/commands.h"
#include "ctr/output.h"
#include "ctr/version.h"

namespace ctrd::ctr {

namespace {

Command Program() {
  Command program{.names = "ctr", .summary = "talk to a containerd daemon, for tests and repair"};
  program.flags = {
      {FlagKind::kSwitch, "debug", "log more"},
      {FlagKind::kText, "address,a", "socket of the daemon", "/run/containerd/containerd.sock",
       "CONTAINERD_ADDRESS"},
      {FlagKind::kDuration, "timeout", "limit for the whole command, 0 for none", "0s"},
      {FlagKind::kDuration, "connect-timeout", "limit for connecting, 0 for the usual one", "0s"},
      {FlagKind::kText, "namespace,n", "namespace of what is worked on", "default",
       "CONTAINERD_NAMESPACE"},
      {FlagKind::kSwitch, "version,v", "print the version"},
  };
  program.commands = {
      PluginsCommand(),
      VersionCommand(),
      InfoCommand(),
      DeprecationsCommand(),
      ContainersCommand(),
      ContentCommand(),
      EventsCommand(),
      ImagesCommand(),
      LeasesCommand(),
      NamespacesCommand(),
      RunCommand(),
      SnapshotsCommand(),
      TasksCommand(),
      OciCommand(),
      MissingCommand("install", "install a package from an image"),
      MissingCommand("pprof", "profiles of a Go daemon"),
      MissingCommand("sandboxes,sandbox,sb,s", "manage sandboxes"),
      ShimCommand(),
  };
  return program;
}

}  // namespace
}  // namespace ctrd::ctr

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && (words[0] == "-v" || words[0] == "--version")) {
    ctrd::ctr::PrintLine(std::string("ctr github.com/containerd/containerd/v2 ") +
                         std::string(ctrd::ctr::kVersion));
    return 0;
  }
  return ctrd::ctr::RunProgram(ctrd::ctr::Program(), words);
}
