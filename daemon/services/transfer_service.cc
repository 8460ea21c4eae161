// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/transfer_service.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "daemon/services/transfer_streams.h"
#include "services/transfer/v1/transfer.grpc.pb.h"
#include "types/transfer/container.pb.h"
#include "types/transfer/imagestore.pb.h"
#include "types/transfer/importexport.pb.h"
#include "types/transfer/registry.pb.h"
#include "types/transfer/streaming.pb.h"

namespace ctrd::services {
namespace {

namespace transfer_v1 = containerd::services::transfer::v1;
namespace proto = containerd::types::transfer;

images::Platform ToPlatform(const containerd::types::Platform& platform) {
  return {.os = platform.os(),
          .architecture = platform.architecture(),
          .variant = platform.variant(),
          .os_version = platform.os_version(),
          .os_features = FromProto(platform.os_features())};
}

std::vector<images::Platform> ToPlatforms(
    const google::protobuf::RepeatedPtrField<containerd::types::Platform>& list) {
  std::vector<images::Platform> out;
  for (const auto& platform : list) out.push_back(ToPlatform(platform));
  return out;
}

transfer::StoreEnd ToStore(const proto::ImageStore& message) {
  transfer::StoreEnd store{.name = message.name(),
                           .labels = FromProto(message.labels()),
                           .platforms = ToPlatforms(message.platforms()),
                           .all_metadata = message.all_metadata(),
                           .manifest_limit = message.manifest_limit()};
  for (const auto& reference : message.extra_references()) {
    store.extra_references.push_back({.name = reference.name(),
                                      .is_prefix = reference.is_prefix(),
                                      .allow_overwrite = reference.allow_overwrite(),
                                      .add_digest = reference.add_digest(),
                                      .skip_named_digest = reference.skip_named_digest()});
  }
  for (const auto& unpack : message.unpacks()) {
    store.unpacks.push_back({ToPlatform(unpack.platform()), unpack.snapshotter()});
  }
  return store;
}

// An end that is known, and part of no operation.
struct Unused {};
// An archive's end with the stream that carries it.
struct ImportStream {
  transfer::ImportEnd end;
  std::shared_ptr<Stream> stream;
};
struct ExportStream {
  transfer::ExportEnd end;
  std::shared_ptr<Stream> stream;
};
using End =
    std::variant<Unused, transfer::RegistryEnd, transfer::StoreEnd, ImportStream, ExportStream>;

// One request with the streams it uses, which end with it.
class Operation {
 public:
  Operation(transfer::Transfer& transfers, Streams& streams, const base::Context& context)
      : transfers_(transfers), streams_(streams), context_(context) {}
  ~Operation() {
    for (const auto& stream : used_) stream->Close();
  }

  absl::Status Run(const transfer_v1::TransferRequest& request) {
    RETURN_IF_ERROR(base::RequireNamespace(context_));
    if (!request.options().progress_stream().empty()) {
      ASSIGN_OR_RETURN(auto stream, Use(request.options().progress_stream()));
      progress_ = ProgressTo(std::move(stream));
    }
    ASSIGN_OR_RETURN(End source, ToEnd(request.source()));
    ASSIGN_OR_RETURN(End destination, ToEnd(request.destination()));
    if (auto* registry = std::get_if<transfer::RegistryEnd>(&source)) {
      if (auto* store = std::get_if<transfer::StoreEnd>(&destination)) {
        return transfers_.Pull(context_, *registry, *store, progress_);
      }
    }
    if (auto* store = std::get_if<transfer::StoreEnd>(&source)) {
      if (auto* registry = std::get_if<transfer::RegistryEnd>(&destination)) {
        return transfers_.Push(context_, *store, *registry, progress_);
      }
      if (auto* to = std::get_if<transfer::StoreEnd>(&destination)) {
        return transfers_.Tag(context_, *store, *to);
      }
      if (auto* archive = std::get_if<ExportStream>(&destination)) {
        StreamSink sink(archive->stream);
        archive->end.sink = &sink;
        return transfers_.Export(context_, *store, archive->end, progress_);
      }
    }
    if (auto* archive = std::get_if<ImportStream>(&source)) {
      StreamSource bytes(archive->stream);
      if (auto* store = std::get_if<transfer::StoreEnd>(&destination)) {
        archive->end.source = &bytes;
        return transfers_.Import(context_, archive->end, *store, progress_);
      }
      if (auto* back = std::get_if<ExportStream>(&destination)) return Echo(bytes, back->stream);
    }
    return absl::UnimplementedError(
        base::ToAbsl(fmt::format("method Transfer not implemented for {} to {}",
                                 request.source().type_url(), request.destination().type_url())));
  }

 private:
  absl::StatusOr<std::shared_ptr<Stream>> Use(const std::string& id) {
    ASSIGN_OR_RETURN(auto stream, streams_.Find(context_.namespace_name(), id));
    used_.push_back(stream);
    return stream;
  }

