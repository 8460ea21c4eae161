// SPDX-License-Identifier: Apache-2.0
#include "ctr/output.h"

#include <cmath>
#include <cstdio>

#include "base/identifiers.h"
#include "base/json.h"
#include "base/status.h"
#include "base/time.h"
#include "fmt/format.h"

namespace ctrd::ctr {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::Timestamp;

std::string Base64(std::string_view bytes) {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8U | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += i + j <= bytes.size() ? kAlphabet[group >> (18 - 6 * j) & 63U] : '=';
    }
  }
  return text;
}

Json ScalarToJson(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection& r = *message.GetReflection();
  const bool repeated = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return repeated ? r.GetRepeatedInt32(message, field, index) : r.GetInt32(message, field);
    case FieldDescriptor::CPPTYPE_INT64:
      return repeated ? r.GetRepeatedInt64(message, field, index) : r.GetInt64(message, field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return repeated ? r.GetRepeatedUInt32(message, field, index) : r.GetUInt32(message, field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return repeated ? r.GetRepeatedUInt64(message, field, index) : r.GetUInt64(message, field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return repeated ? r.GetRepeatedDouble(message, field, index) : r.GetDouble(message, field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return repeated ? r.GetRepeatedFloat(message, field, index) : r.GetFloat(message, field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return repeated ? r.GetRepeatedBool(message, field, index) : r.GetBool(message, field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return repeated ? r.GetRepeatedEnumValue(message, field, index)
                      : r.GetEnumValue(message, field);
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text =
          repeated ? r.GetRepeatedString(message, field, index) : r.GetString(message, field);
      return field->type() == FieldDescriptor::TYPE_BYTES ? Base64(text) : text;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(repeated ? r.GetRepeatedMessage(message, field, index)
                             : r.GetMessage(message, field));
  }
  return nullptr;
}

Json MapToJson(const Message& message, const FieldDescriptor* field) {
  std::map<std::string, Json> sorted;
  const Reflection& reflection = *message.GetReflection();
  const auto* key = field->message_type()->map_key();
  const auto* value = field->message_type()->map_value();
  for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, field, i);
    const Json name = ScalarToJson(entry, key, -1);
    sorted[name.is_string() ? name.get<std::string>() : name.dump()] =
        ScalarToJson(entry, value, -1);
  }
  Json object = Json::object();
  for (auto& [name, element] : sorted) object[name] = std::move(element);
  return object;
}

std::string_view Trimmed(std::string_view number) {
  while (number.ends_with('0')) number.remove_suffix(1);
  if (number.ends_with('.')) number.remove_suffix(1);
  return number;
}

void Log(std::string_view level, std::string_view message, std::string_view error) {
  const std::string time =
      absl::FormatTime("%Y-%m-%d%ET%H:%M:%E0S%Ez", absl::Now(), absl::LocalTimeZone());
  std::string shown = time;
  if (shown.ends_with("+00:00")) shown.replace(shown.size() - 6, 6, "Z");
  std::string line = fmt::format("time=\"{}\" level={} msg={}", shown, level, base::Quote(message));
  if (!error.empty()) line += " error=" + base::Quote(error);
  std::fflush(stdout);
  std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace

std::string BinarySize(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string DecimalSize(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.4g}{}", value, kUnits[unit]);
}

std::string HumanDuration(absl::Duration age) {
  const int64_t seconds = absl::ToInt64Seconds(age);
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return fmt::format("{} seconds", seconds);
  const int64_t minutes = seconds / 60;
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  const auto hours = static_cast<int64_t>(std::round(absl::ToDoubleHours(age)));
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  if (hours < 24 * 7 * 2) return fmt::format("{} days", hours / 24);
  if (hours < 24 * 30 * 2) return fmt::format("{} weeks", hours / 24 / 7);
  if (hours < 24 * 365 * 2) return fmt::format("{} months", hours / 24 / 30);
  return fmt::format("{} years", static_cast<int64_t>(absl::ToDoubleHours(age)) / 24 / 365);
}

absl::Time ToTime(const Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

std::string Rfc3339(const Timestamp& timestamp) { return base::FormatRfc3339(ToTime(timestamp)); }

std::string LocalRfc3339(const Timestamp& timestamp) {
  std::string text =
      absl::FormatTime("%Y-%m-%d%ET%H:%M:%E0S%Ez", ToTime(timestamp), absl::LocalTimeZone());
  if (text.ends_with("+00:00")) text.replace(text.size() - 6, 6, "Z");
  return text;
}

std::string GoTime(const Timestamp& timestamp) {
  const std::string fraction = fmt::format(".{:09}", timestamp.nanos());
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(timestamp.seconds()),
                          absl::UTCTimeZone()) +
         std::string(Trimmed(fraction)) + " +0000 UTC";
}

Json ToJson(const Message& message) {
  if (message.GetDescriptor()->full_name() == "google.protobuf.Timestamp") {
    Timestamp timestamp;
    timestamp.CopyFrom(message);
    return Rfc3339(timestamp);
  }
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  Json object = Json::object();
  for (const FieldDescriptor* field : fields) {
    if (field->is_map()) {
      object[field->name()] = MapToJson(message, field);
    } else if (field->is_repeated()) {
      Json list = Json::array();
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
        list.push_back(ScalarToJson(message, field, i));
      }
      object[field->name()] = std::move(list);
    } else {
      object[field->name()] = ScalarToJson(message, field, -1);
    }
  }
  return object;
}

void PrintJson(const Json& json) { PrintLine(base::DumpJson(json, 4)); }

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void PrintLine(std::string_view line) {
  Print(line);
  std::fputc('\n', stdout);
}

void LogError(std::string_view message, const absl::Status& error) {
  Log("error", message, base::MessageOf(error));
}

void LogWarning(std::string_view message) { Log("warning", message, ""); }

}  // namespace ctrd::ctr
