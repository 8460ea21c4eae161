// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/sandbox_supervisor.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/sandbox/v1/sandbox.pb.h"
#include "runtime/supervisor/shim_messages.h"
#include "runtime/supervisor/shim_process.h"
#include "runtime/ttrpc/client.h"
#include "runtime/waiter.h"

namespace ctrd::runtime {
namespace {

namespace api = containerd::runtime::sandbox::v1;

constexpr char kService[] = "containerd.runtime.sandbox.v1.Sandbox";

absl::Status SandboxNotFound(std::string_view id) { return base::NotFound("sandbox {}", id); }

base::Any FromProto(const google::protobuf::Any& any) {
  return {.type_url = any.type_url(), .value = any.value()};
}

void SetAny(const base::Any& from, google::protobuf::Any* to) {
  to->set_type_url(from.type_url);
  to->set_value(from.value);
}

// Most requests are an id and nothing else.
template <typename Request>
std::string RequestFor(std::string_view id) {
  Request request;
  request.set_sandbox_id(std::string(id));
  return request.SerializeAsString();
}

ShimCall CallOf(const Bundle& bundle, std::string_view service, std::string_view method,
                std::string request) {
  return {.service = std::string(service),
          .method = std::string(method),
          .payload = std::move(request),
          .namespace_name = bundle.namespace_name};
}

SandboxEndpoint ToClients(const ShimEndpoint& endpoint) {
  return {.address = endpoint.protocol + "+" + endpoint.address,
          .version = static_cast<uint32_t>(endpoint.version)};
}

std::string DirectoryOf(const std::string& binary) {
  return binary.substr(0, std::min(binary.size(), binary.rfind('/')));
}

}  // namespace

SandboxSupervisor::SandboxSupervisor(SandboxOptions options)
    : options_(std::move(options)),
      bundles_(options_.state_dir, options_.root_dir),
      resolver_(DirectoryOf(options_.shims.daemon_binary)),
      commands_(options_.shims) {}

absl::StatusOr<std::unique_ptr<SandboxSupervisor>> SandboxSupervisor::Open(SandboxOptions options) {
  std::unique_ptr<SandboxSupervisor> supervisor(new SandboxSupervisor(std::move(options)));
  RETURN_IF_ERROR(base::MakeDirectories(supervisor->options_.state_dir, 0700));
  RETURN_IF_ERROR(base::MakeDirectories(supervisor->options_.root_dir, 0700));
  ASSIGN_OR_RETURN(supervisor->found_, supervisor->bundles_.List());
  for (const Bundle& bundle : supervisor->found_) {
    supervisor->busy_.insert({bundle.namespace_name, bundle.id});
  }
  return supervisor;
}

SandboxSupervisor::~SandboxSupervisor() {
  stopping_ = true;
  queue_.Stop();
  // Connections end before the loop they live on.
  std::map<Key, SandboxPtr> sandboxes;
  {
    const std::scoped_lock lock(mutex_);
    sandboxes.swap(sandboxes_);
  }
  sandboxes.clear();
  loop_.reset();
}

// ---- The table.

absl::Status SandboxSupervisor::BeginCreate(const Key& key, absl::Time deadline) {
  std::unique_lock lock(mutex_);
  const auto free = [&] { return !busy_.contains(key); };
  if (!changed_.wait_until(lock, absl::ToChronoTime(deadline), free) || sandboxes_.contains(key)) {
    return base::AlreadyExists("sandbox {}", key.second);
  }
  busy_.insert(key);
  return absl::OkStatus();
}

absl::StatusOr<SandboxSupervisor::SandboxPtr> SandboxSupervisor::Find(const base::Context& context,
                                                                      std::string_view id) {
  const Key key(context.namespace_name(), id);
  const absl::Time deadline = context.WithTimeout(options_.shim_load).deadline();
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, absl::ToChronoTime(deadline), [&] { return !busy_.contains(key); });
  const auto it = sandboxes_.find(key);
  if (it != sandboxes_.end()) return it->second;
  if (busy_.contains(key)) return base::Unavailable("sandbox {} is being started or ended", id);
  return SandboxNotFound(id);
}

