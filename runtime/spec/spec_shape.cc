// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "base/status.h"
#include "runtime/spec/spec_json.h"

namespace ctrd::runtime {
namespace {

enum class Form { kAny, kText, kNumber, kTruth, kObject };

// What a value is: one of `form`, or a list or a map of such.
struct Type {
  enum class Holds { kOne, kList, kMap };

  Form form = Form::kAny;
  Holds holds = Holds::kOne;
  std::string_view kind = {};  // Of kObject: which, in Kinds().
};

constexpr Type kAny;
constexpr Type kText{Form::kText};
constexpr Type kNumber{Form::kNumber};
constexpr Type kTruth{Form::kTruth};
constexpr Type kTexts{Form::kText, Type::Holds::kList};
constexpr Type kNumbers{Form::kNumber, Type::Holds::kList};
constexpr Type kTextMap{Form::kText, Type::Holds::kMap};
constexpr Type ObjectOf(std::string_view kind) { return {Form::kObject, Type::Holds::kOne, kind}; }
constexpr Type ListOf(std::string_view kind) { return {Form::kObject, Type::Holds::kList, kind}; }

// The members of a kind of object, in the order in which the OCI document lists them.
using Members = std::vector<std::pair<std::string_view, Type>>;

const std::map<std::string_view, Members>& Kinds() {
  static const std::map<std::string_view, Members> kinds = {
      {"",
       {{"ociVersion", kText},
        {"process", ObjectOf("process")},
        {"root", ObjectOf("root")},
        {"hostname", kText},
        {"domainname", kText},
        {"mounts", ListOf("mount")},
        {"hooks", ObjectOf("any")},
        {"annotations", kTextMap},
        {"linux", ObjectOf("linux")}}},
      {"any", {}},
      {"process",
       {{"terminal", kTruth},
        {"consoleSize", ObjectOf("size")},
        {"user", ObjectOf("user")},
        {"args", kTexts},
        {"commandLine", kText},
        {"env", kTexts},
        {"cwd", kText},
        {"capabilities", ObjectOf("capabilities")},
        {"rlimits", ListOf("rlimit")},
        {"noNewPrivileges", kTruth},
        {"apparmorProfile", kText},
        {"oomScoreAdj", kNumber},
        {"scheduler", ObjectOf("any")},
        {"selinuxLabel", kText},
        {"ioPriority", ObjectOf("any")}}},
      {"size", {{"height", kNumber}, {"width", kNumber}}},
      {"user",
       {{"uid", kNumber},
        {"gid", kNumber},
        {"umask", kNumber},
        {"additionalGids", kNumbers},
        {"username", kText}}},
      {"capabilities",
       {{"bounding", kTexts},
        {"effective", kTexts},
        {"inheritable", kTexts},
        {"permitted", kTexts},
        {"ambient", kTexts}}},
      {"rlimit", {{"type", kText}, {"hard", kNumber}, {"soft", kNumber}}},
      {"root", {{"path", kText}, {"readonly", kTruth}}},
      {"mount",
       {{"destination", kText},
        {"type", kText},
        {"source", kText},
        {"options", kTexts},
        {"uidMappings", ListOf("mapping")},
        {"gidMappings", ListOf("mapping")}}},
      {"mapping", {{"containerID", kNumber}, {"hostID", kNumber}, {"size", kNumber}}},
      {"linux",
       {{"uidMappings", ListOf("mapping")},
        {"gidMappings", ListOf("mapping")},
        {"sysctl", kTextMap},
        {"resources", ObjectOf("resources")},
        {"cgroupsPath", kText},
        {"namespaces", ListOf("namespace")},
        {"devices", ListOf("device")},
        {"netDevices", ObjectOf("any")},
        {"seccomp", ObjectOf("any")},
        {"rootfsPropagation", kText},
        {"maskedPaths", kTexts},
        {"readonlyPaths", kTexts},
        {"mountLabel", kText},
        {"intelRdt", ObjectOf("rdt")},
        {"memoryPolicy", ObjectOf("any")},
        {"personality", ObjectOf("any")},
        {"timeOffsets", ObjectOf("any")}}},
      {"namespace", {{"type", kText}, {"path", kText}}},
      {"device",
       {{"path", kText},
        {"type", kText},
        {"major", kNumber},
        {"minor", kNumber},
        {"fileMode", kNumber},
        {"uid", kNumber},
        {"gid", kNumber}}},
      {"rdt", {{"closID", kText}}},
      {"resources",
       {{"devices", ListOf("rule")},
        {"memory", ObjectOf("memory")},
        {"cpu", ObjectOf("cpu")},
        {"pids", ObjectOf("any")},
        {"blockIO", ObjectOf("any")},
        {"hugepageLimits", kAny},
        {"network", ObjectOf("any")},
        {"rdma", ObjectOf("any")},
        {"unified", kTextMap}}},
      {"rule",
       {{"allow", kTruth},
        {"type", kText},
        {"major", kNumber},
        {"minor", kNumber},
        {"access", kText}}},
      {"memory",
       {{"limit", kNumber},
        {"reservation", kNumber},
        {"swap", kNumber},
        {"kernel", kNumber},
        {"kernelTCP", kNumber},
        {"swappiness", kNumber},
        {"disableOOMKiller", kTruth},
        {"useHierarchy", kTruth},
        {"checkBeforeUpdate", kTruth}}},
      {"cpu",
       {{"shares", kNumber},
        {"quota", kNumber},
        {"burst", kNumber},
        {"period", kNumber},
        {"realtimeRuntime", kNumber},
        {"realtimePeriod", kNumber},
        {"cpus", kText},
        {"mems", kText},
        {"idle", kNumber}}},
  };
  return kinds;
}

const Members& MembersOf(std::string_view kind) { return Kinds().at(kind); }

bool HasForm(const Json& value, Form form) {
  switch (form) {
    case Form::kAny:
      return true;
    case Form::kText:
      return value.is_string();
    case Form::kNumber:
      return value.is_number();
    case Form::kTruth:
      return value.is_boolean();
    case Form::kObject:
      return value.is_object();
  }
  return false;
}

std::string_view NameOf(Form form) {
  switch (form) {
    case Form::kAny:
      return "anything";
    case Form::kText:
      return "a string";
    case Form::kNumber:
      return "a number";
    case Form::kTruth:
      return "a boolean";
    case Form::kObject:
      return "an object";
  }
  return "";
}

absl::Status Refuse(const Json& value, const std::string& name, std::string_view wanted) {
  return base::Unknown("cannot unmarshal {} into {} of the runtime specification, which is {}",
                       value.type_name(), name, wanted);
}

absl::Status ShapeMembers(Json& object, std::string_view kind, const std::string& prefix);

absl::Status ShapeOne(Json& value, const Type& type, const std::string& name) {
  if (!HasForm(value, type.form)) return Refuse(value, name, NameOf(type.form));
  if (type.form != Form::kObject) return absl::OkStatus();
  return ShapeMembers(value, type.kind, name + ".");
}

absl::Status ShapeValue(Json& value, const Type& type, const std::string& name) {
  if (type.holds == Type::Holds::kOne) return ShapeOne(value, type, name);
  const bool is_list = type.holds == Type::Holds::kList;
  if (is_list ? !value.is_array() : !value.is_object()) {
    return Refuse(value, name, is_list ? "a list" : "an object");
  }
  for (const auto& [key, element] : value.items()) {
    RETURN_IF_ERROR(ShapeOne(element, type, name + (is_list ? "[" + key + "]" : "." + key)));
  }
  return absl::OkStatus();
}

absl::Status ShapeMembers(Json& object, std::string_view kind, const std::string& prefix) {
  for (const auto& [key, type] : MembersOf(kind)) {
    const std::string name(key);
    const auto member = object.find(name);
    if (member == object.end()) continue;
    if (member->is_null()) {
      object.erase(member);
      continue;
    }
    RETURN_IF_ERROR(ShapeValue(*member, type, prefix + name));
  }
  return absl::OkStatus();
}

Json OrderValue(const Json& value, const Type& type) {
  if (type.form != Form::kObject) return value;
  if (!value.is_array()) return InOciOrder(value, type.kind);
  Json ordered = Json::array();
  for (const Json& element : value) ordered.push_back(InOciOrder(element, type.kind));
  return ordered;
}

}  // namespace

absl::Status TakeShape(Json& document) { return ShapeMembers(document, "", ""); }

Json InOciOrder(const Json& document, std::string_view kind) {
  Json ordered = Json::object();
  for (const auto& [key, type] : MembersOf(kind)) {
    const std::string name(key);
    if (auto found = document.find(name); found != document.end()) {
      ordered[name] = OrderValue(*found, type);
    }
  }
  for (const auto& [key, value] : document.items()) {
    if (!ordered.contains(key)) ordered[key] = value;
  }
  return ordered;
}

}  // namespace ctrd::runtime
