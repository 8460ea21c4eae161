// SPDX-License-Identifier: Apache-2.0

// The protocols that transfers speak on streams: bytes with credits, progress, credentials.
// Source document: docs/api/transfer.md (protocols on a stream).
#pragma once

#include <memory>
#include <string>

#include "daemon/services/streams.h"
#include "images/registry/authorizer.h"
#include "images/transfer/transfer.h"

namespace ctrd::services {

// Bytes the client sends. The end of its side is the end of the data.
class StreamSource final : public transfer::ByteSource {
 public:
  explicit StreamSource(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  absl::Status Read(const base::Context& context, std::string& chunk) override;

 private:
  const std::shared_ptr<Stream> stream_;
  int64_t credit_ = 0;  // What the client may still send.
};

// Bytes to the client, never more than it has granted.
class StreamSink final : public transfer::ByteSink {
 public:
  explicit StreamSink(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  absl::Status Write(const base::Context& context, std::string_view data) override;

 private:
  absl::Status AwaitCredit(const base::Context& context);
  void TakeCredit(const Any& message);

  const std::shared_ptr<Stream> stream_;
  int64_t credit_ = 0;
};

transfer::ProgressSink ProgressTo(std::shared_ptr<Stream> stream);

// Asks the client for credentials, one question at a time.
registry::CredentialsCallback CredentialsFrom(std::shared_ptr<Stream> stream,
                                              std::string reference);

}  // namespace ctrd::services
