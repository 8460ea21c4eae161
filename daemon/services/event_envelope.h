// SPDX-License-Identifier: Apache-2.0

// Between events and the envelopes that carry them in requests and streams.
#pragma once

#include "base/event.h"
#include "types/event.pb.h"

namespace ctrd::services {

base::Event FromProto(const containerd::types::Envelope& envelope);
void ToProto(const base::Event& event, containerd::types::Envelope* envelope);

}  // namespace ctrd::services
