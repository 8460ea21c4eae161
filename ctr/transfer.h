// SPDX-License-Identifier: Apache-2.0
// The client side of the Transfer service: byte streams to and from the daemon, its progress, and
// its questions for credentials. Source document: docs/api/streaming-transfer.md.
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ctr/client.h"
#include "services/streaming/v1/streaming.grpc.pb.h"
#include "types/transfer/progress.pb.h"

namespace ctrd::ctr {

// `message` with the bare type name that this service demands.
google::protobuf::Any PackBare(const google::protobuf::Message& message);

// One stream, registered with the daemon under a name that requests may use. A thread serves it;
// the destructor ends the stream and waits for the thread.
class TransferStream {
 public:
  // What runs on the thread: it may Send, and Receive until that fails.
  using Body = std::function<absl::Status(TransferStream&)>;

  static absl::StatusOr<std::unique_ptr<TransferStream>> Open(const Client& client,
                                                              std::string_view kind, Body body);
  ~TransferStream();
  TransferStream(const TransferStream&) = delete;
  TransferStream& operator=(const TransferStream&) = delete;

  const std::string& id() const { return id_; }
  bool Send(const google::protobuf::Message& message);
  bool Receive(google::protobuf::Any* message);
  void SendEnd();
  // Waits for the daemon to end its side, and tells how the body fared.
  absl::Status Join();

 private:
  TransferStream(const Client& client, std::string_view kind);

  std::string id_;
  std::unique_ptr<grpc::ClientContext> context_;
  containerd::services::streaming::v1::Streaming::Stub stub_;
  std::unique_ptr<grpc::ClientReaderWriter<google::protobuf::Any, google::protobuf::Any>> stream_;
  std::thread thread_;
  absl::Status result_;
};

// Streams that send what `fd` holds, or write to it what arrives. `fd` is borrowed.
absl::StatusOr<std::unique_ptr<TransferStream>> SendFile(const Client& client, int fd);
absl::StatusOr<std::unique_ptr<TransferStream>> ReceiveFile(const Client& client, int fd);

struct Credentials {
  std::string user;
  std::string secret;
  std::string refresh_token;
};
absl::StatusOr<std::unique_ptr<TransferStream>> AnswerAuth(const Client& client,
                                                           Credentials credentials);

using ProgressHandler = std::function<void(const containerd::types::transfer::Progress&)>;

// Runs one transfer to its end. `progress` is called on another thread, for the last time before
// this returns.
absl::Status Transfer(Client& client, const google::protobuf::Message& source,
                      const google::protobuf::Message& destination, ProgressHandler progress);

}  // namespace ctrd::ctr
