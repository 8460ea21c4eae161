// SPDX-License-Identifier: Apache-2.0
#include "daemon/command_line.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/status.h"
#include "daemon/version.h"

namespace ctrd {
namespace {

std::string VersionLine() {
  return fmt::format("containerd {} {} {}\n", kPackage, kVersion, kRevision);
}

// CLI11 takes "-name" for a bundle of letters; clients mean the long flag.
std::vector<std::string> WithTwoDashes(int argc, char** argv) {
  std::vector<std::string> args;
  for (int i = argc - 1; i > 0; --i) {  // CLI11 wants them from the last to the first.
    std::string_view arg = argv[i];
    const bool one_dash = arg.size() > 2 && arg[0] == '-' && arg[1] != '-';
    args.push_back((one_dash ? "-" : "") + std::string(arg));
  }
  return args;
}

config::Section WithValue(const config::Section& section, const std::string& key,
                          config::Value value) {
  config::Table values = section.values();
  values[key] = std::move(value);
  return config::Section(std::move(values));
}

// The flag moves the ttrpc socket along, unless the configuration has placed that on its own.
void ApplyAddress(const std::string& address, bool ttrpc_configured, config::Config& config) {
  config::Section& grpc = config.plugins["io.containerd.server.v1.grpc"];
  grpc = WithValue(grpc, "address", address);
  if (ttrpc_configured) return;
  config::Section& ttrpc = config.plugins["io.containerd.server.v1.ttrpc"];
  ttrpc = WithValue(ttrpc, "address", address + ".ttrpc");
  ttrpc = WithValue(ttrpc, "uid", grpc.Integer("uid"));
  ttrpc = WithValue(ttrpc, "gid", grpc.Integer("gid"));
}

}  // namespace

CommandLine ParseCommandLine(int argc, char** argv) {
  CommandLine line;
  CLI::App app("a high performance container runtime", "containerd");
  bool version = false;
  CLI::Option* config =
      app.add_option("-c,--config", line.config_path, "path of the configuration");
  app.add_option("-l,--log-level", line.log_level,
                 "trace, debug, info, warn, error, fatal or panic");
  app.add_option("-a,--address", line.address, "address of the gRPC socket");
  app.add_option("--root", line.root, "directory of what is kept");
  app.add_option("--state", line.state, "directory of what lasts until the next boot");
  app.add_flag("-v,--version", version, "print the version");

  CLI::App* configs = app.add_subcommand("config", "information on the configuration");
  configs->require_subcommand(1);
  CLI::App* defaults = configs->add_subcommand("default", "print the default configuration");
  CLI::App* dump = configs->add_subcommand("dump", "print the configuration in force");
  CLI::App* migrate = configs->add_subcommand("migrate", "print it in the newest version");
  CLI::App* publish = app.add_subcommand("publish", "publish an event read from standard input");
  publish->add_option("--namespace", line.publish_namespace, "namespace of the event");
  publish->add_option("--topic", line.publish_topic, "topic of the event");
  app.allow_extras();

  try {  // CLI11 tells of help and of errors by throwing; nothing of it leaves this function.
    app.parse(WithTwoDashes(argc, argv));
  } catch (const CLI::CallForHelp&) {
    line.command = Command::kPrintAndExit;
    line.output = app.help();
    return line;
  } catch (const CLI::ParseError& error) {
    line.command = Command::kPrintAndExit;
    line.output = fmt::format("containerd: {}\n", error.what());
    line.exit_code = 1;
    return line;
  }
  line.config_given = config->count() > 0;
  if (version) {
    line.command = Command::kPrintAndExit;
    line.output = VersionLine();
  } else if (!app.remaining().empty()) {
    line.command = Command::kPrintAndExit;
    line.output = fmt::format("No help topic for '{}'\n", app.remaining().front());
    line.exit_code = 3;
  } else if (defaults->parsed()) {
    line.command = Command::kConfigDefault;
  } else if (dump->parsed() || migrate->parsed()) {
    line.command = Command::kConfigDump;
  } else if (publish->parsed()) {
    line.command = Command::kPublish;
  }
  return line;
}

absl::StatusOr<config::Config> ConfigFor(const CommandLine& line, const config::Schemas& schemas,
                                         const config::Warn& warn) {
  config::Config config = config::DefaultConfig(schemas);
  bool ttrpc_configured = false;
  if (line.config_given || base::Exists(line.config_path)) {
    ASSIGN_OR_RETURN(config, config::LoadConfig(line.config_path, schemas, warn));
    const config::Config defaults = config::DefaultConfig(schemas);
    const char* const kTtrpc = "io.containerd.server.v1.ttrpc";
    const char* const kGrpc = "io.containerd.server.v1.grpc";
    const std::string& ttrpc = config.plugins[kTtrpc].String("address");
    ttrpc_configured = ttrpc != defaults.plugins.at(kTtrpc).String("address") &&
                       ttrpc != config.plugins[kGrpc].String("address") + ".ttrpc";
  }
  if (!line.root.empty()) config.root = std::filesystem::absolute(line.root).lexically_normal();
  if (!line.state.empty()) config.state = std::filesystem::absolute(line.state).lexically_normal();
  if (!line.log_level.empty()) config.log_level = line.log_level;
  if (!line.address.empty()) ApplyAddress(line.address, ttrpc_configured, config);
  if (config.root.empty()) return base::InvalidArgument("root must be specified");
  if (config.state.empty()) return base::InvalidArgument("state must be specified");
  if (config.root == config.state) {
    return base::InvalidArgument("root and state must be different paths");
  }
  return config;
}

}  // namespace ctrd
