// SPDX-License-Identifier: Apache-2.0
#include "images/image_store.h"

namespace ctrd::images {
namespace {

std::optional<std::string> NonEmpty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

std::optional<std::string> ValueOf(const std::map<std::string, std::string>& map,
                                   const std::string& key) {
  const auto found = map.find(key);
  return found == map.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

base::FieldLookup FieldsOf(const Image& image) {
  return [&image](const base::FieldPath& path) -> std::optional<std::string> {
    if (path[0] == "name" && path.size() == 1) return NonEmpty(image.name);
    if (path.size() < 2) return std::nullopt;
    if (path[0] == "labels") return ValueOf(image.labels, base::JoinFieldPath(path, 1));
    if (path[0] == "annotations") {
      return ValueOf(image.target.annotations, base::JoinFieldPath(path, 1));
    }
    if (path[0] != "target" || path.size() != 2) return std::nullopt;
    if (path[1] == "digest") return NonEmpty(image.target.digest);
    if (path[1] == "mediatype") return NonEmpty(image.target.media_type);
    return std::nullopt;
  };
}

}  // namespace ctrd::images
