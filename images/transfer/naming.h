// SPDX-License-Identifier: Apache-2.0

// Under which names an image is stored. Source document: docs/api/transfer.md (names on storing).
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/context.h"
#include "images/image_store.h"
#include "images/transfer/transfer.h"

namespace ctrd::transfer {

// How the descriptor came here: by the caller's name, or out of an archive's index.
enum class Origin { kNamed, kArchiveEntry };

// The images to store for `target`; none if nothing names it.
std::vector<images::Image> ImagesFor(const StoreEnd& store, const Descriptor& target, Origin origin,
                                     absl::Time now);

// Creates the image, or replaces all of it.
absl::Status StoreImage(const base::Context& context, images::ImageStore& store,
                        const images::Image& image);

}  // namespace ctrd::transfer