absl::StatusOr<SandboxSupervisor::SandboxPtr> SandboxSupervisor::BeginEnd(
    const base::Context& context, std::string_view id) {
  const Key key(context.namespace_name(), id);
  const absl::Time deadline = context.WithTimeout(options_.call_limit).deadline();
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, absl::ToChronoTime(deadline), [&] { return !busy_.contains(key); });
  const auto it = sandboxes_.find(key);
  if (it == sandboxes_.end() || busy_.contains(key)) return SandboxNotFound(id);
  SandboxPtr sandbox = it->second;
  sandboxes_.erase(it);
  busy_.insert(key);
  return sandbox;
}

void SandboxSupervisor::Put(const Key& key, SandboxPtr sandbox) {
  const std::scoped_lock lock(mutex_);
  busy_.erase(key);
  if (sandbox != nullptr) sandboxes_[key] = std::move(sandbox);
  changed_.notify_all();
}

// ---- Beginning.

absl::StatusOr<base::EventLoop*> SandboxSupervisor::Loop() {
  const std::scoped_lock lock(mutex_);
  if (loop_ == nullptr) {
    ASSIGN_OR_RETURN(loop_, base::EventLoopThread::Create());
  }
  return loop_->loop();
}

absl::Status SandboxSupervisor::Create(const base::Context& context, const CreateSandbox& request) {
  RETURN_IF_ERROR(base::Annotate(base::ValidateIdentifier(request.id),
                                 fmt::format("invalid sandbox id {}", request.id)));
  const Key key(context.namespace_name(), request.id);
  const absl::Time deadline = context.WithTimeout(options_.start_limit).deadline();
  RETURN_IF_ERROR(BeginCreate(key, context.WithTimeout(options_.call_limit).deadline()));
  auto bundle = bundles_.Create(context.namespace_name(), request.id, request.spec);
  if (!bundle.ok()) {
    Put(key, nullptr);
    return bundle.status();
  }
  auto sandbox = std::make_shared<Sandbox>();
  sandbox->bundle = *std::move(bundle);
  absl::Status status = StartShim(request, *sandbox, deadline);
  if (status.ok()) status = Connect(sandbox, deadline);
  status = base::Annotate(status, fmt::format("failed to start sandbox {}", request.id));
  if (status.ok()) status = CreateInShim(request, *sandbox, deadline);
  if (!status.ok()) {
    EndShim(*sandbox);
    CleanUp(*sandbox);
    Put(key, nullptr);
    return status;
  }
  Put(key, sandbox);
  // A shim that died before the line above found nobody to bury it.
  if (sandbox->channel->closed()) queue_.Post([this, sandbox] { ShimClosed(sandbox); });
  return absl::OkStatus();
}

absl::Status SandboxSupervisor::StartShim(const CreateSandbox& request, Sandbox& sandbox,
                                          absl::Time deadline) {
  ASSIGN_OR_RETURN(base::EventLoop* const loop, Loop());
  ASSIGN_OR_RETURN(sandbox.log, ShimLog::Open(loop, sandbox.bundle.File("log"), sandbox.bundle.id));
  auto binary = resolver_.Resolve(request.runtime);
  if (!binary.ok()) return base::Annotate(binary.status(), "failed to resolve runtime path");
  sandbox.binary = *std::move(binary);
  RETURN_IF_ERROR(
      base::WriteFileAtomically(sandbox.bundle.File("shim-binary-path"), sandbox.binary, 0600));
  ASSIGN_OR_RETURN(sandbox.endpoint, commands_.Start(sandbox.binary, sandbox.bundle,
                                                     request.runtime_options, deadline));
  return WriteEndpoint(sandbox.bundle.path, sandbox.endpoint);
}

absl::Status SandboxSupervisor::Connect(const SandboxPtr& sandbox, absl::Time deadline) {
  ASSIGN_OR_RETURN(base::EventLoop* const loop, Loop());
  ASSIGN_OR_RETURN(sandbox->channel,
                   ShimChannel::Connect(loop, sandbox->endpoint,
                                        std::min(deadline, absl::Now() + options_.shim_load)));
  sandbox->channel->OnClose([this, weak = std::weak_ptr(sandbox)] {
    if (stopping_) return;
    queue_.Post([this, weak] {
      if (const auto closed = weak.lock()) ShimClosed(closed);
    });
  });
  return absl::OkStatus();
}

