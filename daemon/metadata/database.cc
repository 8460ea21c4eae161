// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/database.h"

#include "absl/time/clock.h"

namespace ctrd::metadata {

absl::Status Database::Update(const std::function<absl::Status(WriteTransaction&)>& fn,
                              Change change) {
  absl::Status status = store_->Update(fn);
  if (status.ok() && observer_) observer_(change);
  return status;
}

absl::Status Database::Publish(std::string_view namespace_name, std::string_view topic,
                               std::string_view type, std::string payload) {
  if (events_ == nullptr) return absl::OkStatus();
  return events_->Publish({.timestamp = absl::Now(),
                           .namespace_name = std::string(namespace_name),
                           .topic = std::string(topic),
                           .payload = {std::string(type), std::move(payload)}});
}

}  // namespace ctrd::metadata
