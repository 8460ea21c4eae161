// SPDX-License-Identifier: Apache-2.0

// Logging for all layers. A message is a constant, the rest are fields:
//   base::LogInfo("task started", {{"id", id}, {"pid", pid}});
// `main` installs the sink (spdlog in the daemon); without one, lines go to standard error.
// Thread-safe. No secrets.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "fmt/format.h"

namespace ctrd::base {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError };

struct LogField {
  template <typename T>
  LogField(std::string_view name, const T& value) : name(name) {
    if constexpr (std::is_same_v<T, absl::Status>) {
      text = std::string(value.message());
    } else {
      text = fmt::format("{}", value);
    }
  }
  std::string_view name;
  std::string text;
};
using LogFields = std::vector<LogField>;
using LogSink = std::function<void(LogLevel, std::string_view message, const LogFields& fields)>;

// Not thread-safe: call it before threads start.
void SetLogSink(LogSink sink);
void SetLogLevel(LogLevel level);
LogLevel CurrentLogLevel();

void Log(LogLevel level, std::string_view message, const LogFields& fields);
inline void LogDebug(std::string_view m, const LogFields& f = {}) { Log(LogLevel::kDebug, m, f); }
inline void LogInfo(std::string_view m, const LogFields& f = {}) { Log(LogLevel::kInfo, m, f); }
inline void LogWarn(std::string_view m, const LogFields& f = {}) { Log(LogLevel::kWarn, m, f); }
inline void LogError(std::string_view m, const LogFields& f = {}) { Log(LogLevel::kError, m, f); }

// `message` and `fields` on one line: time="…" level=info msg="…" key=value.
std::string FormatLogLine(LogLevel level, std::string_view message, const LogFields& fields);

}  // namespace ctrd::base
