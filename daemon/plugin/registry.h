// SPDX-License-Identifier: Apache-2.0

// The plugin registry: what this daemon is made of, and what clients are told of it.
//
//   Add(registration)… --> Start(config): each plugin once, after those it requires --> Find<T>…
//
// A plugin has a type ("io.containerd.snapshotter.v1") and an id ("overlayfs"); "<type>.<id>" is
// its URI, the name of its configuration section and of its directories. An instance is looked up
// by the interface it offers: a wrong type finds nothing. A failed init is kept with its status and
// is visible to clients; those that require it decide what they do without.
//
// Not thread-safe while starting; read-only and thread-safe afterwards. Instances are destroyed in
// reverse order of their init, so a T* borrowed from a requirement stays valid.
//
// Source document: docs/architecture.md.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/config/config.h"

namespace ctrd::plugin {

inline constexpr char kContent[] = "io.containerd.content.v1";
inline constexpr char kDiffer[] = "io.containerd.differ.v1";
inline constexpr char kEvent[] = "io.containerd.event.v1";
inline constexpr char kGc[] = "io.containerd.gc.v1";
inline constexpr char kGrpc[] = "io.containerd.grpc.v1";
inline constexpr char kInternal[] = "io.containerd.internal.v1";
inline constexpr char kLease[] = "io.containerd.lease.v1";
inline constexpr char kMetadata[] = "io.containerd.metadata.v1";
inline constexpr char kMetrics[] = "io.containerd.metrics.v1";
inline constexpr char kMonitorContainer[] = "io.containerd.monitor.container.v1";
inline constexpr char kMonitorTask[] = "io.containerd.monitor.task.v1";
inline constexpr char kMountHandler[] = "io.containerd.mount-handler.v1";
inline constexpr char kMountManager[] = "io.containerd.mount-manager.v1";
inline constexpr char kRuntime[] = "io.containerd.runtime.v2";
inline constexpr char kSandboxController[] = "io.containerd.sandbox.controller.v1";
inline constexpr char kSandboxStore[] = "io.containerd.sandbox.store.v1";
inline constexpr char kServer[] = "io.containerd.server.v1";
inline constexpr char kService[] = "io.containerd.service.v1";
inline constexpr char kShim[] = "io.containerd.shim.v1";
inline constexpr char kSnapshotter[] = "io.containerd.snapshotter.v1";
inline constexpr char kStreaming[] = "io.containerd.streaming.v1";
inline constexpr char kTransfer[] = "io.containerd.transfer.v1";

// What an init made: an object of any type, owned, and the interfaces it is found by.
class Instance {
 public:
  Instance() = default;

  template <typename Interface, typename Object>
  static Instance Of(std::unique_ptr<Object> object) {
    Instance instance;
    std::shared_ptr<Object> owner = std::move(object);
    instance.interfaces_[std::type_index(typeid(Interface))] = static_cast<Interface*>(owner.get());
    instance.owner_ = std::move(owner);
    return instance;
  }

  // Also found by `Interface`; `object` must live as long as the instance.
  template <typename Interface>
  Instance&& AlsoAs(Interface* object) && {
    interfaces_[std::type_index(typeid(Interface))] = object;
    return std::move(*this);
  }

  template <typename Interface>
  Interface* As() const {
    const auto it = interfaces_.find(std::type_index(typeid(Interface)));
    return it == interfaces_.end() ? nullptr : static_cast<Interface*>(it->second);
  }

 private:
  std::shared_ptr<void> owner_;
  std::map<std::type_index, void*> interfaces_;
};

// What clients are told of a plugin (Introspection.Plugins).
struct Record {
  std::string type;
  std::string id;
  std::vector<std::string> requirements;  // Types.
  std::vector<std::string> platforms;     // "linux/amd64"; empty for plugins not bound to one.
  std::map<std::string, std::string> exports;
  std::vector<std::string> capabilities;
  absl::Status status;  // Of the init. A deliberate absence ends in "skip plugin".

  std::string uri() const { return type + "." + id; }
};

class Registry;

struct InitContext {
  const Registry& registry;
  const config::Config& config;    // The daemon's.
  const config::Section& section;  // This plugin's.
  std::string root_dir;            // <root>/<uri>: not made yet.
  std::string state_dir;           // <state>/<uri>: not made yet.
  Record& record;                  // To add platforms, exports and capabilities to.
};

struct Registration {
  std::string type;
  std::string id;
  std::vector<std::string> requirements;
  config::Schema schema;
  std::function<absl::StatusOr<Instance>(InitContext& init)> init;
};

// The status of a plugin that stays out on purpose: "<reason>: skip plugin".
absl::Status Skip(std::string_view reason);
bool IsSkip(const absl::Status& status);

class Registry {
 public:
  Registry() = default;
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  void Add(Registration registration);
  config::Schemas schemas() const;

  // Inits all that are not disabled, each after the plugins of the types it requires. Failures are
  // logged and kept, and fail the start only for plugins that the configuration requires:
  //   kFailedPrecondition  "load required plugin <uri>: …", "required plugin [<uri>…] not included"
  absl::Status Start(const config::Config& config);

  // The instance of one plugin, null if it is not there, did not start, or offers no `Interface`.
  template <typename Interface>
  Interface* Find(std::string_view type, std::string_view id) const {
    const Entry* entry = FindEntry(type, id);
    return entry == nullptr ? nullptr : entry->instance.As<Interface>();
  }
  // The same; the status says what is missing, and why it did not start.
  template <typename Interface>
  absl::StatusOr<Interface*> Get(std::string_view type, std::string_view id) const {
    if (Interface* found = Find<Interface>(type, id); found != nullptr) return found;
    return Missing(type, id);
  }
  // All instances of a type that offer `Interface`, by id.
  template <typename Interface>
  std::map<std::string, Interface*> FindAll(std::string_view type) const {
    std::map<std::string, Interface*> found;
    for (const auto& entry : started_) {
      if (entry->record.type != type) continue;
      if (Interface* instance = entry->instance.template As<Interface>()) {
        found[entry->record.id] = instance;
      }
    }
    return found;
  }

  // The same of all types.
  template <typename Interface>
  std::vector<Interface*> FindEverywhere() const {
    std::vector<Interface*> found;
    for (const auto& entry : started_) {
      if (Interface* instance = entry->instance.template As<Interface>()) found.push_back(instance);
    }
    return found;
  }

  // In the order of init, failed ones among them.
  std::vector<const Record*> records() const;

 private:
  struct Entry {
    Record record;
    Instance instance;
  };
  const Entry* FindEntry(std::string_view type, std::string_view id) const;
  absl::Status Missing(std::string_view type, std::string_view id) const;
  std::vector<const Registration*> InOrder(const config::Config& config) const;
  void Init(const Registration& registration, const config::Config& config);
  absl::Status CheckRequired(const config::Config& config) const;

  std::vector<Registration> registrations_;
  std::vector<std::unique_ptr<Entry>> started_;
};

}  // namespace ctrd::plugin
