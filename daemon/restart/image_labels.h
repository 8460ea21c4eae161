// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/context.h"
#include "base/identifiers.h"
#include "images/content/content_store.h"
#include "images/image_store.h"

namespace ctrd::restart {

// The labels with `prefix` that the configs of image `name` carry, those of all its platforms that
// are here. Nothing for an image that is unknown or cannot be read. Older clients copy such labels
// to the container, so that an image could ask for what only its user may.
base::Labels LabelsOfImage(const base::Context& context, images::ImageStore& images,
                           content::ContentStore& content, const std::string& name,
                           std::string_view prefix);

}  // namespace ctrd::restart
