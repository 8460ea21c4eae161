// SPDX-License-Identifier: Apache-2.0

// What a daemon says to a starting shim, and the documents that reach a shim: standard input and
// flags of the start call, runc options, the process of an exec, the exit record in a bundle.
#include "base/status.h"
#include "base/wire.h"
#include "runtime/shim/bootstrap.h"
#include "runtime/shim/bundle_spec.h"
#include "runtime/shim/flags.h"
#include "runtime/shim/runc_options.h"
#include "tests/fuzz/fuzzer.h"

namespace shim = ctrd::runtime::shim;
using ctrd::base::WireWriter;

namespace {

std::string OptionsMessage() {
  return WireWriter()
      .Varint(1, 1)
      .Bytes(3, "shim-group")
      .Bytes(6, "runc")
      .Bytes(7, "/run/r")
      .Take();
}

std::string Bare() {
  return WireWriter().Bytes(1, shim::kRuncOptionsType).Bytes(2, OptionsMessage()).Take();
}

}  // namespace

std::vector<std::string> ctrd::fuzz::Seeds() {
  const std::string params = WireWriter()
                                 .Bytes(1, "c1")
                                 .Bytes(2, "default")
                                 .Varint(3, 4)
                                 .Bytes(4, "v2.3.4")
                                 .Bytes(5, "/run/c.sock.ttrpc")
                                 .Bytes(8, WireWriter().Bytes(1, Bare()).Take())
                                 .Bytes(9, "/run/containerd/s")
                                 .Take();
  using namespace std::string_literals;
  return {"b" + params, "b" + Bare(), "o" + OptionsMessage(),
          "f-namespace\0default\0-address=/a\0--id\0c1\0-debug\0start"s,
          R"(p{"args":["sh"],"cwd":"/","user":{"uid":0},"terminal":false})"};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {std::string(shim::kRuncOptionsType),
          "-bundle",
          "-publish-binary",
          "=",
          "delete",
          "-info",
          "{\"a\":",
          "[",
          "]",
          "}",
          "\"terminal\"",
          "\x42\x04",
          "\x4a\x02"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view text = ctrd::fuzz::AsText(data + 1, size - 1);
  switch (data[0]) {
    case 'b': {
      const auto bootstrap = shim::ReadBootstrap(text, "c1", "default", size % 2 == 0);
      (void)shim::DecodeRuncOptions(bootstrap.options);
      (void)shim::SocketAddress(bootstrap.socket_dir, bootstrap.ttrpc_address, "default", "c1");
      (void)shim::EncodeAnswer(bootstrap.generation, bootstrap.ttrpc_address);
      break;
    }
    case 'o':
      (void)shim::DecodeRuncOptions({std::string(shim::kRuncOptionsType), std::string(text)});
      break;
    case 'f': {
      std::vector<std::string> arguments;
      while (!text.empty()) arguments.emplace_back(ctrd::fuzz::TakePart(text));
      (void)shim::ParseFlags(arguments);
      break;
    }
    default:
      (void)shim::WithTerminal(std::string(text), true);
  }
  return 0;
}