absl::Status SandboxSupervisor::CreateInShim(const CreateSandbox& request, Sandbox& sandbox,
                                             absl::Time deadline) {
  api::CreateSandboxRequest message;
  message.set_sandbox_id(request.id);
  message.set_bundle_path(sandbox.bundle.path);
  for (const base::Mount& mount : request.rootfs) {
    auto* const proto = message.add_rootfs();
    proto->set_type(mount.type);
    proto->set_source(mount.source);
    proto->set_target(mount.target);
    for (const std::string& option : mount.options) proto->add_options(option);
  }
  if (!request.options.empty()) SetAny(request.options, message.mutable_options());
  message.set_netns_path(request.netns_path);
  for (const auto& [key, value] : request.annotations)
    (*message.mutable_annotations())[key] = value;
  const base::Context context = base::Context(sandbox.bundle.namespace_name).WithDeadline(deadline);
  return base::Annotate(
      Ask(context, sandbox, "CreateSandbox", message.SerializeAsString(), options_.start_limit)
          .status(),
      fmt::format("failed to create sandbox {}", request.id));
}

void SandboxSupervisor::Adopt() {
  if (found_.empty()) return;
  queue_.Post([this] { bundles_.RemoveLeftovers(); });
  for (Bundle& bundle : std::exchange(found_, {})) {
    queue_.Post([this, bundle = std::move(bundle)] { AdoptOne(bundle); });
  }
}

void SandboxSupervisor::AdoptOne(const Bundle& bundle) {
  if (stopping_) return;
  constexpr size_t kPathLimitBytes = 8192;
  const Key key(bundle.namespace_name, bundle.id);
  auto sandbox = std::make_shared<Sandbox>();
  sandbox->bundle = bundle;
  if (auto binary = base::ReadFile(bundle.File("shim-binary-path"), kPathLimitBytes); binary.ok()) {
    sandbox->binary = *std::move(binary);
  }
  auto endpoint = ReadEndpoint(bundle.path);
  absl::Status found = endpoint.status();
  if (endpoint.ok()) {
    sandbox->endpoint = *std::move(endpoint);
    found = Connect(sandbox, absl::Now() + options_.shim_load);
  }
  const bool nobody = absl::IsUnavailable(found) || absl::IsNotFound(found);
  if (endpoint.ok() && !found.ok() && !nobody) {
    // Only a shim that nobody finds any more is dead.
    base::LogError("shim of a sandbox cannot be connected to, leaving it",
                   {{"id", bundle.id}, {"error", found}});
    return Put(key, nullptr);
  }
  if (!found.ok()) {
    base::LogInfo("shim of a sandbox is gone, cleaning up", {{"id", bundle.id}, {"error", found}});
    CleanUp(*sandbox);
    return Put(key, nullptr);
  }
  const auto loop = Loop();
  auto log = loop.ok() ? ShimLog::Open(*loop, bundle.File("log"), bundle.id)
                       : absl::StatusOr<std::unique_ptr<ShimLog>>(loop.status());
  if (log.ok()) {
    sandbox->log = *std::move(log);
  } else {
    base::LogWarn("log of a shim is lost", {{"id", bundle.id}, {"error", log.status()}});
  }
  Put(key, sandbox);
  if (sandbox->channel->closed()) ShimClosed(sandbox);
}

// ---- Calls.

absl::StatusOr<std::string> SandboxSupervisor::Ask(const base::Context& context,
                                                   const Sandbox& sandbox, std::string_view method,
                                                   std::string request, absl::Duration limit) {
  return sandbox.channel->CallAndWait(CallOf(sandbox.bundle, kService, method, std::move(request)),
                                      context.WithTimeout(limit).deadline());
}

absl::StatusOr<std::string> SandboxSupervisor::AskAbout(const base::Context& context,
                                                        std::string_view id,
                                                        std::string_view method,
                                                        std::string request, absl::Duration limit) {
  ASSIGN_OR_RETURN(const SandboxPtr sandbox, Find(context, id));
  return Ask(context, *sandbox, method, std::move(request), limit);
}

absl::StatusOr<StartedSandbox> SandboxSupervisor::Start(const base::Context& context,
                                                        std::string_view id) {
  ASSIGN_OR_RETURN(const SandboxPtr sandbox, Find(context, id));
  auto answer = Ask(context, *sandbox, "StartSandbox", RequestFor<api::StartSandboxRequest>(id),
                    options_.start_limit);
  if (!answer.ok()) {
    return base::Annotate(answer.status(), fmt::format("failed to start sandbox {}", id));
  }
  ASSIGN_OR_RETURN(const auto started, Parse<api::StartSandboxResponse>(*answer));
  return StartedSandbox{.pid = started.pid(),
                        .created = TimeOf(started.created_at()),
                        .spec = FromProto(started.spec()),
                        .endpoint = ToClients(sandbox->endpoint)};
}

