// SPDX-License-Identifier: Apache-2.0
#include "runtime/spec/spec.h"

#include <algorithm>
#include <array>

#include "base/json.h"
#include "base/status.h"
#include "runtime/spec/spec_json.h"

namespace ctrd::runtime {
namespace {

constexpr std::array<const char*, 3> kGrantedSets = {"bounding", "effective", "permitted"};
const Json::json_pointer kTerminal("/process/terminal");
const Json::json_pointer kRootPath = Json::json_pointer() / "root" / "path";
const Json::json_pointer kMountLabel("/linux/mountLabel");
const Json::json_pointer kBoundingSet("/process/capabilities/bounding");

// An object at `key`, made if it is not there.
Json& Object(Json& object, const char* key) {
  Json& value = object[key];
  if (value.is_null()) value = Json::object();
  return value;
}

// A list at `key`, made if it is not there.
Json& List(Json& object, const char* key) {
  Json& list = object[key];
  if (list.is_null()) list = Json::array();
  return list;
}

std::vector<std::string> Strings(const Json& object, const char* key) {
  return object.value(key, std::vector<std::string>());
}

std::string_view KeyOf(std::string_view entry) { return entry.substr(0, entry.find('=')); }

Json ToJson(const UserIds& ids) {
  Json user{{"uid", ids.uid}, {"gid", ids.gid}};
  if (!ids.additional_gids.empty()) user["additionalGids"] = ids.additional_gids;
  return user;
}

Json ToJson(const std::vector<IdMapping>& mappings) {
  Json list = Json::array();
  for (const IdMapping& mapping : mappings) {
    list.push_back(Json{{"containerID", mapping.container_id},
                        {"hostID", mapping.host_id},
                        {"size", mapping.size}});
  }
  return list;
}

Json DeviceRule(std::string_view type, int64_t major, std::optional<int64_t> minor) {
  Json rule{{"allow", true}, {"type", type}, {"major", major}};
  if (minor) rule["minor"] = *minor;
  rule["access"] = "rwm";
  return rule;
}

}  // namespace

struct Spec::Document {
  Json root;

