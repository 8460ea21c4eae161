// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ctr/cli/table.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/output.h"
#include "images/spec/platform.h"
#include "services/introspection/v1/introspection.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::introspection::v1;

std::string Join(const std::vector<std::string>& words, std::string_view none) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : ",") + word;
  return joined.empty() ? std::string(none) : joined;
}

std::string PlatformsOf(const api::Plugin& plugin, std::string_view none) {
  std::vector<std::string> platforms;
  for (const auto& platform : plugin.platforms()) {
    platforms.push_back(images::FormatPlatform({.os = platform.os(),
                                                .architecture = platform.architecture(),
                                                .variant = platform.variant()}));
  }
  return Join(platforms, none);
}

std::string StateOf(const api::Plugin& plugin) {
  if (!plugin.has_init_err()) return "ok";
  return plugin.init_err().message().find("skip plugin") == std::string::npos ? "error" : "skip";
}

std::string CodeName(int code) {
  static constexpr const char* kNames[] = {
      "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
      "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
      "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
      "DataLoss", "Unauthenticated"};
  if (code < 0 || code >= static_cast<int>(std::size(kNames))) return fmt::format("Code({})", code);
  return kNames[code];
}

void Describe(const api::Plugin& plugin, Table& table) {
  table.Write("Type:\t " + plugin.type() + "\nID:\t " + plugin.id() + "\n");
  if (!plugin.requires_().empty()) {
    table.Write("Requires:\t\n");
    for (const std::string& type : plugin.requires_()) table.Write("\t " + type + "\n");
  }
  if (!plugin.platforms().empty()) table.Write("Platforms:\t " + PlatformsOf(plugin, "") + "\n");
  if (!plugin.exports().empty()) {
    table.Write("Exports:\t\n");
    const std::map<std::string, std::string> exports(plugin.exports().begin(),
                                                     plugin.exports().end());
    for (const auto& [key, value] : exports) table.Write("\t " + key + " \t " + value + "\n");
  }
  if (!plugin.capabilities().empty()) {
    table.Write("Capabilities:\t " +
                Join({plugin.capabilities().begin(), plugin.capabilities().end()}, "") + "\n");
  }
  if (plugin.has_init_err()) {
    table.Write("Error:\t\n");
    table.Write("\t Code:\t " + CodeName(plugin.init_err().code()) + "\n");
    table.Write("\t Message:\t " + plugin.init_err().message() + "\n");
  }
  table.Write("\t\t\t\n");
}

absl::Status List(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  api::PluginsRequest request;
  for (const std::string& filter : invocation.arguments()) request.add_filters(filter);
  ASSIGN_OR_RETURN(const auto response, client.Call(&api::Introspection::Stub::Plugins, request));
  Table table(Table::kWide);
  const bool quiet = invocation.Switch("quiet");
  const bool detailed = invocation.Switch("detailed");
  if (!quiet && !detailed) table.Row({"TYPE", "ID", "PLATFORMS", "STATUS"});
  for (const auto& plugin : response.plugins()) {
    if (quiet) {
      PrintLine(plugin.id());
    } else if (detailed) {
      Describe(plugin, table);
    } else {
      table.Row({plugin.type(), plugin.id(), PlatformsOf(plugin, "-"), StateOf(plugin)});
    }
  }
  table.Print();
  return absl::OkStatus();
}

}  // namespace

Command PluginsCommand() {
  Command list{.names = "list,ls", .summary = "list the daemon's plugins", .action = List};
  list.flags = {QuietFlag("the ids"),
                {FlagKind::kSwitch, "detailed,d", "print all that is known of each plugin"}};
  return {.names = "plugins,plugin",
          .summary = "show the daemon's plugins",
          .commands = {list, InspectRuntimeCommand()}};
}

}  // namespace ctrd::ctr
