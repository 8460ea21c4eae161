// SPDX-License-Identifier: Apache-2.0

// Between generated messages and our structs, for what several services share.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/any.h"
#include "base/filter.h"
#include "base/identifiers.h"
#include "base/mount.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/field_mask.pb.h"
#include "google/protobuf/map.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "google/protobuf/timestamp.pb.h"
#include "images/descriptor.h"
#include "types/descriptor.pb.h"
#include "types/mount.pb.h"

namespace ctrd::services {

void ToProto(absl::Time time, google::protobuf::Timestamp* proto);
absl::Time FromProto(const google::protobuf::Timestamp& proto);

void ToProto(const base::Any& any, google::protobuf::Any* proto);
base::Any FromProto(const google::protobuf::Any& proto);

void ToProto(const base::Labels& labels, google::protobuf::Map<std::string, std::string>* proto);
base::Labels FromProto(const google::protobuf::Map<std::string, std::string>& proto);

void ToProto(const base::Mounts& mounts,
             google::protobuf::RepeatedPtrField<containerd::types::Mount>* proto);
base::Mounts FromProto(const google::protobuf::RepeatedPtrField<containerd::types::Mount>& proto);

void ToProto(const images::Descriptor& descriptor, containerd::types::Descriptor* proto);
images::Descriptor FromProto(const containerd::types::Descriptor& proto);

std::vector<std::string> FromProto(const google::protobuf::RepeatedPtrField<std::string>& proto);
std::vector<std::string> PathsOf(const google::protobuf::FieldMask& mask);

// The labels an update with `mask` writes: paths "labels" and "labels.<key>"; an empty mask writes
// all. `Update` is the LabelsUpdate of a contract.
//   kInvalidArgument  `cannot update "<path>" field on <object>: invalid argument`
template <typename Update>
absl::StatusOr<Update> LabelsUpdateOf(const google::protobuf::FieldMask& mask,
                                      std::string_view object);

// The filters of a list request.
absl::StatusOr<base::Filter> ParseFilters(
    const google::protobuf::RepeatedPtrField<std::string>& filters);

// What a request without its main part is answered with.
absl::Status Missing(std::string_view part);

// ---- Implementation of the template.
absl::Status CannotUpdate(std::string_view path, std::string_view object);

template <typename Update>
absl::StatusOr<Update> LabelsUpdateOf(const google::protobuf::FieldMask& mask,
                                      std::string_view object) {
  Update update;
  constexpr std::string_view kPrefix = "labels.";
  bool all = mask.paths().empty();
  for (const std::string& path : mask.paths()) {
    if (path == "labels") {
      all = true;
    } else if (path.starts_with(kPrefix)) {
      update.keys.push_back(path.substr(kPrefix.size()));
    } else {
      return CannotUpdate(path, object);
    }
  }
  update.replace_all = all;
  return update;
}

}  // namespace ctrd::services
