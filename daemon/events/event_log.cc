// SPDX-License-Identifier: Apache-2.0
#include "daemon/events/event_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "base/files.h"
#include "base/identifiers.h"
#include "base/log.h"
#include "base/status.h"
#include "base/wire.h"

namespace ctrd::events {
namespace {

constexpr size_t kHeaderBytes = 8;  // Length and checksum, little endian.
constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kSmallFileBytes = 256;
// Numbers that a host may have given out and lost: more than fit into the unsynced part of a log.
constexpr uint64_t kLostWithTheHost = 1 << 20;
constexpr char kSuffix[] = ".log";

uint32_t Checksum(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, folded.
  for (const char byte : bytes) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  return static_cast<uint32_t>(hash ^ (hash >> 32));
}

void PutNumber(std::string& out, uint32_t number) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(number >> shift);
}

uint32_t GetNumber(std::string_view bytes) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number |= uint32_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  return number;
}

std::string Encode(const Record& record) {
  const std::string body = base::WireWriter()
                               .Varint(1, record.sequence)
                               .Time(2, record.event.timestamp)
                               .Bytes(3, record.event.namespace_name)
                               .Bytes(4, record.event.topic)
                               .Any(5, record.event.payload)
                               .Take();
  std::string bytes;
  bytes.reserve(kHeaderBytes + body.size());
  PutNumber(bytes, static_cast<uint32_t>(body.size()));
  PutNumber(bytes, Checksum(body));
  return bytes + body;
}

std::optional<Record> Decode(std::string_view body) {
  Record record;
  base::WireReader reader(body);
  while (const auto field = reader.Next()) {
    if (field->number == 1) record.sequence = field->varint;
    if (field->number == 2) record.event.timestamp = base::ReadWireTime(field->bytes);
    if (field->number == 3) record.event.namespace_name = field->bytes;
    if (field->number == 4) record.event.topic = field->bytes;
    if (field->number == 5) record.event.payload = base::ReadWireAny(field->bytes);
  }
  if (!reader.ok() || record.sequence == 0) return std::nullopt;
  return record;
}

std::string BootId() {
  const auto id = base::ReadFile("/proc/sys/kernel/random/boot_id", kSmallFileBytes);
  return id.ok() ? *id : "";
}

}  // namespace

std::string EventLog::PathOf(uint64_t first) const {
  return fmt::format("{}/{:016x}{}", directory_, first, kSuffix);
}

absl::StatusOr<std::unique_ptr<EventLog>> EventLog::Open(const std::string& directory,
                                                         const LogLimits& limits) {
  RETURN_IF_ERROR(base::MakeDirectories(directory, 0700));
  std::unique_ptr<EventLog> log(new EventLog(directory, limits));
  RETURN_IF_ERROR(log->Load());
  return log;
}

absl::Status EventLog::Load() {
  const std::string id_file = directory_ + "/id", open_file = directory_ + "/open";
  if (auto id = base::ReadFile(id_file, kSmallFileBytes); id.ok() && !id->empty()) {
    id_ = *std::move(id);
  } else {
    id_ = base::GenerateName();
    RETURN_IF_ERROR(base::WriteFileAtomically(id_file, id_, 0600));
  }
  ASSIGN_OR_RETURN(const auto names, base::ListDirectory(directory_));
  for (const std::string& name : names) {  // Sorted, and so by number.
    if (!name.ends_with(kSuffix)) continue;
    const uint64_t first = std::strtoull(name.c_str(), nullptr, 16);
    struct stat info;
    if (first == 0 || ::stat(PathOf(first).c_str(), &info) != 0) continue;
    segments_.push_back({.first = first, .size = static_cast<uint64_t>(info.st_size)});
  }
  if (!segments_.empty()) {
    last_sequence_ = segments_.back().first - 1;
    RETURN_IF_ERROR(Recover(segments_.back()));
  }
  const std::string boot = BootId();
  const auto opened = base::ReadFile(open_file, kSmallFileBytes);
  if (opened.ok() && *opened != boot) {
    last_sequence_ += kLostWithTheHost;
    active_.Reset();
  }
  if (!active_.valid()) RETURN_IF_ERROR(StartSegment(last_sequence_ + 1));
  RETURN_IF_ERROR(base::WriteFileAtomically(open_file, boot, 0600));
  // Nobody waits for this: until it is done a host that dies loses at most the first moments.
  sync_ = std::thread([open_file, directory = directory_] {
    if (const auto file = base::Open(open_file, O_RDONLY); file.ok()) (void)::fsync(file->get());
    (void)base::SyncDirectory(directory);
  });
  return absl::OkStatus();
}

