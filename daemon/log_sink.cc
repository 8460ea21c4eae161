// SPDX-License-Identifier: Apache-2.0
#include "daemon/log_sink.h"

#define SPDLOG_FMT_EXTERNAL
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "base/time.h"

namespace ctrd {
namespace {

spdlog::level::level_enum ToSpdlog(base::LogLevel level) {
  return static_cast<spdlog::level::level_enum>(level);  // trace, debug, info, warn, err.
}

std::string JsonLine(base::LogLevel level, std::string_view message,
                     const base::LogFields& fields) {
  nlohmann::ordered_json line;
  for (const base::LogField& field : fields) line[std::string(field.name)] = field.text;
  const auto name = spdlog::level::to_string_view(ToSpdlog(level));
  line["level"] = std::string(name.data(), name.size());
  line["msg"] = std::string(message);
  line["time"] = base::FormatRfc3339(absl::Now());
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

absl::Status InstallLogSink(const std::string& level, const std::string& format) {
  static const std::map<std::string, base::LogLevel> kLevels = {
      {"trace", base::LogLevel::kTrace}, {"debug", base::LogLevel::kDebug},
      {"", base::LogLevel::kInfo},       {"info", base::LogLevel::kInfo},
      {"warn", base::LogLevel::kWarn},   {"warning", base::LogLevel::kWarn},
      {"error", base::LogLevel::kError}, {"fatal", base::LogLevel::kError},
      {"panic", base::LogLevel::kError}};
  const auto found = kLevels.find(level);
  if (found == kLevels.end()) return base::InvalidArgument("unknown log level '{}'", level);
  if (!format.empty() && format != "text" && format != "json") {
    return base::InvalidArgument("unknown log format '{}'", format);
  }
  auto logger = spdlog::stderr_logger_mt("containerd");
  logger->set_pattern("%v");
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::trace);
  const bool json = format == "json";
  base::SetLogLevel(found->second);
  base::SetLogSink([logger, json](base::LogLevel at, std::string_view message,
                                  const base::LogFields& fields) {
    logger->log(ToSpdlog(at), "{}",
                json ? JsonLine(at, message, fields) : base::FormatLogLine(at, message, fields));
  });
  return absl::OkStatus();
}

}  // namespace ctrd
