// SPDX-License-Identifier: Apache-2.0

// Any bytes as a runtime specification: written again it stays what it was, and what a client does
// to it fails no process.
#include "base/status.h"
#include "runtime/spec/spec.h"
#include "tests/fuzz/fuzzer.h"

namespace runtime = ctrd::runtime;

std::vector<std::string> ctrd::fuzz::Seeds() {
  runtime::Spec spec = runtime::Spec::Default("default", "c1");
  spec.SetArguments({"sh", "-c", "true"});
  spec.AllowDefaultDevices();
  return {
      spec.ToJson(),
      R"({"ociVersion":"1.0.2","process":{"user":{"uid":1},"args":["a"]},"root":{"path":"r"}})"};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {"\"process\":",
          "\"linux\":",
          "\"mounts\":",
          "\"resources\":",
          "\"namespaces\":",
          "\"capabilities\":",
          "null",
          "[]",
          "{}",
          "\"\"",
          "1e400",
          "{\"a\":",
          "["};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto spec = runtime::Spec::Parse(ctrd::fuzz::AsText(data, size));
  if (!spec.ok()) return 0;
  const std::string written = spec->ToJson();
  const auto again = runtime::Spec::Parse(written);
  CTRD_FUZZ_CHECK(again.ok());
  CTRD_FUZZ_CHECK(again->ToJson() == written);
  (void)spec->ExecProcessJson({.arguments = {"x"}, .terminal = true});
  (void)spec->HasTerminal();
  (void)spec->RootPath();
  (void)spec->MountLabel();
  (void)spec->BoundingCapabilities();
  spec->MergeEnvironment({"A=b", "C"});
  spec->AddMounts({{"bind", "/a", "/b", {"rbind"}}});
  spec->ApplyImage({.environment = {"D=e"}, .entrypoint = {"/x"}});
  spec->SetUser({.uid = 1, .gid = 2, .additional_gids = {3}});
  spec->AddCapabilities({"CAP_CHOWN"});
  spec->DropCapabilities({"CAP_CHOWN"});
  spec->SetNamespace("network", "/n");
  spec->SetMemoryLimit(1);
  (void)spec->ToJson();
  return 0;
}
