// SPDX-License-Identifier: Apache-2.0
#include "daemon/plugin/registry.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/status.h"

namespace ctrd::plugin {

absl::Status Skip(std::string_view reason) { return base::Unknown("{}: skip plugin", reason); }

bool IsSkip(const absl::Status& status) {
  return base::MessageOf(status).find("skip plugin") != std::string::npos;
}

Registry::~Registry() {
  while (!started_.empty()) started_.pop_back();
}

void Registry::Add(Registration registration) { registrations_.push_back(std::move(registration)); }

config::Schemas Registry::schemas() const {
  config::Schemas schemas;
  for (const Registration& r : registrations_) schemas[r.type + "." + r.id] = r.schema;
  return schemas;
}

std::vector<const Registration*> Registry::InOrder(const config::Config& config) const {
  std::vector<const Registration*> order;
  std::set<const Registration*> visited;
  const std::function<void(const Registration&)> visit = [&](const Registration& registration) {
    if (config.IsDisabled(registration.type + "." + registration.id)) return;
    if (!visited.insert(&registration).second) return;
    for (const std::string& type : registration.requirements) {
      for (const Registration& other : registrations_) {
        if (other.type == type) visit(other);
      }
    }
    order.push_back(&registration);
  };
  for (const Registration& registration : registrations_) visit(registration);
  return order;
}

void Registry::Init(const Registration& registration, const config::Config& config) {
  auto entry = std::make_unique<Entry>();
  entry->record.type = registration.type;
  entry->record.id = registration.id;
  entry->record.requirements = registration.requirements;
  const std::string uri = entry->record.uri();
  const auto section = config.plugins.find(uri);
  static const config::Section kEmpty;
  InitContext init{.registry = *this,
                   .config = config,
                   .section = section == config.plugins.end() ? kEmpty : section->second,
                   .root_dir = config.root + "/" + uri,
                   .state_dir = config.state + "/" + uri,
                   .record = entry->record};
  absl::StatusOr<Instance> instance = registration.init(init);
  if (instance.ok()) {
    entry->instance = *std::move(instance);
  } else {
    entry->record.status = instance.status();
    if (IsSkip(instance.status())) {
      base::LogInfo("skip loading plugin", {{"plugin", uri}, {"error", instance.status()}});
    } else {
      base::LogWarn("failed to load plugin", {{"plugin", uri}, {"error", instance.status()}});
    }
  }
  started_.push_back(std::move(entry));
}

absl::Status Registry::Start(const config::Config& config) {
  for (const Registration* registration : InOrder(config)) Init(*registration, config);
  return CheckRequired(config);
}

absl::Status Registry::CheckRequired(const config::Config& config) const {
  std::string absent;
  for (const std::string& uri : config.required_plugins) {
    const auto it = std::find_if(started_.begin(), started_.end(),
                                 [&](const auto& entry) { return entry->record.uri() == uri; });
    if (it == started_.end()) {
      absent += (absent.empty() ? "" : " ") + uri;
    } else if (!(*it)->record.status.ok()) {
      return absl::FailedPreconditionError(base::ToAbsl(
          fmt::format("load required plugin {}: {}", uri, base::MessageOf((*it)->record.status))));
    }
  }
  if (absent.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      base::ToAbsl(fmt::format("required plugin [{}] not included", absent)));
}

const Registry::Entry* Registry::FindEntry(std::string_view type, std::string_view id) const {
  for (const auto& entry : started_) {
    if (entry->record.type == type && entry->record.id == id) return entry.get();
  }
  return nullptr;
}

absl::Status Registry::Missing(std::string_view type, std::string_view id) const {
  const Entry* entry = FindEntry(type, id);
  if (entry == nullptr) return base::NotFound("plugin {}.{}", type, id);
  return base::FailedPrecondition("plugin {}.{} is not loaded: {}", type, id,
                                  base::MessageOf(entry->record.status));
}

std::vector<const Record*> Registry::records() const {
  std::vector<const Record*> records;
  for (const auto& entry : started_) records.push_back(&entry->record);
  return records;
}

}  // namespace ctrd::plugin
