// SPDX-License-Identifier: Apache-2.0
#include "daemon/restart/image_labels.h"

#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "images/spec/documents.h"
#include "images/spec/media_types.h"

namespace ctrd::restart {
namespace {

// More documents than any image has that somebody runs.
constexpr int kMaxDocuments = 256;

absl::StatusOr<std::string> Read(const base::Context& context, content::ContentStore& content,
                                 const images::Descriptor& descriptor) {
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(descriptor.digest));
  return content::ReadBlob(context, content, digest, images::kMaxDocumentBytes);
}

}  // namespace

base::Labels LabelsOfImage(const base::Context& context, images::ImageStore& images,
                           content::ContentStore& content, const std::string& name,
                           std::string_view prefix) {
  base::Labels labels;
  const auto image = images.Get(context, name);
  if (!image.ok()) return labels;
  std::vector<images::Descriptor> pending = {image->target};
  for (int read = 0; !pending.empty() && read < kMaxDocuments; ++read) {
    const images::Descriptor descriptor = std::move(pending.back());
    pending.pop_back();
    const bool leads_on =
        images::IsIndex(descriptor.media_type) || images::IsManifest(descriptor.media_type);
    if (!leads_on && !images::IsConfig(descriptor.media_type)) continue;
    const auto document = Read(context, content, descriptor);
    if (!document.ok()) continue;  // Of a platform that was not pulled.
    if (leads_on) {
      const auto children = images::ChildrenOf(descriptor, *document);
      if (children.ok()) pending.insert(pending.end(), children->begin(), children->end());
    } else if (const auto config = images::ParseImageConfig(*document); config.ok()) {
      for (const auto& [key, value] : config->labels) {
        if (key.starts_with(prefix)) labels[key] = value;
      }
    }
  }
  return labels;
}

}  // namespace ctrd::restart
