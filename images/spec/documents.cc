// SPDX-License-Identifier: Apache-2.0
#include "images/spec/documents.h"

#include <optional>

#include "base/json.h"
#include "base/status.h"
#include "images/spec/media_types.h"
#include "nlohmann/json.hpp"

namespace ctrd::images {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using Strings = std::vector<std::string>;
using StringMap = std::map<std::string, std::string>;

// Reads members of an object into fields and remembers whether one had the wrong type; null counts
// as absent.
class ObjectReader {
 public:
  explicit ObjectReader(const json& object) : object_(object), ok_(object.is_object()) {}
  bool ok() const { return ok_; }

  const json* Find(const char* key) const {
    if (!object_.is_object()) return nullptr;
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  void Read(const char* key, std::string& out) {
    const json* value = Find(key);
    if (value == nullptr) return;
    if (!Expect(value->is_string())) return;
    out = value->get_ref<const std::string&>();
  }

  void Read(const char* key, int64_t& out) {
    const json* value = Find(key);
    if (value == nullptr) return;
    if (!Expect(value->is_number_integer())) return;
    const bool too_large =
        value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
    if (Expect(!too_large)) out = value->get<int64_t>();
  }

  void Read(const char* key, Strings& out) {
    const json* value = Find(key);
    if (value == nullptr) return;
    if (!Expect(value->is_array())) return;
    for (const json& element : *value) {
      if (!Expect(element.is_string())) return;
      out.push_back(element.get_ref<const std::string&>());
    }
  }

  void Read(const char* key, StringMap& out) {
    const json* value = Find(key);
    if (value == nullptr) return;
    if (!Expect(value->is_object())) return;
    for (const auto& [name, element] : value->items()) {
      if (element.is_null()) continue;
      if (!Expect(element.is_string())) return;
      out[name] = element.get_ref<const std::string&>();
    }
  }

  template <typename Fn>
  void ReadObject(const char* key, Fn fn) {
    const json* value = Find(key);
    if (value != nullptr) Expect(fn(*value));
  }

  template <typename Fn>
  void ReadArray(const char* key, Fn fn) {
    const json* value = Find(key);
    if (value == nullptr || !Expect(value->is_array())) return;
    for (const json& element : *value) {
      if (!Expect(fn(element))) return;
    }
  }

  bool Expect(bool condition) {
    ok_ = ok_ && condition;
    return condition;
  }

 private:
  const json& object_;
  bool ok_;
};

bool DecodeBase64(std::string_view text, std::string& out) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out.push_back(static_cast<char>(bits >> held & 0xff));
    }
  }
  return true;
}

bool ReadPlatform(const json& value, Platform& out) {
  ObjectReader reader(value);
  reader.Read("os", out.os);
  reader.Read("architecture", out.architecture);
  reader.Read("variant", out.variant);
  reader.Read("os.version", out.os_version);
  reader.Read("os.features", out.os_features);
  return reader.ok();
}

bool ReadDescriptor(const json& value, Descriptor& out) {
  ObjectReader reader(value);
  reader.Read("mediaType", out.media_type);
  reader.Read("digest", out.digest);
  reader.Read("size", out.size_bytes);
  reader.Read("annotations", out.annotations);
  reader.Read("urls", out.urls);
  reader.Read("artifactType", out.artifact_type);
  std::string data;
  reader.Read("data", data);
  reader.Expect(DecodeBase64(data, out.data));
  reader.ReadObject("platform", [&](const json& p) { return ReadPlatform(p, out.platform); });
  // What is fetched or opened by this digest must not be a surprise later on.
  return reader.Expect(base::Digest::Parse(out.digest).ok() && out.size_bytes >= 0) && reader.ok();
}

auto DescriptorInto(std::vector<Descriptor>& list) {
  return [&list](const json& value) { return ReadDescriptor(value, list.emplace_back()); };
}

absl::StatusOr<json> ParseDocument(std::string_view text, std::string_view what) {
  if (text.size() > static_cast<size_t>(kMaxDocumentBytes)) {
    return base::InvalidArgument("{} of {} bytes is too large", what, text.size());
  }
  json document = base::ParseJson(text);
  if (document.is_discarded() || !document.is_object()) {
    return base::InvalidArgument("{} is not a JSON object", what);
  }
  return document;
}

bool HasMember(const json& document, const char* key) {
  const auto it = document.find(key);
  return it != document.end() && !it->is_null() && !(it->is_array() && it->empty());
}

