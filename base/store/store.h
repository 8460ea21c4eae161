// SPDX-License-Identifier: Apache-2.0

// Store: an ordered map of bytes to bytes in one file, with transactions.
//
//   View(fn)    any number at once, each on an unchanging picture of the store; never waits.
//   Update(fn)  atomic, durable on return, in an order all agree on. Updates that come in while
//               another one is being synced share the next sync (group commit).
//
// An update's function runs on the writer's thread, alone, and sees what the updates before it did.
// If it returns an error nothing of it remains and Update returns that error. It must be quick and
// must not wait for anybody: everyone's writes wait for it. It may run more than once (the map had
// to grow): it must not have effects outside the transaction but assigning its results.
//
// Keys are ordered by bytes, at most 500 bytes long (kInvalidArgument beyond), and not empty; see
// Key for how parts are put together. A second process opening the same file waits or fails (see
// Options).
//
// Source document: docs/decisions/store.md. The suite in base/store/testing holds what is written
// here against every implementation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ctrd::store {

class ReadTransaction {
 public:
  virtual ~ReadTransaction() = default;
  // The value, valid until the transaction ends (in an update: until the next write).
  virtual absl::StatusOr<std::optional<std::string_view>> Get(std::string_view key) = 0;
  // Calls `visit` for each entry whose key starts with `prefix`, in order, until it returns false.
  // In an update `visit` must not write; gather first.
  virtual absl::Status Scan(
      std::string_view prefix,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) = 0;
};

class WriteTransaction : public ReadTransaction {
 public:
  virtual absl::Status Put(std::string_view key, std::string_view value) = 0;
  virtual absl::Status Delete(std::string_view key) = 0;  // Absent is fine.
};

struct Statistics {
  uint64_t updates = 0;  // That committed.
  uint64_t syncs = 0;    // That made them durable.
};

class Store {
 public:
  virtual ~Store() = default;

  virtual absl::Status View(const std::function<absl::Status(ReadTransaction&)>& fn) = 0;
  //   kResourceExhausted  the disk is full; nothing of the update remains, the store goes on
  virtual absl::Status Update(const std::function<absl::Status(WriteTransaction&)>& fn) = 0;
  virtual Statistics statistics() const = 0;
};

struct Options {
  bool sync = true;                                // false: durable at the system's leisure.
  absl::Duration lock_timeout = absl::Seconds(0);  // How long to wait for another process.
};

// Opens, or creates with mode 0600, the store in file `path`; its directory must exist.
//   kFailedPrecondition  another process holds it: "… is in use by another process"
//   kDataLoss            the file is damaged
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const std::string& path, const Options& options);

// A key made of parts: each part is escaped (0x00 -> 0x01 0x01, 0x01 -> 0x01 0x02) and followed by
// a zero byte, so that any bytes may stand in a part, order is kept part by part, and Key({"a"}) is
// a prefix of exactly the keys whose first part is "a".
std::string Key(std::initializer_list<std::string_view> parts);
std::vector<std::string> SplitKey(std::string_view key);

}  // namespace ctrd::store
