// SPDX-License-Identifier: Apache-2.0

// Any bytes as the JSON documents of an image: what was understood is understood again after it
// was written, and a document is never both a manifest and an index.
#include "images/spec/documents.h"
#include "images/spec/media_types.h"
#include "tests/fuzz/fuzzer.h"

namespace images = ctrd::images;

namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string Descriptor(std::string_view type) {
  return "{\"mediaType\":\"" + std::string(type) + "\",\"digest\":\"" + kDigest + "\",\"size\":7}";
}

}  // namespace

std::vector<std::string> ctrd::fuzz::Seeds() {
  return {
      "{\"schemaVersion\":2,\"mediaType\":\"" + std::string(images::kOciManifest) +
          "\",\"config\":" + Descriptor(images::kOciConfig) + ",\"layers\":[" +
          Descriptor(images::kOciLayerGzip) + "],\"annotations\":{\"a\":\"b\"}}",
      "{\"schemaVersion\":2,\"manifests\":[" + Descriptor(images::kOciManifest) + "]}",
      R"({"architecture":"arm","variant":"v7","os":"linux","config":{"User":"1:2","Env":["A=b"],)"
      R"("Cmd":["/x"],"Volumes":{"/v":{}},"Labels":{"l":"m"},"StopSignal":"9"},)"
      R"("rootfs":{"type":"layers","diff_ids":[")" +
          kDigest + "\"]}}",
      R"([{"Config":"c.json","RepoTags":["a:1"],"Layers":["l/layer.tar"]}])",
      R"({"imageLayoutVersion":"1.0.0"})"};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {"\"manifests\":[",
          "\"layers\":[",
          "\"config\":",
          "\"digest\":",
          "\"size\":",
          "\"platform\":{",
          "\"urls\":[",
          "null",
          "1e400",
          "{\"a\":",
          "[",
          "]",
          "}",
          "\"annotations\":{",
          "\"data\":"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = ctrd::fuzz::AsText(data, size);
  const auto manifest = images::ParseManifest(text, images::kOciManifest);
  const auto index = images::ParseIndex(text, images::kOciIndex);
  if (manifest.ok()) {
    const std::string again = images::SerializeManifest(*manifest);
    const auto parsed = images::ParseManifest(again, images::kOciManifest);
    if (parsed.ok()) CTRD_FUZZ_CHECK(parsed->layers.size() == manifest->layers.size());
  }
  if (manifest.ok() && index.ok()) {
    CTRD_FUZZ_CHECK(manifest->layers.empty() || index->manifests.empty());
  }
  const auto config = images::ParseImageConfig(text);
  if (config.ok()) (void)images::ChainIds(config->diff_ids);
  (void)images::ParseDockerArchive(text);
  (void)images::ParseLayoutVersion(text);
  for (const std::string_view type : {images::kOciManifest, images::kOciIndex}) {
    images::Descriptor parent;
    parent.media_type = type;
    const auto children = images::ChildrenOf(parent, text);
    if (children.ok()) (void)images::GcLabelsFor(*children);
  }
  return 0;
}
