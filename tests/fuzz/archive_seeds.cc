// SPDX-License-Identifier: Apache-2.0

// What the fuzzers of images/archive start from.
#include "images/archive/compression.h"
#include "images/archive/testing/tar_builder.h"
#include "tests/fuzz/fuzzer.h"

using namespace ctrd::archive;

namespace {

std::string Tar() {
  return TarBuilder()
      .Directory("d")
      .File("d/" + std::string(120, 'n'), "some data")
      .Symlink("target", "link")
      .Link("d", "hard")
      .Add({.name = "x", .uid = 1 << 22, .mtime = {5, 6}, .xattrs = {{"user.a", "b"}}},
           std::string(700, 'x'))
      .Build();
}

std::string Compressed(Compression compression) {
  StringSink sink;
  auto compressor = OpenCompressor(compression, sink);
  (void)(*compressor)->Write(Tar());
  (void)(*compressor)->Finish();
  return "\x40" + sink.text;
}

}  // namespace

std::vector<std::string> ctrd::fuzz::Seeds() {
  return {Tar(), Compressed(Compression::kNone), Compressed(Compression::kGzip),
          Compressed(Compression::kZstd)};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {
      "ustar\0"
      "00",
      "ustar  ",
      "path=",
      "SCHILY.xattr.user.a=",
      "GNU.sparse.major=1\n",
      "20 size=1\n",
      "\x1f\x8b\x08",
      "\x28\xb5\x2f\xfd",
      "././@LongLink",
      "PaxHeaders"};
}