// Finds the end of what was written whole, and goes on from there.
absl::Status EventLog::Recover(Segment& segment) {
  ASSIGN_OR_RETURN(active_, base::Open(PathOf(segment.first), O_RDWR | O_APPEND));
  ASSIGN_OR_RETURN(const std::string bytes, base::ReadAll(active_.get(), "event log",
                                                          2 * limits_.segment_bytes + kReadBytes));
  std::string_view rest = bytes;
  while (rest.size() >= kHeaderBytes) {
    const size_t size = GetNumber(rest);
    if (size > rest.size() - kHeaderBytes) break;
    const std::string_view body = rest.substr(kHeaderBytes, size);
    const auto record = Decode(body);
    if (!record || GetNumber(rest.substr(4)) != Checksum(body)) break;
    last_sequence_ = record->sequence;
    rest.remove_prefix(kHeaderBytes + size);
  }
  segment.size = bytes.size() - rest.size();
  if (rest.empty()) return absl::OkStatus();
  base::LogWarn("end of the event log was torn", {{"bytes", rest.size()}});
  if (::ftruncate(active_.get(), static_cast<off_t>(segment.size)) != 0) {
    return base::ErrnoStatus("ftruncate", PathOf(segment.first));
  }
  return absl::OkStatus();
}

absl::Status EventLog::StartSegment(uint64_t first) {
  ASSIGN_OR_RETURN(base::UniqueFd file,
                   base::Open(PathOf(first), O_RDWR | O_APPEND | O_CREAT | O_EXCL, 0600));
  active_ = std::move(file);
  segments_.push_back({.first = first, .size = 0});
  DropOldest();
  return absl::OkStatus();
}

uint64_t EventLog::EventsPerSegment() const {
  return std::max<uint64_t>(1, limits_.events * limits_.segment_bytes / limits_.bytes);
}

void EventLog::DropOldest() {
  // A segment holds at most so many, and its numbers may have gaps.
  const auto events_of = [&](size_t i) {
    return std::min(segments_[i + 1].first - segments_[i].first, EventsPerSegment());
  };
  uint64_t bytes = 0, events = 0;
  for (const Segment& segment : segments_) bytes += segment.size;
  for (size_t i = 0; i + 1 < segments_.size(); ++i) events += events_of(i);
  while (segments_.size() > 1) {
    // Room for a whole segment more: the last one will fill up.
    const bool too_many = events + EventsPerSegment() > limits_.events;
    const bool too_large = bytes + limits_.segment_bytes > limits_.bytes;
    if (!too_many && !too_large) return;
    (void)::unlink(PathOf(segments_.front().first).c_str());  // Tried again at the next start.
    bytes -= segments_.front().size;
    events -= events_of(0);
    segments_.pop_front();
  }
}

EventLog::~EventLog() {
  if (sync_.joinable()) sync_.join();
  const std::scoped_lock lock(mutex_);
  if (active_.valid() && ::fdatasync(active_.get()) == 0) {
    (void)::unlink((directory_ + "/open").c_str());
  }
}

uint64_t EventLog::last_sequence() const {
  const std::scoped_lock lock(mutex_);
  return last_sequence_;
}

uint64_t EventLog::oldest_sequence() const {
  const std::scoped_lock lock(mutex_);
  return segments_.front().first;
}

absl::Status EventLog::Append(const Record& record) {
  const std::string bytes = Encode(record);
  const std::scoped_lock lock(mutex_);
  last_sequence_ = record.sequence;
  if (bytes.size() > limits_.segment_bytes) {
    return base::MakeError(absl::StatusCode::kResourceExhausted,
                           fmt::format("event of {} bytes is too large for the log", bytes.size()));
  }
  const Segment& current = segments_.back();
  if (current.size + bytes.size() > limits_.segment_bytes ||
      record.sequence - current.first >= EventsPerSegment()) {
    RETURN_IF_ERROR(StartSegment(record.sequence));
  }
  Segment& segment = segments_.back();
  const ssize_t written = ::write(active_.get(), bytes.data(), bytes.size());
  if (written == static_cast<ssize_t>(bytes.size())) {
    segment.size += bytes.size();
    return absl::OkStatus();
  }
  const absl::Status status =
      base::ErrnoStatus(written < 0 ? errno : ENOSPC, "write", PathOf(segment.first));
  if (::ftruncate(active_.get(), static_cast<off_t>(segment.size)) != 0) {
    // What is half written would hide what follows it.
    RETURN_IF_ERROR(StartSegment(record.sequence + 1));
  }
  return status;
}

