// SPDX-License-Identifier: Apache-2.0
#include "ctr/cli/command.h"
#include "ctr/cli/table.h"

namespace ctrd::ctr {
namespace {

// "--quiet, -q", "--signal value, -s value".
std::string FlagNames(const Flag& flag) {
  std::string text;
  size_t start = 0;
  while (start <= flag.names.size()) {
    const size_t comma = std::min(flag.names.find(',', start), flag.names.size());
    const std::string name = flag.names.substr(start, comma - start);
    if (!text.empty()) text += ", ";
    text += (name.size() == 1 ? "-" : "--") + name;
    if (flag.kind != FlagKind::kSwitch) text += " value";
    start = comma + 1;
  }
  return text;
}

std::string FlagRow(const Flag& flag) {
  std::string row = "   " + FlagNames(flag) + "\t" + flag.description;
  if (!flag.default_value.empty()) {
    const bool quoted = flag.kind == FlagKind::kText;
    row += quoted ? " (default: \"" + flag.default_value + "\")"
                  : " (default: " + flag.default_value + ")";
  }
  if (!flag.environment.empty()) row += " [$" + flag.environment + "]";
  return row + "\n";
}

std::string CommandRow(const Command& command) {
  std::string names = command.names;
  for (size_t at = 0; (at = names.find(',', at)) != std::string::npos; at += 2) {
    names.replace(at, 1, ", ");
  }
  return "   " + names + "\t" + command.summary + "\n";
}

}  // namespace

std::string HelpFor(const std::vector<const Command*>& path) {
  const Command& command = *path.back();
  const bool is_program = path.size() == 1;
  std::string name;
  for (const Command* part : path) name += (name.empty() ? "" : " ") + part->name();
  std::string help = "NAME:\n   " + name + " - " + command.summary + "\n\nUSAGE:\n   " + name;
  if (is_program) {
    help += " [global options] command [command options] [arguments...]\n";
  } else if (!command.commands.empty()) {
    help += " command [command options] [arguments...]\n";
  } else {
    if (!command.flags.empty()) help += " [command options]";
    help += " " + (command.arguments.empty() ? "[arguments...]" : command.arguments) + "\n";
  }
  if (!command.description.empty()) help += "\nDESCRIPTION:\n   " + command.description + "\n";
  Table table(Table::kHelp);
  if (!command.commands.empty()) {
    table.Write("\nCOMMANDS:\n");
    for (const Command& sub : command.commands) table.Write(CommandRow(sub));
    if (is_program) table.Write("   help, h\tshow this list\n");
  }
  if (!command.flags.empty() || !command.commands.empty()) {
    table.Write(is_program ? "\nGLOBAL OPTIONS:\n" : "\nOPTIONS:\n");
    for (const Flag& flag : command.flags) {
      if (!flag.hidden) table.Write(FlagRow(flag));
    }
    if (!command.commands.empty()) table.Write("   --help, -h\tshow help\n");
  }
  return help + table.Take();
}

}  // namespace ctrd::ctr