  Json& process() { return Object(root, "process"); }
  Json& linux_part() { return Object(root, "linux"); }
  Json& resources() { return Object(linux_part(), "resources"); }
};

Spec::Spec(std::unique_ptr<Document> document) : document_(std::move(document)) {}
Spec::Spec(Spec&&) noexcept = default;
Spec& Spec::operator=(Spec&&) noexcept = default;
Spec::~Spec() = default;

std::vector<std::string> MergeEnvironment(const std::vector<std::string>& base,
                                          const std::vector<std::string>& overrides) {
  std::vector<std::string> merged = base;
  for (const std::string& entry : overrides) {
    const auto same_key = [&](const std::string& e) { return KeyOf(e) == KeyOf(entry); };
    const auto found = std::find_if(merged.begin(), merged.end(), same_key);
    if (entry.find('=') == std::string::npos) {
      if (found != merged.end()) merged.erase(found);
    } else if (found != merged.end()) {
      *found = entry;
    } else {
      merged.push_back(entry);
    }
  }
  return merged;
}

Spec Spec::Default(std::string_view namespace_name, std::string_view container_id) {
  std::string cgroup = "/" + std::string(namespace_name);
  if (!container_id.empty()) cgroup.append("/").append(container_id);
  return Spec(std::make_unique<Document>(Document{DefaultSpecDocument(cgroup)}));
}

absl::StatusOr<Spec> Spec::Parse(std::string_view json) {
  Json root = base::ParseJson<Json>(json);
  if (!root.is_object()) return base::Unknown("the runtime specification is no JSON object");
  RETURN_IF_ERROR(TakeShape(root));
  return Spec(std::make_unique<Document>(Document{std::move(root)}));
}

std::string Spec::ToJson(int indent) const {
  return base::DumpJson(InOciOrder(document_->root, ""), indent);
}

std::string Spec::ExecProcessJson(const ExecProcess& exec) const {
  Json process = document_->root.value("process", Json::object());
  process["args"] = exec.arguments;
  process.erase("terminal");
  if (exec.terminal) process["terminal"] = true;
  if (!exec.working_directory.empty()) process["cwd"] = exec.working_directory;
  if (exec.user) process["user"] = runtime::ToJson(*exec.user);
  return base::DumpJson(InOciOrder(process, "process"));
}

bool Spec::HasTerminal() const { return document_->root.value(kTerminal, false); }

std::string Spec::RootPath() const { return document_->root.value(kRootPath, ""); }

std::string Spec::MountLabel() const { return document_->root.value(kMountLabel, ""); }

void Spec::AllowDefaultDevices() {
  Json& devices = List(document_->resources(), "devices");
  for (int64_t minor : {3, 8, 7}) devices.push_back(DeviceRule("c", 1, minor));  // null random full
  devices.push_back(DeviceRule("c", 5, 0));                                      // tty
  for (int64_t minor : {5, 9}) devices.push_back(DeviceRule("c", 1, minor));     // zero urandom
  devices.push_back(DeviceRule("c", 5, 1));                                      // console
  devices.push_back(DeviceRule("c", 136, std::nullopt));                         // pts
  devices.push_back(DeviceRule("c", 5, 2));                                      // ptmx
}

void Spec::MergeEnvironment(const std::vector<std::string>& overrides) {
  if (overrides.empty()) return;
  Json& process = document_->process();
  process["env"] = runtime::MergeEnvironment(Strings(process, "env"), overrides);
}

void Spec::AddMounts(const std::vector<SpecMount>& mounts) {
  Json kept = Json::array();
  for (const Json& mount : List(document_->root, "mounts")) {
    const bool replaced = std::any_of(mounts.begin(), mounts.end(), [&](const SpecMount& added) {
      return mount.value("destination", "") == added.destination;
    });
    if (!replaced) kept.push_back(mount);
  }
  for (const SpecMount& mount : mounts) {
    Json added{{"destination", mount.destination}};
    if (!mount.type.empty()) added["type"] = mount.type;
    if (!mount.source.empty()) added["source"] = mount.source;
    if (!mount.options.empty()) added["options"] = mount.options;
    kept.push_back(std::move(added));
  }
  document_->root["mounts"] = std::move(kept);
}

void Spec::SetRootPath(std::string_view path) { document_->root["root"]["path"] = path; }

void Spec::MakeRootReadOnly() { document_->root["root"]["readonly"] = true; }

void Spec::ApplyImage(const ImageProcess& image) {
  Json& process = document_->process();
  std::vector<std::string> environment = image.environment;
  if (environment.empty()) environment.emplace_back(kDefaultPath);
  process["env"] = runtime::MergeEnvironment(environment, Strings(process, "env"));
  std::vector<std::string> arguments = image.entrypoint;
  arguments.insert(arguments.end(), image.command.begin(), image.command.end());
  if (!arguments.empty()) process["args"] = std::move(arguments);
  process["cwd"] = image.working_directory.empty() ? "/" : image.working_directory;
}

void Spec::SetUser(const UserIds& ids) { document_->process()["user"] = runtime::ToJson(ids); }

void Spec::SetArguments(const std::vector<std::string>& arguments) {
  document_->process()["args"] = arguments;
}

void Spec::SetWorkingDirectory(std::string_view path) { document_->process()["cwd"] = path; }

void Spec::UseTerminal() {
  document_->process()["terminal"] = true;
  MergeEnvironment({"TERM=xterm"});
}

void Spec::SetHostname(std::string_view name) { document_->root["hostname"] = name; }

void Spec::SetAnnotation(std::string_view key, std::string_view value) {
  document_->root["annotations"][std::string(key)] = value;
}

void Spec::SetRlimit(std::string_view type, uint64_t soft, uint64_t hard) {
  Json& limits = List(document_->process(), "rlimits");
  for (Json& limit : limits) {
    if (limit.value("type", "") == type) {
      limit["hard"] = hard;
      limit["soft"] = soft;
      return;
    }
  }
  limits.push_back(Json{{"type", type}, {"hard", hard}, {"soft", soft}});
}

void Spec::AllowNewPrivileges() { document_->process().erase("noNewPrivileges"); }

void Spec::MakePrivileged(const std::vector<std::string>& capabilities) {
  Json& process = document_->process();
  for (const char* set : kGrantedSets) process["capabilities"][set] = capabilities;
  process.erase("selinuxLabel");
  process.erase("apparmorProfile");
  Json& linux_part = document_->linux_part();
  for (const char* key : {"maskedPaths", "readonlyPaths", "seccomp"}) linux_part.erase(key);
  for (Json& mount : List(document_->root, "mounts")) {
    const std::string type = mount.value("type", "");
    if (type != "sysfs" && type != "cgroup") continue;
    for (Json& option : List(mount, "options")) {
      if (option == "ro") option = "rw";
    }
  }
}

void Spec::AllowAllDevices() {
  document_->resources()["devices"] = Json::array({{{"allow", true}, {"access", "rwm"}}});
}

void Spec::AddDeviceNode(const HostDevice& device) {
  List(document_->linux_part(), "devices")
      .push_back(Json{{"path", device.path},
                      {"type", std::string(1, device.type)},
                      {"major", device.major},
                      {"minor", device.minor},
                      {"fileMode", device.mode},
                      {"uid", device.uid},
                      {"gid", device.gid}});
}

void Spec::AllowDevice(const HostDevice& device) {
  List(document_->resources(), "devices")
      .push_back(DeviceRule(std::string(1, device.type), device.major, device.minor));
}

void Spec::AddCapabilities(const std::vector<std::string>& capabilities) {
  for (const char* name : kGrantedSets) {
    Json& set = List(Object(document_->process(), "capabilities"), name);
    for (const std::string& capability : capabilities) {
      if (std::find(set.begin(), set.end(), capability) == set.end()) set.push_back(capability);
    }
  }
}

void Spec::DropCapabilities(const std::vector<std::string>& capabilities) {
  Json& sets = Object(document_->process(), "capabilities");
  for (const char* name : {"bounding", "effective", "permitted", "inheritable"}) {
    if (!sets.contains(name)) continue;
    std::vector<std::string> kept = Strings(sets, name);
    std::erase_if(kept, [&](const std::string& capability) {
      return std::find(capabilities.begin(), capabilities.end(), capability) != capabilities.end();
    });
    if (kept.empty()) {
      sets.erase(name);
    } else {
      sets[name] = kept;
    }
  }
}

std::vector<std::string> Spec::BoundingCapabilities() const {
  return document_->root.value(kBoundingSet, std::vector<std::string>());
}

absl::Status Spec::SetSeccompProfile(std::string_view json) {
  Json profile = base::ParseJson<Json>(json);
  if (!profile.is_object()) return base::Unknown("the seccomp profile is no JSON object");
  document_->linux_part()["seccomp"] = std::move(profile);
  return absl::OkStatus();
}

void Spec::SetAppArmorProfile(std::string_view name) {
  document_->process()["apparmorProfile"] = name;
}

void Spec::UseHostNetwork(std::string_view host_name) {
  Json kept = Json::array();
  for (const Json& entry : List(document_->linux_part(), "namespaces")) {
    if (entry.value("type", "") != "network") kept.push_back(entry);
  }
  document_->linux_part()["namespaces"] = std::move(kept);
  for (const char* file : {"/etc/hosts", "/etc/resolv.conf"}) {
    List(document_->root, "mounts")
        .push_back(Json{{"destination", file},
                        {"type", "bind"},
                        {"source", file},
                        {"options", {"rbind", "ro"}}});
  }
  MergeEnvironment({"HOSTNAME=" + std::string(host_name)});
}

void Spec::SetNamespace(std::string_view type, std::string_view path) {
  Json entry{{"type", type}};
  if (!path.empty()) entry["path"] = path;
  for (Json& existing : List(document_->linux_part(), "namespaces")) {
    if (existing.value("type", "") == type) {
      existing = std::move(entry);
      return;
    }
  }
  document_->linux_part()["namespaces"].push_back(std::move(entry));
}

void Spec::SetUserNamespace(const std::vector<IdMapping>& uids,
                            const std::vector<IdMapping>& gids) {
  SetNamespace("user", "");
  document_->linux_part()["uidMappings"] = runtime::ToJson(uids);
  document_->linux_part()["gidMappings"] = runtime::ToJson(gids);
}

void Spec::SetCgroupsPath(std::string_view path) {
  if (path.empty()) {
    document_->linux_part().erase("cgroupsPath");
  } else {
    document_->linux_part()["cgroupsPath"] = path;
  }
}

void Spec::SetCpuQuota(int64_t quota, uint64_t period) {
  document_->resources()["cpu"]["quota"] = quota;
  document_->resources()["cpu"]["period"] = period;
}

void Spec::SetCpuShares(uint64_t shares) { document_->resources()["cpu"]["shares"] = shares; }

void Spec::SetCpuset(std::string_view cpus, std::string_view memory_nodes) {
  if (!cpus.empty()) document_->resources()["cpu"]["cpus"] = cpus;
  if (!memory_nodes.empty()) document_->resources()["cpu"]["mems"] = memory_nodes;
}

void Spec::SetMemoryLimit(int64_t bytes) { document_->resources()["memory"]["limit"] = bytes; }

void Spec::SetRootfsPropagation(std::string_view propagation) {
  document_->linux_part()["rootfsPropagation"] = propagation;
}

void Spec::SetRdtClass(std::string_view name) {
  document_->linux_part()["intelRdt"]["closID"] = name;
}

}  // namespace ctrd::runtime
