// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <utility>

#include "absl/time/clock.h"
#include "base/identifiers.h"
#include "base/time.h"

namespace ctrd::base {
namespace {

std::atomic<LogLevel> g_level = LogLevel::kInfo;

LogSink& Sink() {
  static LogSink* const sink = new LogSink;  // Never destroyed: threads may log until the end.
  return *sink;
}

std::string_view NameOf(LogLevel level) {
  static constexpr std::string_view kNames[] = {"trace", "debug", "info", "warning", "error"};
  return kNames[static_cast<int>(level)];
}

bool NeedsQuotes(std::string_view text) {
  return text.empty() || text.find_first_of(" =\"\n\t") != std::string_view::npos;
}

}  // namespace

void SetLogSink(LogSink sink) { Sink() = std::move(sink); }
void SetLogLevel(LogLevel level) { g_level = level; }
LogLevel CurrentLogLevel() { return g_level; }

std::string FormatLogLine(LogLevel level, std::string_view message, const LogFields& fields) {
  std::string line = fmt::format("time=\"{}\" level={} msg={}", FormatRfc3339(absl::Now()),
                                 NameOf(level), Quote(message));
  for (const LogField& field : fields) {
    line +=
        fmt::format(" {}={}", field.name, NeedsQuotes(field.text) ? Quote(field.text) : field.text);
  }
  return line;
}

void Log(LogLevel level, std::string_view message, const LogFields& fields) {
  if (level < g_level.load(std::memory_order_relaxed)) return;
  if (Sink()) {
    Sink()(level, message, fields);
    return;
  }
  const std::string line = FormatLogLine(level, message, fields) + "\n";
  (void)!::write(STDERR_FILENO, line.data(), line.size());  // There is nowhere else to report to.
}

}  // namespace ctrd::base