absl::StatusOr<SandboxPlatform> SandboxSupervisor::Platform(const base::Context& context,
                                                            std::string_view id) {
  ASSIGN_OR_RETURN(
      const std::string answer,
      AskAbout(context, id, "Platform", RequestFor<api::PlatformRequest>(id), options_.call_limit));
  ASSIGN_OR_RETURN(const auto response, Parse<api::PlatformResponse>(answer));
  return SandboxPlatform{.os = response.platform().os(),
                         .architecture = response.platform().architecture(),
                         .variant = response.platform().variant()};
}

absl::Status SandboxSupervisor::Stop(const base::Context& context, std::string_view id,
                                     uint32_t timeout_seconds) {
  api::StopSandboxRequest request;
  request.set_sandbox_id(std::string(id));
  request.set_timeout_secs(timeout_seconds);
  const absl::Duration given =
      timeout_seconds == 0 ? options_.start_limit : absl::Seconds(timeout_seconds);
  const absl::Status status =
      AskAbout(context, id, "StopSandbox", request.SerializeAsString(), options_.call_limit + given)
          .status();
  if (absl::IsNotFound(status) || absl::IsUnavailable(status) || ttrpc::IsClosedError(status)) {
    return absl::OkStatus();
  }
  return base::Annotate(status, "failed to stop sandbox");
}

absl::StatusOr<SandboxState> SandboxSupervisor::State(const base::Context& context,
                                                      std::string_view id, bool verbose) {
  ASSIGN_OR_RETURN(const SandboxPtr sandbox, Find(context, id));
  api::SandboxStatusRequest request;
  request.set_sandbox_id(std::string(id));
  request.set_verbose(verbose);
  auto answer =
      Ask(context, *sandbox, "SandboxStatus", request.SerializeAsString(), options_.call_limit);
  if (!answer.ok()) {
    return base::Annotate(answer.status(), fmt::format("failed to query sandbox {} status", id));
  }
  ASSIGN_OR_RETURN(const auto status, Parse<api::SandboxStatusResponse>(*answer));
  return SandboxState{.pid = status.pid(),
                      .state = status.state(),
                      .info = {status.info().begin(), status.info().end()},
                      .created = TimeOf(status.created_at()),
                      .exited = TimeOf(status.exited_at()),
                      .extra = FromProto(status.extra()),
                      .endpoint = ToClients(sandbox->endpoint)};
}

absl::StatusOr<TaskStatistics> SandboxSupervisor::Statistics(const base::Context& context,
                                                             std::string_view id) {
  ASSIGN_OR_RETURN(const std::string answer,
                   AskAbout(context, id, "SandboxMetrics",
                            RequestFor<api::SandboxMetricsRequest>(id), options_.call_limit));
  ASSIGN_OR_RETURN(const auto response, Parse<api::SandboxMetricsResponse>(answer));
  return TaskStatistics{.id = response.metrics().id(),
                        .timestamp = TimeOf(response.metrics().timestamp()),
                        .data = FromProto(response.metrics().data())};
}

absl::StatusOr<SandboxEndpoint> SandboxSupervisor::Endpoint(const base::Context& context,
                                                            std::string_view id) {
  ASSIGN_OR_RETURN(const SandboxPtr sandbox, Find(context, id));
  return ToClients(sandbox->endpoint);
}

std::unique_ptr<TaskRuntime::PendingWait> SandboxSupervisor::Wait(const base::Context& context,
                                                                  std::string_view id,
                                                                  TaskRuntime::WaitDone done) {
  auto waiter = std::make_shared<Waiter>(std::move(done));
  const auto sandbox = Find(context, id);
  if (!sandbox.ok()) {
    waiter->Finish(sandbox.status());
    return Waiter::Hold(std::move(waiter));
  }
  (*sandbox)->channel->Call(
      CallOf((*sandbox)->bundle, kService, "WaitSandbox", RequestFor<api::WaitSandboxRequest>(id)),
      context.deadline(), [weak = std::weak_ptr(waiter)](absl::StatusOr<std::string> answer) {
        const auto waiting = weak.lock();
        if (waiting == nullptr) return;
        if (!answer.ok()) return waiting->Finish(answer.status());
        const auto response = Parse<api::WaitSandboxResponse>(*answer);
        if (!response.ok()) return waiting->Finish(response.status());
        waiting->Finish(
            Exit{.status = response->exit_status(), .at = TimeOf(response->exited_at())});
      });
  return Waiter::Hold(std::move(waiter));
}

