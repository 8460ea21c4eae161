// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/event_envelope.h"

#include <cstdint>

namespace ctrd::services {

using containerd::types::Envelope;

base::Event FromProto(const Envelope& envelope) {
  return {.timestamp = absl::FromUnixSeconds(envelope.timestamp().seconds()) +
                       absl::Nanoseconds(envelope.timestamp().nanos()),
          .namespace_name = envelope.namespace_(),
          .topic = envelope.topic(),
          .payload = {.type_url = envelope.event().type_url(), .value = envelope.event().value()}};
}

void ToProto(const base::Event& event, Envelope* envelope) {
  envelope->Clear();
  const int64_t seconds = absl::ToUnixSeconds(event.timestamp);
  envelope->mutable_timestamp()->set_seconds(seconds);
  envelope->mutable_timestamp()->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(event.timestamp - absl::FromUnixSeconds(seconds))));
  envelope->set_namespace_(event.namespace_name);
  envelope->set_topic(event.topic);
  if (event.payload.empty()) return;
  envelope->mutable_event()->set_type_url(event.payload.type_url);
  envelope->mutable_event()->set_value(event.payload.value);
}

}  // namespace ctrd::services
