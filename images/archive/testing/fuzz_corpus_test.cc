// SPDX-License-Identifier: Apache-2.0

// Runs a fuzzer's entry point, linked into this program, over a corpus made here and many damaged
// versions of it: what a machine without libFuzzer can check at every build.
#include <cstdint>
#include <random>

#include "gtest/gtest.h"
#include "images/archive/compression.h"
#include "images/archive/testing/tar_builder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace ctrd::archive {
namespace {

constexpr int kRounds = 1500;

std::string Compress(Compression compression, const std::string& data) {
  StringSink sink;
  auto compressor = OpenCompressor(compression, sink);
  (void)(*compressor)->Write(data);
  (void)(*compressor)->Finish();
  return std::string(1, '\x40') + sink.text;
}

std::vector<std::string> Corpus() {
  const std::string tar =
      TarBuilder()
          .Directory("d")
          .File("d/" + std::string(120, 'n'), "some data")
          .Symlink("target", "link")
          .Add({.name = "x", .uid = 1 << 22, .mtime = {5, 6}, .xattrs = {{"user.a", "b"}}},
               std::string(700, 'x'))
          .Build();
  return {"", tar, Compress(Compression::kNone, tar), Compress(Compression::kGzip, tar),
          Compress(Compression::kZstd, tar)};
}

TEST(FuzzCorpus, NoDamageDoesHarm) {
  std::minstd_rand random(1);
  for (const std::string& sample : Corpus()) {
    for (int round = 0; round < kRounds; ++round) {
      std::string bytes = sample;
      for (size_t damage = random() % 8; damage > 0 && !bytes.empty(); --damage) {
        bytes[random() % bytes.size()] = static_cast<char>(random());
      }
      if (random() % 4 == 0 && !bytes.empty()) bytes.resize(random() % bytes.size());
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    }
  }
}

// Headers whose checksums are right get further in.
TEST(FuzzCorpus, NoDamageDoesHarmBehindAGoodChecksum) {
  std::minstd_rand random(2);
  const std::string sample = Corpus()[1];
  for (int round = 0; round < kRounds; ++round) {
    std::string bytes = sample;
    const size_t block = random() % (bytes.size() / 512) * 512;
    for (size_t damage = random() % 8; damage > 0; --damage) {
      bytes[block + random() % 512] = static_cast<char>(random());
    }
    bytes.replace(block + 148, 8, 8, ' ');
    int sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += static_cast<uint8_t>(bytes[block + i]);
    bytes.replace(block + 148, 7, fmt::format("{:06o}", sum) + std::string(1, '\0'));
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
}

}  // namespace
}  // namespace ctrd::archive