  absl::StatusOr<End> ToEnd(const Any& any) {
    if (proto::OCIRegistry message; UnpackBare(any, message)) return ToRegistry(message);
    if (proto::ImageStore message; UnpackBare(any, message)) return End(ToStore(message));
    if (proto::ImageImportStream message; UnpackBare(any, message)) {
      ImportStream import;
      ASSIGN_OR_RETURN(import.stream, Use(message.stream()));
      import.end.media_type = message.media_type();
      import.end.force_compress = message.force_compress();
      return End(std::move(import));
    }
    if (proto::ImageExportStream message; UnpackBare(any, message)) {
      ExportStream out;
      ASSIGN_OR_RETURN(out.stream, Use(message.stream()));
      out.end.platforms = ToPlatforms(message.platforms());
      out.end.all_platforms = message.all_platforms();
      out.end.skip_compatibility_manifest = message.skip_compatibility_manifest();
      out.end.skip_non_distributable = message.skip_non_distributable();
      return End(std::move(out));
    }
    for (const std::string& known :
         {proto::ReadStream().GetTypeName(), proto::WriteStream().GetTypeName(),
          proto::ContainerPath().GetTypeName()}) {
      if (any.type_url() == known) return End(Unused{});
    }
    return base::Unknown("type with url {}: not found", any.type_url());
  }

  absl::StatusOr<End> ToRegistry(const proto::OCIRegistry& message) {
    const proto::RegistryResolver& resolver = message.resolver();
    transfer::RegistryEnd end;
    end.reference = message.reference();
    end.options.hosts.default_scheme = resolver.default_scheme();
    if (!resolver.host_dir().empty()) end.options.hosts.directories = {resolver.host_dir()};
    for (const auto& [name, value] : resolver.headers())
      end.options.headers.emplace_back(name, value);
    if (!resolver.auth_stream().empty()) {
      ASSIGN_OR_RETURN(auto stream, Use(resolver.auth_stream()));
      end.options.credentials = CredentialsFrom(std::move(stream), message.reference());
    }
    if (!resolver.logs_stream().empty()) {
      RETURN_IF_ERROR(base::Annotate(Use(resolver.logs_stream()).status(),
                                     "failed to get stream for HTTP debug logs"));
    }
    return End(std::move(end));
  }

  absl::Status Echo(StreamSource& source, const std::shared_ptr<Stream>& back) {
    StreamSink sink(back);
    for (std::string chunk;;) {
      RETURN_IF_ERROR(source.Read(context_, chunk));
      if (chunk.empty()) return absl::OkStatus();
      RETURN_IF_ERROR(sink.Write(context_, chunk));
    }
  }

  transfer::Transfer& transfers_;
  Streams& streams_;
  const base::Context& context_;
  transfer::ProgressSink progress_;
  std::vector<std::shared_ptr<Stream>> used_;
};

class TransferReactor final : public grpc::ServerUnaryReactor {
 public:
  explicit TransferReactor(base::Context context) : context_(std::move(context)) {}
  const base::Context& context() const { return context_; }
  void OnCancel() override { context_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  const base::Context context_;
};

class TransferService final : public transfer_v1::Transfer::CallbackService {
 public:
  TransferService(transfer::Transfer& transfers, Streams& streams)
      : transfers_(transfers), streams_(streams) {}

  ~TransferService() override {
    std::unique_lock lock(mutex_);
    for (const auto& [number, context] : running_) context.Cancel();
    ended_.wait(lock, [this] { return running_.empty(); });
  }

  grpc::ServerUnaryReactor* Transfer(grpc::CallbackServerContext* rpc,
                                     const transfer_v1::TransferRequest* request,
                                     google::protobuf::Empty*) override {
    auto* reactor = new TransferReactor(server::ContextOf(*rpc));
    // The request lives until Finish, and so does the reactor; the context is copied to outlive it.
    const uint64_t number = Begin(reactor->context());
    std::thread([this, reactor, request, number, context = reactor->context()] {
      const absl::Status status = Run(context, *request);
      reactor->Finish(server::ToGrpc(status));
      End(number);
    }).detach();
    return reactor;
  }

 private:
  absl::Status Run(const base::Context& context, const transfer_v1::TransferRequest& request) {
    const absl::Status status = Operation(transfers_, streams_, context).Run(request);
    if (!status.ok()) {
      base::LogDebug("call failed", {{"method", "transfer.Transfer"},
                                     {"namespace", context.namespace_name()},
                                     {"code", static_cast<int>(status.code())},
                                     {"error", status}});
    }
    return status;
  }

  uint64_t Begin(const base::Context& context) {
    const std::lock_guard lock(mutex_);
    running_.emplace(++last_, context);
    return last_;
  }

  void End(uint64_t number) {
    const std::lock_guard lock(mutex_);
    running_.erase(number);
    ended_.notify_all();
  }

  transfer::Transfer& transfers_;
  Streams& streams_;
  std::mutex mutex_;
  std::condition_variable ended_;
  // Guarded by `mutex_`.
  uint64_t last_ = 0;
  std::map<uint64_t, base::Context> running_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTransferService(transfer::Transfer* transfers,
                                                   Streams* streams) {
  return std::make_unique<TransferService>(*transfers, *streams);
}

}  // namespace ctrd::services
