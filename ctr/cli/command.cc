// SPDX-License-Identifier: Apache-2.0
#include "ctr/cli/command.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "base/identifiers.h"
#include "base/status.h"
#include "base/time.h"

namespace ctrd::ctr {
namespace {

constexpr int kUnknownTopic = 3;

bool HasName(std::string_view names, std::string_view name) {
  while (true) {
    const size_t comma = names.find(',');
    if (names.substr(0, comma) == name) return true;
    if (comma == std::string_view::npos) return false;
    names.remove_prefix(comma + 1);
  }
}

std::string FirstName(const Flag& flag) { return flag.names.substr(0, flag.names.find(',')); }

const Flag* FindFlag(const Command& command, std::string_view name) {
  for (const Flag& flag : command.flags) {
    if (HasName(flag.names, name)) return &flag;
  }
  return nullptr;
}

template <typename T>
bool ParsesAs(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<bool> ParseSwitch(std::string_view text) {
  if (text == "true" || text == "1" || text == "t" || text == "T" || text == "TRUE" ||
      text == "True") {
    return true;
  }
  if (text == "false" || text == "0" || text == "f" || text == "F" || text == "FALSE" ||
      text == "False") {
    return false;
  }
  return std::nullopt;
}

bool IsValid(FlagKind kind, const std::string& value) {
  switch (kind) {
    case FlagKind::kSwitch:
      return ParseSwitch(value).has_value();
    case FlagKind::kInteger:
      return ParsesAs<int64_t>(value);
    case FlagKind::kReal:
      return ParsesAs<double>(value);
    case FlagKind::kDuration:
      return base::ParseDuration(value).has_value();
    case FlagKind::kText:
    case FlagKind::kList:
      return true;
  }
  return false;
}

}  // namespace

std::vector<Flag> Join(std::initializer_list<std::vector<Flag>> lists) {
  std::vector<Flag> all;
  for (const std::vector<Flag>& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

Invocation::Found Invocation::Find(std::string_view name) const {
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    const Flag* flag = FindFlag(*level->command, name);
    if (flag == nullptr) continue;
    const auto given = level->given.find(FirstName(*flag));
    return {flag, given == level->given.end() ? nullptr : &given->second};
  }
  std::fprintf(stderr, "ctr: flag '%.*s' is read but not declared\n", static_cast<int>(name.size()),
               name.data());
  std::abort();
}

const std::string& Invocation::Last(std::string_view name) const {
  const Found found = Find(name);
  return found.values == nullptr ? found.flag->default_value : found.values->back();
}

bool Invocation::Switch(std::string_view name) const {
  return ParseSwitch(Last(name)).value_or(false);
}

std::string Invocation::Text(std::string_view name) const { return Last(name); }

int64_t Invocation::Integer(std::string_view name) const {
  return std::strtoll(Last(name).c_str(), nullptr, 10);
}

double Invocation::Real(std::string_view name) const {
  return std::strtod(Last(name).c_str(), nullptr);
}

absl::Duration Invocation::Duration(std::string_view name) const {
  return base::ParseDuration(Last(name)).value_or(absl::ZeroDuration());
}

std::vector<std::string> Invocation::List(std::string_view name) const {
  const Found found = Find(name);
  return found.values == nullptr ? std::vector<std::string>() : *found.values;
}

bool Invocation::IsSet(std::string_view name) const { return Find(name).values != nullptr; }

bool Invocation::Declares(std::string_view name) const {
  return FindFlag(*levels_.back().command, name) != nullptr;
}

std::string Invocation::Argument(size_t index) const {
  return index < arguments_.size() ? arguments_[index] : std::string();
}

std::vector<std::string> Invocation::ArgumentsFrom(size_t index) const {
  if (index >= arguments_.size()) return {};
  return {arguments_.begin() + static_cast<ptrdiff_t>(index), arguments_.end()};
}

void Invocation::ShowHelp() const {
  std::vector<const Command*> path;
  for (const Values& level : levels_) path.push_back(level.command);
  std::fputs(HelpFor(path).c_str(), stdout);
}

// Takes a command line apart and runs what it names.
class Parser {
 public:
  Parser(const Command& program, const std::vector<std::string>& words)
      : program_(program), words_(words) {}

  int Run() {
    const Command* command = &program_;
    while (true) {
      invocation_.levels_.push_back({command, {}});
      bool wants_help = false;
      if (absl::Status status = ReadFlags(wants_help); !status.ok()) return Refuse(status);
      if (wants_help) return ShowHelp();
      ReadEnvironment();
      if (command->action) break;
      if (next_ == words_.size()) return ShowHelp();
      const Command* sub = FindCommand(*command, words_[next_]);
      if (words_[next_] == "help" || words_[next_] == "h") return ShowHelp();
      if (sub == nullptr) {
        std::fprintf(stderr, "No help topic for '%s'\n", words_[next_].c_str());
        return kUnknownTopic;
      }
      ++next_;
      command = sub;
    }
    if (absl::Status status = CheckRequired(*command); !status.ok()) {
      invocation_.ShowHelp();
      return Fail(status);
    }
    invocation_.arguments_.assign(words_.begin() + static_cast<ptrdiff_t>(next_), words_.end());
    if (absl::Status status = command->action(invocation_); !status.ok()) return Fail(status);
    std::fflush(stdout);
    return invocation_.exit_code();
  }

 private:
  static const Command* FindCommand(const Command& group, std::string_view name) {
    for (const Command& command : group.commands) {
      if (HasName(command.names, name)) return &command;
    }
    return nullptr;
  }

  int ShowHelp() const {
    invocation_.ShowHelp();
    return 0;
  }

  static int Fail(const absl::Status& status) {
    std::fflush(stdout);
    std::fprintf(stderr, "ctr: %s\n", base::MessageOf(status).c_str());
    return 1;
  }

  int Refuse(const absl::Status& status) const {
    // The program itself and its commands differ in one character, and scripts have seen both.
    std::printf("Incorrect Usage%c %s\n\n", invocation_.levels_.size() == 1 ? '.' : ':',
                base::MessageOf(status).c_str());
    invocation_.ShowHelp();
    return Fail(status);
  }

  absl::Status ReadFlags(bool& wants_help) {
    while (next_ < words_.size()) {
      std::string_view word = words_[next_];
      if (word.size() < 2 || word[0] != '-') return absl::OkStatus();
      ++next_;
      if (word == "--") return absl::OkStatus();
      word.remove_prefix(word[1] == '-' ? 2 : 1);
      const size_t equals = word.find('=');
      const std::string name(word.substr(0, equals));
      if (name.empty() || name[0] == '-')
        return base::Unknown("bad flag syntax: {}", words_[next_ - 1]);
      std::optional<std::string> value;
      if (equals != std::string_view::npos) value = std::string(word.substr(equals + 1));
      const Flag* flag = FindFlag(*invocation_.levels_.back().command, name);
      if (flag == nullptr) {
        if (name == "help" || name == "h") {
          wants_help = true;
          return absl::OkStatus();
        }
        return base::Unknown("flag provided but not defined: -{}", name);
      }
      RETURN_IF_ERROR(ReadValue(*flag, name, std::move(value)));
    }
    return absl::OkStatus();
  }

  absl::Status ReadValue(const Flag& flag, const std::string& name,
                         std::optional<std::string> value) {
    if (!value && flag.kind == FlagKind::kSwitch) value = "true";
    if (!value) {
      if (next_ == words_.size()) return base::Unknown("flag needs an argument: -{}", name);
      value = words_[next_++];
    }
    if (!IsValid(flag.kind, *value)) {
      return flag.kind == FlagKind::kSwitch
                 ? base::Unknown("invalid boolean value {} for -{}: parse error",
                                 base::Quote(*value), name)
                 : base::Unknown("invalid value {} for flag -{}: parse error", base::Quote(*value),
                                 name);
    }
    invocation_.levels_.back().given[FirstName(flag)].push_back(*value);
    return absl::OkStatus();
  }

  void ReadEnvironment() {
    Invocation::Values& level = invocation_.levels_.back();
    for (const Flag& flag : level.command->flags) {
      if (flag.environment.empty() || level.given.contains(FirstName(flag))) continue;
      const char* value = std::getenv(flag.environment.c_str());
      if (value != nullptr && *value != '\0') level.given[FirstName(flag)].emplace_back(value);
    }
  }

  absl::Status CheckRequired(const Command& command) const {
    for (const Flag& flag : command.flags) {
      if (flag.required && !invocation_.levels_.back().given.contains(FirstName(flag))) {
        return base::Unknown("Required flag {} not set", base::Quote(FirstName(flag)));
      }
    }
    return absl::OkStatus();
  }

  const Command& program_;
  const std::vector<std::string>& words_;
  size_t next_ = 0;
  Invocation invocation_;
};

int RunProgram(const Command& program, const std::vector<std::string>& words) {
  return Parser(program, words).Run();
}

std::map<std::string, std::string> ParseLabels(const std::vector<std::string>& words,
                                               std::string_view fallback) {
  std::map<std::string, std::string> labels;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    labels[word.substr(0, equals)] =
        equals == std::string::npos ? std::string(fallback) : word.substr(equals + 1);
  }
  return labels;
}

}  // namespace ctrd::ctr