// One reading per document, whatever the descriptor calls it: CVE-2021-41190.
absl::Status CheckKind(const json& document, std::string_view media_type, bool expect_index) {
  ObjectReader reader(document);
  std::string own;
  reader.Read("mediaType", own);
  const bool index = HasMember(document, "manifests") || IsIndex(own);
  const bool manifest =
      HasMember(document, "config") || HasMember(document, "layers") || IsManifest(own);
  if (HasMember(document, "fsLayers")) return base::Unknown("media-type: schema 1 not supported");
  if (!expect_index && index) {
    return base::Unknown("media-type: expected manifest but found index ({})", media_type);
  }
  if (expect_index && manifest) {
    return base::Unknown("media-type: expected index but found manifest ({})", media_type);
  }
  return absl::OkStatus();
}

ordered_json ToJson(const Platform& platform) {
  ordered_json out = {{"architecture", platform.architecture}, {"os", platform.os}};
  if (!platform.os_version.empty()) out["os.version"] = platform.os_version;
  if (!platform.os_features.empty()) out["os.features"] = platform.os_features;
  if (!platform.variant.empty()) out["variant"] = platform.variant;
  return out;
}

ordered_json ToJson(const Descriptor& descriptor) {
  ordered_json out = {{"mediaType", descriptor.media_type},
                      {"digest", descriptor.digest},
                      {"size", descriptor.size_bytes}};
  if (!descriptor.urls.empty()) out["urls"] = descriptor.urls;
  if (!descriptor.annotations.empty()) out["annotations"] = descriptor.annotations;
  if (!descriptor.platform.empty()) out["platform"] = ToJson(descriptor.platform);
  if (!descriptor.artifact_type.empty()) out["artifactType"] = descriptor.artifact_type;
  return out;
}

ordered_json ToJson(const std::vector<Descriptor>& list) {
  ordered_json out = ordered_json::array();
  for (const Descriptor& descriptor : list) out.push_back(ToJson(descriptor));
  return out;
}

}  // namespace

absl::StatusOr<Manifest> ParseManifest(std::string_view text, std::string_view media_type) {
  ASSIGN_OR_RETURN(const json document, ParseDocument(text, "manifest"));
  RETURN_IF_ERROR(CheckKind(document, media_type, /*expect_index=*/false));
  Manifest manifest;
  ObjectReader reader(document);
  reader.Read("mediaType", manifest.media_type);
  reader.Read("artifactType", manifest.artifact_type);
  reader.Read("annotations", manifest.annotations);
  reader.ReadObject("config", [&](const json& c) { return ReadDescriptor(c, manifest.config); });
  reader.ReadArray("layers", DescriptorInto(manifest.layers));
  if (!reader.ok()) return base::InvalidArgument("malformed manifest");
  return manifest;
}

absl::StatusOr<Index> ParseIndex(std::string_view text, std::string_view media_type) {
  ASSIGN_OR_RETURN(const json document, ParseDocument(text, "index"));
  RETURN_IF_ERROR(CheckKind(document, media_type, /*expect_index=*/true));
  Index index;
  ObjectReader reader(document);
  reader.Read("mediaType", index.media_type);
  reader.Read("annotations", index.annotations);
  reader.ReadArray("manifests", DescriptorInto(index.manifests));
  if (!reader.ok()) return base::InvalidArgument("malformed index");
  return index;
}

absl::StatusOr<ImageConfig> ParseImageConfig(std::string_view text) {
  ASSIGN_OR_RETURN(const json document, ParseDocument(text, "image config"));
  ImageConfig config;
  ObjectReader reader(document);
  reader.Expect(ReadPlatform(document, config.platform));
  reader.ReadObject("rootfs", [&](const json& value) {
    ObjectReader rootfs(value);
    rootfs.Read("type", config.rootfs_type);
    rootfs.Read("diff_ids", config.diff_ids);
    return rootfs.ok();
  });
  reader.ReadObject("config", [&](const json& value) {
    ObjectReader run(value);
    run.Read("User", config.user);
    run.Read("Env", config.env);
    run.Read("Entrypoint", config.entrypoint);
    run.Read("Cmd", config.cmd);
    run.Read("WorkingDir", config.working_dir);
    run.Read("StopSignal", config.stop_signal);
    run.Read("Labels", config.labels);
    if (const json* volumes = run.Find("Volumes"); volumes != nullptr && volumes->is_object()) {
      for (const auto& item : volumes->items()) config.volumes.push_back(item.key());
    }
    return run.ok();
  });
  if (!reader.ok()) return base::InvalidArgument("malformed image config");
  return config;
}

