// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/streaming_service.h"

#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/identifiers.h"
#include "base/status.h"
#include "daemon/server/serve.h"
#include "google/protobuf/empty.pb.h"
#include "services/streaming/v1/streaming.grpc.pb.h"

namespace ctrd::services {
namespace {

namespace streaming_v1 = containerd::services::streaming::v1;

// One call. The first message names the stream; from then on the stream says what to do.
class StreamReactor final : public grpc::ServerBidiReactor<Any, Any> {
 public:
  StreamReactor(Streams& streams, base::Context context)
      : streams_(streams), context_(std::move(context)) {
    StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    {
      // Reads follow each other, but the end of the call may come beside this one.
      const std::lock_guard lock(mutex_);
      if (finished_) return;
      if (stream_ == nullptr) {
        const absl::Status status = ok ? Register() : absl::OkStatus();
        if (!ok || !status.ok()) FinishOnce(server::ToGrpc(status));
        return;
      }
    }
    stream_->Received(ok ? std::optional<Any>(std::move(incoming_)) : std::nullopt);
  }

  void OnWriteDone(bool ok) override { stream_->Written(ok); }

  void OnCancel() override {
    {
      const std::lock_guard lock(mutex_);
      if (stream_ == nullptr) return FinishOnce(grpc::Status::CANCELLED);
    }
    stream_->Left();
  }

  void OnDone() override {
    if (stream_ != nullptr) {
      streams_.Remove(context_.namespace_name(), id_);
      stream_->Detach();
    }
    delete this;
  }

 private:
  // With `mutex_` held.
  absl::Status Register() {
    streaming_v1::StreamInit init;
    if (!UnpackBare(incoming_, init)) {
      return base::Unknown("can't unmarshal type {} to output {}",
                           base::Quote(incoming_.type_url()), base::Quote(init.GetTypeName()));
    }
    id_ = init.id();
    auto stream = std::make_shared<services::Stream>();
    RETURN_IF_ERROR(streams_.Add(context_.namespace_name(), id_, stream));
    stream_ = std::move(stream);
    // The client may name the stream elsewhere as soon as it has read this.
    stream_->Post(PackBare(google::protobuf::Empty()));
    stream_->Attach({.read = [this] { StartRead(&incoming_); },
                     .write = [this](const Any& message) { StartWrite(&message); },
                     .finish = [this] { Finish(grpc::Status::OK); }});
    return absl::OkStatus();
  }

  // Before there is a stream, with `mutex_` held. Later the stream says when.
  void FinishOnce(const grpc::Status& status) {
    if (!std::exchange(finished_, true)) Finish(status);
  }

  Streams& streams_;
  const base::Context context_;
  Any incoming_;  // Belongs to the read in flight.
  std::string id_;
  std::mutex mutex_;
  std::shared_ptr<services::Stream> stream_;  // Set once, under `mutex_`.
  bool finished_ = false;                     // Guarded by `mutex_`.
};

class StreamingService final : public streaming_v1::Streaming::CallbackService {
 public:
  explicit StreamingService(Streams& streams) : streams_(streams) {}

  grpc::ServerBidiReactor<Any, Any>* Stream(grpc::CallbackServerContext* rpc) override {
    return new StreamReactor(streams_, server::ContextOf(*rpc));
  }

 private:
  Streams& streams_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeStreamingService(Streams* streams) {
  return std::make_unique<StreamingService>(*streams);
}

}  // namespace ctrd::services
