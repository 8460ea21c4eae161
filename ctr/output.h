// SPDX-License-Identifier: Apache-2.0
// How values are written for people, the way users of ctr know them.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace ctrd::ctr {

using Json = nlohmann::ordered_json;

std::string BinarySize(int64_t bytes);          // "1.0 MiB"
std::string DecimalSize(int64_t bytes);         // "1.084MB"
std::string HumanDuration(absl::Duration age);  // "About a minute"

absl::Time ToTime(const google::protobuf::Timestamp& timestamp);
std::string Rfc3339(const google::protobuf::Timestamp& timestamp);
std::string LocalRfc3339(const google::protobuf::Timestamp& timestamp);  // Whole seconds.
std::string GoTime(
    const google::protobuf::Timestamp& timestamp);  // 2026-11-22 04:41:31.5 +0000 UTC

// "a=b,c=d", sorted; `none` if there are none.
template <typename Map>
std::string JoinLabels(const Map& labels, std::string_view none = "-") {
  std::string joined;
  for (const auto& [key, value] :
       std::map<std::string, std::string>(labels.begin(), labels.end())) {
    joined += (joined.empty() ? "" : ",") + key + "=" + value;
  }
  return joined.empty() ? std::string(none) : joined;
}

// The fields of `message` that are set, by the names of the .proto file.
Json ToJson(const google::protobuf::Message& message);
void PrintJson(const Json& json);  // Four blanks deep, with a line feed.

void Print(std::string_view text);
void PrintLine(std::string_view line);

// A line on standard error in the form of the daemon's log.
void LogError(std::string_view message, const absl::Status& error);
void LogWarning(std::string_view message);

}  // namespace ctrd::ctr
