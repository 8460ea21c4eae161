// SPDX-License-Identifier: Apache-2.0

// EventLog keeps accepted events in files, so that they can be read again after a restart of the
// daemon or of a subscriber. It has a limit: the oldest go first, and a reader that wanted them is
// told so.
//
// What Append has taken survives the death of the daemon, not that of the host: nothing is synced
// but what a clean stop leaves. A number is never used twice all the same: after a host that died
// the numbers go on beyond those that may have been lost, and readers see a gap.
//
// Thread-safe. Source documents: docs/formats/event-log.md, docs/decisions/events.md.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event.h"
#include "base/unique_fd.h"

namespace ctrd::events {

// An accepted event. Numbers start at 1, grow, and are never used twice by one log.
struct Record {
  uint64_t sequence = 0;
  base::Event event;
};

struct LogLimits {
  uint64_t events = 65536;
  uint64_t bytes = 16 << 20;
  uint64_t segment_bytes = 1 << 20;  // What goes at once. One event may not be larger.
};

class EventLog {
 public:
  // Opens or makes the log in `directory`.
  static absl::StatusOr<std::unique_ptr<EventLog>> Open(const std::string& directory,
                                                        const LogLimits& limits);
  ~EventLog();  // Syncs.

  // The name of this log: a cursor of another one means nothing here.
  const std::string& id() const { return id_; }
  // The greatest number ever used.
  uint64_t last_sequence() const;
  // The smallest number that may still be read.
  uint64_t oldest_sequence() const;

  // `record.sequence` is greater than all before. A record that cannot be kept is a gap to readers.
  absl::Status Append(const Record& record);

  // Records that are gone, or were never kept.
  struct Gap {
    uint64_t events = 0;
  };
  struct End {};  // Nothing more for now.
  using Item = std::variant<End, Gap, std::shared_ptr<const Record>>;

  // Reads on from a number. Not thread-safe; does not keep the log from dropping what it reads. The
  // log outlives it.
  class Reader {
   public:
    absl::StatusOr<Item> Next();
    uint64_t position() const { return position_; }  // The number read last, or known to be gone.

   private:
    friend class EventLog;
    Reader(const EventLog& log, uint64_t after) : log_(log), position_(after) {}
    absl::StatusOr<bool> Fill(size_t wanted);
    absl::Status OpenSegment();

    const EventLog& log_;
    uint64_t position_;
    uint64_t segment_ = 0;  // The first number of the open one.
    uint64_t end_ = 0;      // Bytes of it that are written.
    base::UniqueFd file_;
    uint64_t offset_ = 0;                    // In the file, of what follows `buffer_`.
    std::string buffer_;                     // Read, not consumed.
    std::shared_ptr<const Record> waiting_;  // Behind a gap.
  };
  // After number `after`.
  std::unique_ptr<Reader> ReadAfter(uint64_t after) const;

 private:
  struct Segment {
    uint64_t first = 0;
    uint64_t size = 0;
  };

  EventLog(std::string directory, const LogLimits& limits)
      : directory_(std::move(directory)), limits_(limits) {}
  absl::Status Load();
  absl::Status Recover(Segment& segment);
  absl::Status StartSegment(uint64_t first);
  uint64_t EventsPerSegment() const;
  void DropOldest();
  std::string PathOf(uint64_t first) const;
  // The segment to read after `segment` (0: none yet) for what follows `position`, if there is one.
  bool Locate(uint64_t segment, uint64_t position, Segment& found) const;

  const std::string directory_;
  const LogLimits limits_;
  std::string id_;
  std::thread sync_;  // Of what makes numbers unique.

  mutable std::mutex mutex_;  // Guards all below. Held while a record goes to the page cache.
  std::deque<Segment> segments_;
  base::UniqueFd active_;  // The last segment.
  uint64_t last_sequence_ = 0;
};

}  // namespace ctrd::events