absl::StatusOr<std::vector<DockerArchiveEntry>> ParseDockerArchive(std::string_view text) {
  const json document = base::ParseJson(text);
  if (!document.is_array()) return base::InvalidArgument("manifest.json is not a JSON array");
  std::vector<DockerArchiveEntry> entries;
  for (const json& element : document) {
    DockerArchiveEntry& entry = entries.emplace_back();
    ObjectReader reader(element);
    reader.Read("Config", entry.config);
    reader.Read("RepoTags", entry.repo_tags);
    reader.Read("Layers", entry.layers);
    if (!reader.ok()) return base::InvalidArgument("malformed manifest.json");
  }
  return entries;
}

std::string SerializeDockerArchive(const std::vector<DockerArchiveEntry>& entries) {
  ordered_json out = ordered_json::array();
  for (const DockerArchiveEntry& entry : entries) {
    out.push_back(
        {{"Config", entry.config}, {"RepoTags", entry.repo_tags}, {"Layers", entry.layers}});
  }
  return base::DumpJson(out);
}

absl::StatusOr<std::string> ParseLayoutVersion(std::string_view text) {
  ASSIGN_OR_RETURN(const json document, ParseDocument(text, "oci-layout"));
  std::string version;
  ObjectReader reader(document);
  reader.Read("imageLayoutVersion", version);
  if (!reader.ok()) return base::InvalidArgument("malformed oci-layout");
  return version;
}

std::string SerializeManifest(const Manifest& manifest) {
  ordered_json out = {{"schemaVersion", 2}};
  if (!manifest.media_type.empty()) out["mediaType"] = manifest.media_type;
  if (!manifest.artifact_type.empty()) out["artifactType"] = manifest.artifact_type;
  out["config"] = ToJson(manifest.config);
  out["layers"] = ToJson(manifest.layers);
  if (!manifest.annotations.empty()) out["annotations"] = manifest.annotations;
  return base::DumpJson(out);
}

std::string SerializeIndex(const Index& index) {
  ordered_json out = {{"schemaVersion", 2}};
  if (!index.media_type.empty()) out["mediaType"] = index.media_type;
  out["manifests"] = ToJson(index.manifests);
  if (!index.annotations.empty()) out["annotations"] = index.annotations;
  return base::DumpJson(out);
}

std::string SerializeDescriptor(const Descriptor& descriptor) {
  return base::DumpJson(ToJson(descriptor));
}

absl::StatusOr<std::vector<Descriptor>> ChildrenOf(const Descriptor& parent,
                                                   std::string_view text) {
  std::vector<Descriptor> children;
  if (IsManifest(parent.media_type)) {
    ASSIGN_OR_RETURN(Manifest manifest, ParseManifest(text, parent.media_type));
    if (!manifest.config.digest.empty()) children.push_back(std::move(manifest.config));
    for (Descriptor& layer : manifest.layers) children.push_back(std::move(layer));
  } else if (IsIndex(parent.media_type)) {
    ASSIGN_OR_RETURN(Index index, ParseIndex(text, parent.media_type));
    children = std::move(index.manifests);
  }
  return children;
}

base::Labels GcLabelsFor(const std::vector<Descriptor>& children) {
  base::Labels labels;
  std::map<std::string, int> used;
  for (const Descriptor& child : children) {
    std::string key(kGcContentLabelPrefix);
    if (IsKnownConfig(child.media_type)) {
      key += "config";
      const int n = used[key]++;
      if (n > 0) key += std::to_string(n);
    } else {
      if (IsManifest(child.media_type)) key += "m.";
      if (IsLayer(child.media_type)) key += "l.";
      const int n = used[key]++;
      key += std::to_string(n);
    }
    labels[key] = child.digest;
  }
  return labels;
}

std::vector<std::string> ChainIds(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> chain;
  for (const std::string& diff_id : diff_ids) {
    chain.push_back(chain.empty() ? diff_id
                                  : base::Digest::Of(chain.back() + " " + diff_id).text());
  }
  return chain;
}

std::string IngestRef(const Descriptor& descriptor) {
  std::string key = descriptor.digest;
  if (const auto it = descriptor.annotations.find(std::string(kRefNameAnnotation));
      it != descriptor.annotations.end()) {
    key = it->second + "@" + descriptor.digest;
  }
  const std::string& type = descriptor.media_type;
  if (IsManifest(type)) return "manifest-" + key;
  if (IsIndex(type)) return "index-" + key;
  if (IsLayer(type)) return "layer-" + key;
  if (IsKnownConfig(type)) return "config-" + key;
  if (type == kInToto) return "attestation-" + key;
  return "unknown-" + key;
}

}  // namespace ctrd::images