// ---- Ending.

absl::Status SandboxSupervisor::Shutdown(const base::Context& context, std::string_view id) {
  ASSIGN_OR_RETURN(const SandboxPtr sandbox, BeginEnd(context, id));
  const Key key(context.namespace_name(), id);
  const absl::Status status = Ask(context, *sandbox, "ShutdownSandbox",
                                  RequestFor<api::ShutdownSandboxRequest>(id), options_.call_limit)
                                  .status();
  if (!status.ok() && !absl::IsNotFound(status) && !ttrpc::IsClosedError(status)) {
    Put(key, sandbox);  // Still there.
    if (sandbox->channel->closed()) queue_.Post([this, sandbox] { ShimClosed(sandbox); });
    return base::Annotate(status, "failed to shutdown sandbox");
  }
  EndShim(*sandbox);
  CleanUp(*sandbox);
  Put(key, nullptr);
  return absl::OkStatus();
}

// By the sandbox service, or the way any shim without tasks is ended; waits until it is gone.
void SandboxSupervisor::EndShim(Sandbox& sandbox) {
  if (sandbox.channel == nullptr) return;
  const absl::Time deadline = absl::Now() + options_.shim_shutdown;
  const std::string& id = sandbox.bundle.id;
  (void)sandbox.channel->CallAndWait(CallOf(sandbox.bundle, kService, "ShutdownSandbox",
                                            RequestFor<api::ShutdownSandboxRequest>(id)),
                                     deadline);
  task_v3::ShutdownRequest request;
  request.set_id(id);
  for (const char* service : {"containerd.task.v3.Task", "containerd.task.v2.Task"}) {
    const auto answer = sandbox.channel->CallAndWait(
        CallOf(sandbox.bundle, service, "Shutdown", request.SerializeAsString()), deadline);
    if (!absl::IsUnimplemented(answer.status())) break;
  }
  constexpr absl::Duration kPause = absl::Milliseconds(2);
  while (!sandbox.channel->closed() && absl::Now() < deadline) absl::SleepFor(kPause);
  if (!sandbox.channel->closed()) {
    base::LogWarn("shim of a sandbox does not leave, killing it", {{"id", id}});
    if (!KillListeners(sandbox.endpoint.address, absl::Now() + options_.shim_cleanup)) {
      base::LogError("shim of a sandbox remains", {{"id", id}});
    }
  }
  sandbox.channel->Close();
}

void SandboxSupervisor::ShimClosed(const SandboxPtr& sandbox) {
  const Key key(sandbox->bundle.namespace_name, sandbox->bundle.id);
  {
    const std::scoped_lock lock(mutex_);
    const auto it = sandboxes_.find(key);
    // Somebody else is ending it, or did.
    if (stopping_ || it == sandboxes_.end() || it->second != sandbox) return;
    sandboxes_.erase(it);
    busy_.insert(key);
  }
  base::LogInfo("shim of a sandbox disconnected", {{"id", key.second}, {"namespace", key.first}});
  CleanUp(*sandbox);
  Put(key, nullptr);
}

void SandboxSupervisor::CleanUp(Sandbox& sandbox) {
  if (!sandbox.binary.empty()) {
    const absl::Status cleaned =
        commands_.Delete(sandbox.binary, sandbox.bundle, absl::Now() + options_.shim_cleanup)
            .status();
    if (!cleaned.ok()) {
      base::LogWarn("failed to clean up the shim of a sandbox",
                    {{"id", sandbox.bundle.id}, {"error", cleaned}});
    }
  }
  if (const absl::Status removed = bundles_.Remove(sandbox.bundle); !removed.ok()) {
    base::LogError("bundle of a sandbox cannot be removed",
                   {{"path", sandbox.bundle.path}, {"error", removed}});
  }
}

}  // namespace ctrd::runtime
