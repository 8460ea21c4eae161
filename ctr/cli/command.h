// SPDX-License-Identifier: Apache-2.0
// Commands, flags and how a command line is taken apart.
//
//   ctr [global flags] group [group's flags] command [command's flags] argument…
//
// Flags stand before arguments, at every level: the first word that is no flag ends them, and so
// does "--". A flag is written with one or two dashes, its value after '=' or as the next word; a
// switch may be given "=false". Lists grow with each use of their flag. Why this is not one of the
// usual libraries: docs/decisions/ctr-command-line.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ctrd::ctr {

class Invocation;

enum class FlagKind { kSwitch, kText, kInteger, kReal, kDuration, kList };

struct Flag {
  FlagKind kind = FlagKind::kSwitch;
  std::string names;  // "quiet,q": the first one is the name in code.
  std::string description;
  std::string default_value;
  std::string environment;  // A variable that gives the value if the command line does not.
  bool required = false;
  bool hidden = false;
};

using Action = std::function<absl::Status(Invocation&)>;

struct Command {
  std::string names;  // "list,ls"
  std::string summary;
  std::string arguments;    // "<ref> [<ref>, ...]", for its usage.
  std::string description;  // Longer; may be empty.
  std::vector<Flag> flags;
  std::vector<Command> commands;  // A group: has these and no action.
  Action action;

  std::string name() const { return names.substr(0, names.find(',')); }
};

// Flags of several commands put together.
std::vector<Flag> Join(std::initializer_list<std::vector<Flag>> lists);

// What was given to one command.
class Invocation {
 public:
  // Values by the flag's first name: of the command itself, else of the groups around it. A name
  // that was not declared is an error of ours and aborts.
  bool Switch(std::string_view name) const;
  std::string Text(std::string_view name) const;
  int64_t Integer(std::string_view name) const;
  double Real(std::string_view name) const;
  absl::Duration Duration(std::string_view name) const;
  std::vector<std::string> List(std::string_view name) const;
  bool IsSet(std::string_view name) const;     // On the command line or by the environment.
  bool Declares(std::string_view name) const;  // For code that serves commands with fewer flags.

  const std::vector<std::string>& arguments() const { return arguments_; }
  // The argument at `index`, or "".
  std::string Argument(size_t index) const;
  std::vector<std::string> ArgumentsFrom(size_t index) const;

  // What the program exits with if the action returns OK.
  void ExitWith(int code) { exit_code_ = code; }
  int exit_code() const { return exit_code_; }

  void ShowHelp() const;  // Of the command, on standard output.

 private:
  friend class Parser;
  struct Values {
    const Command* command;
    std::map<std::string, std::vector<std::string>> given;
  };
  struct Found {
    const Flag* flag;
    const std::vector<std::string>* values;  // nullptr: not given.
  };
  Found Find(std::string_view name) const;
  const std::string& Last(std::string_view name) const;

  std::vector<Values> levels_;  // The program first, the command last.
  std::vector<std::string> arguments_;
  int exit_code_ = 0;
};

// Runs `program` with `words` (without the program's own name): the exit code. Errors are printed
// as "ctr: <message>".
int RunProgram(const Command& program, const std::vector<std::string>& words);

// The usage of the command at the end of `path` (the program first).
std::string HelpFor(const std::vector<const Command*>& path);

// --name=value becomes {name, value}; without '=' the value is `fallback`.
std::map<std::string, std::string> ParseLabels(const std::vector<std::string>& words,
                                               std::string_view fallback);

}  // namespace ctrd::ctr
