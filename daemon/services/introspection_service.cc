// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/introspection_service.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <optional>
#include <utility>

#include "base/files.h"
#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "daemon/version.h"
#include "services/introspection/v1/introspection.grpc.pb.h"
#include "services/version/v1/version.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::introspection::v1;
using base::Context;
using server::Serve;

namespace {

using services::ToProto;

constexpr size_t kUuidBytes = 36;

std::string RandomUuid() {
  std::array<uint8_t, 16> b{};
  // So few bytes come at once and whole.
  (void)!::getrandom(b.data(), b.size(), 0);
  b[6] = (b[6] & 0x0f) | 0x40;  // Version 4,
  b[8] = (b[8] & 0x3f) | 0x80;  // variant 1 (RFC 4122).
  std::string uuid;
  for (size_t i = 0; i < b.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    uuid += fmt::format("{:02x}", b[i]);
  }
  return uuid;
}

bool IsUuid(std::string_view text) {
  if (text.size() != kUuidBytes) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) {
      return false;
    }
  }
  return true;
}

// "linux/arm64/v8" in its parts.
containerd::types::Platform PlatformOf(const std::string& text) {
  containerd::types::Platform platform;
  const size_t first = text.find('/');
  const size_t second = text.find('/', first + 1);
  platform.set_os(text.substr(0, first));
  if (first != std::string::npos) {
    platform.set_architecture(text.substr(first + 1, second - first - 1));
  }
  if (second != std::string::npos) platform.set_variant(text.substr(second + 1));
  return platform;
}

void ToProto(const plugin::Record& record, api::Plugin* proto) {
  proto->set_type(record.type);
  proto->set_id(record.id);
  proto->mutable_requires()->Assign(record.requirements.begin(), record.requirements.end());
  for (const std::string& platform : record.platforms) {
    *proto->add_platforms() = PlatformOf(platform);
  }
  proto->mutable_exports()->insert(record.exports.begin(), record.exports.end());
  proto->mutable_capabilities()->Assign(record.capabilities.begin(), record.capabilities.end());
  if (!record.status.ok()) {
    proto->mutable_init_err()->set_code(grpc::StatusCode::UNKNOWN);
    proto->mutable_init_err()->set_message(base::MessageOf(record.status));
  }
}

base::FieldLookup FieldsOf(const plugin::Record& record) {
  return [&record](const base::FieldPath& path) -> std::optional<std::string> {
    if (path.size() != 1) return std::nullopt;
    if (path[0] == "type" && !record.type.empty()) return record.type;
    if (path[0] == "id" && !record.id.empty()) return record.id;
    return std::nullopt;
  };
}

class IntrospectionService final : public api::Introspection::Service {
 public:
  IntrospectionService(const plugin::Registry* registry, std::string root, PluginExtra extra)
      : registry_(registry), root_(std::move(root)), extra_(std::move(extra)) {}

  grpc::Status Plugins(grpc::ServerContext* rpc, const api::PluginsRequest* request,
                       api::PluginsResponse* response) override {
    return Serve(rpc, "introspection.Plugins", [&](const Context&) -> absl::Status {
      absl::StatusOr<base::Filter> filter = ParseFilters(request->filters());
      if (!filter.ok()) return base::Annotate(filter.status(), "invalid argument");
      for (const plugin::Record* record : registry_->records()) {
        if (filter->Matches(FieldsOf(*record))) ToProto(*record, response->add_plugins());
      }
      return absl::OkStatus();
    });
  }

  grpc::Status Server(grpc::ServerContext* rpc, const google::protobuf::Empty*,
                      api::ServerResponse* response) override {
    return Serve(rpc, "introspection.Server", [&](const Context&) -> absl::Status {
      ASSIGN_OR_RETURN(*response->mutable_uuid(), Uuid());
      response->set_pid(static_cast<uint64_t>(::getpid()));
      struct stat pid_namespace {};
      if (::stat("/proc/self/ns/pid", &pid_namespace) != 0) {
        return base::ErrnoStatus("stat", "/proc/self/ns/pid");
      }
      response->set_pidns(pid_namespace.st_ino);
      return absl::OkStatus();
    });
  }

  grpc::Status PluginInfo(grpc::ServerContext* rpc, const api::PluginInfoRequest* request,
                          api::PluginInfoResponse* response) override {
    return Serve(rpc, "introspection.PluginInfo", [&](const Context& context) -> absl::Status {
      const plugin::Record* record = Find(request->type(), request->id());
      if (record == nullptr) {
        return base::NotFound("plugin {}.{} not found", request->type(), request->id());
      }
      ToProto(*record, response->mutable_plugin());
      if (!request->has_options()) return absl::OkStatus();
      if (!record->status.ok()) {
        return base::FailedPrecondition("cannot get extra info, plugin not successfully loaded");
      }
      ASSIGN_OR_RETURN(const base::Any extra,
                       extra_(context, *record, FromProto(request->options())));
      ToProto(extra, response->mutable_extra());
      return absl::OkStatus();
    });
  }

 private:
  const plugin::Record* Find(const std::string& type, const std::string& id) const {
    for (const plugin::Record* record : registry_->records()) {
      if (record->type == type && record->id == id) return record;
    }
    return nullptr;
  }

  absl::StatusOr<std::string> Uuid() {
    const std::lock_guard lock(uuid_mutex_);
    if (!uuid_.empty()) return uuid_;
    const std::string path = root_ + "/uuid";
    std::string uuid;
    if (base::Exists(path)) {
      ASSIGN_OR_RETURN(uuid, base::ReadFile(path, 4096));
      if (!uuid.empty() && !IsUuid(uuid)) return base::Unknown("invalid UUID in '{}'", path);
    }
    if (uuid.empty()) {
      uuid = RandomUuid();
      RETURN_IF_ERROR(base::MakeDirectories(root_, 0700));
      RETURN_IF_ERROR(base::WriteFileAtomically(path, uuid, 0644, base::Durability::kSynced));
    }
    uuid_ = uuid;
    return uuid_;
  }

  const plugin::Registry* const registry_;
  const std::string root_;
  const PluginExtra extra_;
  std::mutex uuid_mutex_;
  std::string uuid_;  // Guarded by uuid_mutex_.
};

class VersionService final : public containerd::services::version::v1::Version::Service {
 public:
  grpc::Status Version(grpc::ServerContext*, const google::protobuf::Empty*,
                       containerd::services::version::v1::VersionResponse* response) override {
    response->set_version(kVersion);
    response->set_revision(kRevision);
    return grpc::Status::OK;
  }
};

}  // namespace

std::unique_ptr<grpc::Service> MakeIntrospectionService(const plugin::Registry* registry,
                                                        std::string root, PluginExtra extra) {
  return std::make_unique<IntrospectionService>(registry, std::move(root), std::move(extra));
}

std::unique_ptr<grpc::Service> MakeVersionService() { return std::make_unique<VersionService>(); }

}  // namespace ctrd::services
