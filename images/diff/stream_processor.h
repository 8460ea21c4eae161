// SPDX-License-Identifier: Apache-2.0

// Stream processors: programs that turn a layer of one media type into another (decryption,
// mostly). Source document: docs/api/diff.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/any.h"
#include "base/context.h"
#include "images/archive/byte_stream.h"

namespace ctrd::diff {

struct StreamProcessor {
  std::string id;
  std::vector<std::string> accepts;  // Media types.
  std::string returns;
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> environment;  // "KEY=value", added to ours.
};

// Starts `processor` on `input`, which must outlive the result; the result is what it writes. If it
// fails, the end of the stream is an error with what it wrote to its standard error. It is killed
// when the result is destroyed before its end. `payload` becomes its descriptor 3, if not null.
absl::StatusOr<std::unique_ptr<archive::ByteSource>> StartStreamProcessor(
    const base::Context& context, const StreamProcessor& processor, const std::string& media_type,
    const base::Any* payload, archive::ByteSource& input);

}  // namespace ctrd::diff