std::unique_ptr<EventLog::Reader> EventLog::ReadAfter(uint64_t after) const {
  return std::unique_ptr<Reader>(new Reader(*this, after));
}

bool EventLog::Locate(uint64_t segment, uint64_t position, Segment& found) const {
  const std::scoped_lock lock(mutex_);
  for (auto it = segments_.rbegin(); it != segments_.rend(); ++it) {
    if (it->first <= segment) break;  // Those were read.
    found = *it;
    if (it->first <= position + 1) break;
  }
  return found.first != 0;
}

absl::Status EventLog::Reader::OpenSegment() {
  Segment next;
  while (log_.Locate(segment_, position_, next)) {
    auto file = base::Open(log_.PathOf(next.first), O_RDONLY);
    if (absl::IsNotFound(file.status())) continue;  // Dropped just now: there is a later one.
    RETURN_IF_ERROR(file.status());
    file_ = *std::move(file);
    segment_ = next.first;
    end_ = next.size;
    offset_ = 0;
    buffer_.clear();
    break;
  }
  return absl::OkStatus();
}

// False: the segment has no `wanted` bytes more, so far.
absl::StatusOr<bool> EventLog::Reader::Fill(size_t wanted) {
  while (buffer_.size() < wanted) {
    if (offset_ >= end_) {
      const std::scoped_lock lock(log_.mutex_);
      const auto it = std::find_if(log_.segments_.begin(), log_.segments_.end(),
                                   [&](const Segment& s) { return s.first == segment_; });
      struct stat info = {};
      if (it == log_.segments_.end()) (void)::fstat(file_.get(), &info);  // Dropped: it is final.
      const uint64_t size =
          it == log_.segments_.end() ? static_cast<uint64_t>(info.st_size) : it->size;
      if (size <= end_) return false;
      end_ = size;
    }
    const size_t size = std::min<uint64_t>(std::max(wanted, kReadBytes), end_ - offset_);
    const size_t had = buffer_.size();
    buffer_.resize(had + size);
    const ssize_t count =
        ::pread(file_.get(), buffer_.data() + had, size, static_cast<off_t>(offset_));
    if (count < 0) return base::ErrnoStatus("read", log_.PathOf(segment_));
    buffer_.resize(had + static_cast<size_t>(count));
    offset_ += static_cast<uint64_t>(count);
    if (count == 0) return false;  // Shorter than it was: damaged.
  }
  return true;
}

absl::StatusOr<EventLog::Item> EventLog::Reader::Next() {
  if (waiting_ != nullptr) {
    position_ = waiting_->sequence;
    return Item(std::exchange(waiting_, nullptr));
  }
  while (true) {
    bool more = file_.valid();
    if (more) {
      ASSIGN_OR_RETURN(more, Fill(kHeaderBytes));
    }
    if (!more) {
      Segment later;
      if (!log_.Locate(segment_, position_, later)) return Item(End{});
      // Now that there is a later one, this one gets no more: perhaps it did just before.
      if (file_.valid()) {
        ASSIGN_OR_RETURN(more, Fill(kHeaderBytes));
      }
      if (!more) {
        RETURN_IF_ERROR(OpenSegment());
        continue;
      }
    }
    const size_t size = GetNumber(buffer_);
    more = size <= log_.limits_.segment_bytes;
    if (more) {
      ASSIGN_OR_RETURN(more, Fill(kHeaderBytes + size));
    }
    const std::string_view body = std::string_view(buffer_).substr(kHeaderBytes, more ? size : 0);
    auto record = Decode(body);
    if (!more || !record || GetNumber(std::string_view(buffer_).substr(4)) != Checksum(body)) {
      base::LogWarn("part of the event log is damaged, skipping it", {{"segment", segment_}});
      buffer_.clear();
      offset_ = end_;
      continue;
    }
    buffer_.erase(0, kHeaderBytes + size);
    if (record->sequence <= position_) continue;
    auto shared = std::make_shared<const Record>(*std::move(record));
    const uint64_t missing = shared->sequence - position_ - 1;
    position_ = shared->sequence;
    if (missing == 0) return Item(std::move(shared));
    position_ = shared->sequence - 1;
    waiting_ = std::move(shared);
    return Item(Gap{missing});
  }
}

}  // namespace ctrd::events
