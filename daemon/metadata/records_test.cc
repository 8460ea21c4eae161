// SPDX-License-Identifier: Apache-2.0

// The formats of docs/formats/metadata.md, byte by byte where it gives bytes.
#include "daemon/metadata/records.h"

#include "gtest/gtest.h"

namespace ctrd::metadata {
namespace {

TEST(RecordsTest, NamespaceIsAsTheExampleSays) {
  EXPECT_EQ(Encode(NamespaceRecord{{{"color", "blue"}}}),
            "\x0a\x0d\x0a\x05"
            "color\x12\x04"
            "blue");
  EXPECT_EQ(store::Key({table::kNamespaces, "k8s.io"}), std::string("namespace\0k8s.io\0", 17));
}

TEST(RecordsTest, SnapshotKeepsAllItsFields) {
  const SnapshotRecord record{.backend_name = "ns/1/k",
                              .parent = "p",
                              .created = absl::FromUnixNanos(1234567890123456789),
                              .updated = absl::FromUnixSeconds(-1),
                              .labels = {{"a", "1"}}};
  SnapshotRecord read;
  Decode(Encode(record), read);
  EXPECT_EQ(read.backend_name, record.backend_name);
  EXPECT_EQ(read.parent, record.parent);
  EXPECT_EQ(read.created, record.created);
  EXPECT_EQ(read.updated, record.updated);
  EXPECT_EQ(read.labels, record.labels);
}

TEST(RecordsTest, IngestWithoutExpiryNeverExpires) {
  IngestRecord read;
  Decode(Encode(IngestRecord{.backend_ref = "r"}), read);
  EXPECT_EQ(read.expires, absl::InfiniteFuture());
}

TEST(RecordsTest, DamagedBytesAreReadAsFarAsTheyGo) {
  BlobRecord read;
  Decode("\x08\x05\x22\xff", read);
  EXPECT_EQ(read.size_bytes, 5);
}

}  // namespace
}  // namespace ctrd::metadata
