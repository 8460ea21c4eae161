// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/event_payload.h"

#include <map>
#include <memory>
#include <string_view>

#include "events/container.pb.h"
#include "events/content.pb.h"
#include "events/image.pb.h"
#include "events/namespace.pb.h"
#include "events/sandbox.pb.h"
#include "events/snapshot.pb.h"
#include "events/task.pb.h"

namespace ctrd::services {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Naming the messages also keeps the linker from dropping their descriptors.
template <typename... Messages>
std::map<std::string, const Message*, std::less<>> ByName() {
  return {{Messages::descriptor()->full_name(), &Messages::default_instance()}...};
}

const Message* FindPrototype(std::string_view type_url) {
  namespace ev = containerd::events;
  namespace im = containerd::services::images::v1;
  static const auto& known = *new auto(
      ByName<ev::ContainerCreate, ev::ContainerUpdate, ev::ContainerDelete, ev::ContentCreate,
             ev::ContentDelete, im::ImageCreate, im::ImageUpdate, im::ImageDelete,
             ev::NamespaceCreate, ev::NamespaceUpdate, ev::NamespaceDelete, ev::SnapshotPrepare,
             ev::SnapshotCommit, ev::SnapshotRemove, ev::SandboxCreate, ev::SandboxStart,
             ev::SandboxExit, ev::TaskCreate, ev::TaskStart, ev::TaskDelete, ev::TaskExit,
             ev::TaskOOM, ev::TaskExecAdded, ev::TaskExecStarted, ev::TaskPaused, ev::TaskResumed,
             ev::TaskCheckpointed>());
  const size_t slash = type_url.rfind('/');
  const auto it = known.find(slash == type_url.npos ? type_url : type_url.substr(slash + 1));
  return it == known.end() ? nullptr : it->second;
}

std::optional<std::string> Label(const Message& message, const FieldDescriptor& field,
                                 const std::string& key) {
  const auto* reflection = message.GetReflection();
  const auto* entry = field.message_type();
  for (int i = 0; i < reflection->FieldSize(message, &field); ++i) {
    const Message& pair = reflection->GetRepeatedMessage(message, &field, i);
    const auto* pair_reflection = pair.GetReflection();
    if (pair_reflection->GetString(pair, entry->map_key()) == key) {
      return pair_reflection->GetString(pair, entry->map_value());
    }
  }
  return std::nullopt;
}

bool IsLabels(const FieldDescriptor& field) {
  return field.is_map() &&
         field.message_type()->map_key()->cpp_type() == FieldDescriptor::CPPTYPE_STRING &&
         field.message_type()->map_value()->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
}

std::optional<std::string> FieldOf(const Message& message, const base::FieldPath& path,
                                   size_t index) {
  if (index >= path.size()) return std::nullopt;
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(path[index]);
  if (field == nullptr) return std::nullopt;
  const auto* reflection = message.GetReflection();
  if (IsLabels(*field)) return Label(message, *field, base::JoinFieldPath(path, index + 1));
  if (field->is_repeated()) return std::nullopt;
  const bool last = index + 1 == path.size();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string value = reflection->GetString(message, field);
      if (!last || value.empty() || field->type() != FieldDescriptor::TYPE_STRING) {
        return std::nullopt;
      }
      return value;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!last) return std::nullopt;
      return reflection->GetBool(message, field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      // Well-known types (an Any of options, a time) have no fields for filters.
      if (field->message_type()->file()->package() == "google.protobuf") return std::nullopt;
      if (!reflection->HasField(message, field)) return std::nullopt;
      return FieldOf(reflection->GetMessage(message, field), path, index + 1);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<std::string> EventPayloadField(const base::Any& payload,
                                             const base::FieldPath& path) {
  const Message* prototype = FindPrototype(payload.type_url);
  if (prototype == nullptr) return std::nullopt;
  const std::unique_ptr<Message> message(prototype->New());
  if (!message->ParseFromString(payload.value)) return std::nullopt;
  return FieldOf(*message, path, 0);
}

}  // namespace ctrd::services
