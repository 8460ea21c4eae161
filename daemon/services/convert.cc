// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/convert.h"

#include "base/status.h"

namespace ctrd::services {

void ToProto(absl::Time time, google::protobuf::Timestamp* proto) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  proto->set_seconds(seconds);
  proto->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

absl::Time FromProto(const google::protobuf::Timestamp& proto) {
  return absl::FromUnixSeconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

void ToProto(const base::Any& any, google::protobuf::Any* proto) {
  proto->set_type_url(any.type_url);
  proto->set_value(any.value);
}

base::Any FromProto(const google::protobuf::Any& proto) {
  return {.type_url = proto.type_url(), .value = proto.value()};
}

void ToProto(const base::Labels& labels, google::protobuf::Map<std::string, std::string>* proto) {
  for (const auto& [key, value] : labels) (*proto)[key] = value;
}

base::Labels FromProto(const google::protobuf::Map<std::string, std::string>& proto) {
  return base::Labels(proto.begin(), proto.end());
}

void ToProto(const base::Mounts& mounts,
             google::protobuf::RepeatedPtrField<containerd::types::Mount>* proto) {
  for (const base::Mount& mount : mounts) {
    containerd::types::Mount* added = proto->Add();
    added->set_type(mount.type);
    added->set_source(mount.source);
    added->set_target(mount.target);
    added->mutable_options()->Assign(mount.options.begin(), mount.options.end());
  }
}

base::Mounts FromProto(const google::protobuf::RepeatedPtrField<containerd::types::Mount>& proto) {
  base::Mounts mounts;
  for (const containerd::types::Mount& mount : proto) {
    mounts.push_back({.type = mount.type(),
                      .source = mount.source(),
                      .target = mount.target(),
                      .options = FromProto(mount.options())});
  }
  return mounts;
}

void ToProto(const images::Descriptor& descriptor, containerd::types::Descriptor* proto) {
  proto->set_media_type(descriptor.media_type);
  proto->set_digest(descriptor.digest);
  proto->set_size(descriptor.size_bytes);
  ToProto(descriptor.annotations, proto->mutable_annotations());
}

images::Descriptor FromProto(const containerd::types::Descriptor& proto) {
  images::Descriptor descriptor;
  descriptor.media_type = proto.media_type();
  descriptor.digest = proto.digest();
  descriptor.size_bytes = proto.size();
  descriptor.annotations = FromProto(proto.annotations());
  return descriptor;
}

std::vector<std::string> FromProto(const google::protobuf::RepeatedPtrField<std::string>& proto) {
  return {proto.begin(), proto.end()};
}

std::vector<std::string> PathsOf(const google::protobuf::FieldMask& mask) {
  return FromProto(mask.paths());
}

absl::StatusOr<base::Filter> ParseFilters(
    const google::protobuf::RepeatedPtrField<std::string>& filters) {
  const std::vector<std::string> strings = FromProto(filters);
  return base::Filter::Parse(strings);
}

absl::Status Missing(std::string_view part) {
  return base::InvalidArgument("{} must be set", part);
}

absl::Status CannotUpdate(std::string_view path, std::string_view object) {
  return base::InvalidArgument("cannot update {} field on {}", base::Quote(path), object);
}

}  // namespace ctrd::services
