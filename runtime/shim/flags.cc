// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/flags.h"

#include <map>

#include "base/status.h"

namespace ctrd::runtime::shim {

absl::StatusOr<Flags> ParseFlags(const std::vector<std::string>& arguments) {
  Flags flags;
  std::string unused;  // "-debug-socket": there is nothing to debug through it.
  const std::map<std::string, std::string*, std::less<>> texts = {
      {"namespace", &flags.namespace_name},
      {"id", &flags.id},
      {"address", &flags.address},
      {"publish-binary", &flags.publish_binary},
      {"bundle", &flags.bundle},
      {"socket", &flags.socket},
      {"debug-socket", &unused}};
  const std::map<std::string, bool*, std::less<>> switches = {{"debug", &flags.debug},
                                                              {"v", &flags.version},
                                                              {"version", &flags.version},
                                                              {"info", &flags.info}};
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string_view word = arguments[i];
    if (word == "--" || word == "-" || !word.starts_with('-')) {
      if (word == "--" && ++i == arguments.size()) break;
      flags.action = arguments[i];
      break;
    }
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const bool has_value = equals != std::string_view::npos;
    if (const auto flag = switches.find(name); flag != switches.end()) {
      const std::string_view value = has_value ? word.substr(equals + 1) : "true";
      *flag->second = value == "true" || value == "1" || value == "t" || value == "T";
      continue;
    }
    const auto flag = texts.find(name);
    if (flag == texts.end()) {
      return absl::InvalidArgumentError(
          base::ToAbsl(fmt::format("flag provided but not defined: -{}", name)));
    }
    if (!has_value && ++i == arguments.size()) {
      return absl::InvalidArgumentError(
          base::ToAbsl(fmt::format("flag needs an argument: -{}", name)));
    }
    *flag->second = has_value ? std::string(word.substr(equals + 1)) : arguments[i];
  }
  return flags;
}

}  // namespace ctrd::runtime::shim
