// SPDX-License-Identifier: Apache-2.0
#include "images/archive/tar_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "images/archive/tar_header.h"

namespace ctrd::archive {
namespace {

// Small enough to stay in the cache between inflating, hashing and writing.
constexpr size_t kBufferBytes = 256 << 10;
constexpr int64_t kExtensionLimitBytes = 1 << 20;
constexpr std::string_view kXattrPrefix = "SCHILY.xattr.";

absl::Status UnexpectedEnd() { return base::Unknown("unexpected EOF"); }

bool HasNoData(TarType type) {
  switch (type) {
    case TarType::kHardLink:
    case TarType::kSymbolicLink:
    case TarType::kCharacterDevice:
    case TarType::kBlockDevice:
    case TarType::kDirectory:
    case TarType::kFifo:
      return true;
    default:
      return false;
  }
}

int64_t PaddingFor(int64_t size_bytes) {
  const int64_t over = size_bytes % static_cast<int64_t>(kTarBlockBytes);
  return over == 0 ? 0 : static_cast<int64_t>(kTarBlockBytes) - over;
}

}  // namespace

// What the extension headers before an entry say of it.
struct TarReader::Extensions {
  PaxRecords records;
  std::string long_name;
  std::string long_link;
};

TarReader::TarReader(ByteSource& source) : source_(source), buffer_(kBufferBytes) {}

absl::Status TarReader::Fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  ASSIGN_OR_RETURN(const size_t count, source_.Read(std::span<char>(buffer_).subspan(end_)));
  ended_ = count == 0;
  end_ += count;
  return absl::OkStatus();
}

// False at a clean end of the stream.
absl::StatusOr<bool> TarReader::ReadBlock(std::string_view& block) {
  while (end_ - begin_ < kTarBlockBytes && !ended_) RETURN_IF_ERROR(Fill());
  if (begin_ == end_) return false;
  if (end_ - begin_ < kTarBlockBytes) return UnexpectedEnd();
  block = {buffer_.data() + begin_, kTarBlockBytes};
  begin_ += kTarBlockBytes;
  return true;
}

absl::StatusOr<std::string_view> TarReader::ReadData() {
  if (data_left_ == 0) return std::string_view();
  if (begin_ == end_) {
    if (!ended_) RETURN_IF_ERROR(Fill());
    if (begin_ == end_) return UnexpectedEnd();
  }
  const auto count = static_cast<size_t>(std::min(data_left_, static_cast<int64_t>(end_ - begin_)));
  const std::string_view data(buffer_.data() + begin_, count);
  begin_ += count;
  data_left_ -= static_cast<int64_t>(count);
  return data;
}

absl::Status TarReader::SkipData() {
  // The padding is skipped like data; it may be missing at the very end.
  for (int64_t* left : {&data_left_, &padding_left_}) {
    while (*left > 0) {
      if (begin_ == end_ && !ended_) RETURN_IF_ERROR(Fill());
      if (begin_ == end_) return left == &data_left_ ? UnexpectedEnd() : absl::OkStatus();
      const int64_t count = std::min(*left, static_cast<int64_t>(end_ - begin_));
      begin_ += static_cast<size_t>(count);
      *left -= count;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> TarReader::ReadExtension(int64_t size_bytes) {
  if (size_bytes > kExtensionLimitBytes) return base::Unknown("archive/tar: header field too long");
  std::string data;
  data.reserve(static_cast<size_t>(size_bytes));
  while (data_left_ > 0) {
    ASSIGN_OR_RETURN(const std::string_view part, ReadData());
    data.append(part);
  }
  return data;
}

absl::Status TarReader::ApplyExtensions(const Extensions& extensions) {
  if (!extensions.long_name.empty()) entry_.name = extensions.long_name;
  if (!extensions.long_link.empty()) entry_.link = extensions.long_link;
  for (const auto& [key, value] : extensions.records) {
    if (value.empty()) continue;  // Takes back what a record before said.
    bool good = true;
    if (key == "path") {
      entry_.name = value;
    } else if (key == "linkpath") {
      entry_.link = value;
    } else if (key == "size") {
      good = absl::SimpleAtoi(value, &entry_.size_bytes) && entry_.size_bytes >= 0;
    } else if (key == "uid") {
      good = absl::SimpleAtoi(value, &entry_.uid);
    } else if (key == "gid") {
      good = absl::SimpleAtoi(value, &entry_.gid);
    } else if (key == "mtime" || key == "atime") {
      const std::optional<timespec> time = ParsePaxTime(value);
      good = time.has_value();
      (key == "mtime" ? entry_.mtime : entry_.atime) = time.value_or(timespec{});
    } else if (key.starts_with(kXattrPrefix)) {
      entry_.xattrs[key.substr(kXattrPrefix.size())] = value;
    } else if (key.starts_with("GNU.sparse.")) {
      return base::Unknown("archive/tar: sparse files are not supported");
    }
    if (!good) return InvalidTarHeader();
  }
  return absl::OkStatus();
}

// Reads one header; true when it belongs to an entry, false for an extension, which is gathered.
absl::StatusOr<bool> TarReader::NextHeader(Extensions& extensions) {
  data_left_ = entry_.size_bytes;
  padding_left_ = PaddingFor(entry_.size_bytes);
  switch (entry_.type) {
    case TarType::kPaxEntry: {
      ASSIGN_OR_RETURN(const std::string data, ReadExtension(entry_.size_bytes));
      ASSIGN_OR_RETURN(extensions.records, ParsePaxRecords(data));
      return false;
    }
    case TarType::kGnuLongName:
    case TarType::kGnuLongLink: {
      const bool name = entry_.type == TarType::kGnuLongName;
      ASSIGN_OR_RETURN(std::string text, ReadExtension(entry_.size_bytes));
      text.resize(std::min(text.find('\0'), text.size()));
      (name ? extensions.long_name : extensions.long_link) = std::move(text);
      return false;
    }
    default:
      return true;
  }
}

absl::StatusOr<const TarEntry*> TarReader::Next() {
  Extensions extensions;
  while (true) {
    RETURN_IF_ERROR(SkipData());
    std::string_view block;
    ASSIGN_OR_RETURN(bool more, ReadBlock(block));
    if (more && IsZeroBlock(block)) {
      // Two of them end an archive, or one and the end of the stream.
      ASSIGN_OR_RETURN(more, ReadBlock(block));
      if (more && !IsZeroBlock(block)) return InvalidTarHeader();
      more = false;
    }
    if (!more) return nullptr;
    RETURN_IF_ERROR(ParseTarHeader(block, entry_));
    ASSIGN_OR_RETURN(const bool is_entry, NextHeader(extensions));
    if (is_entry) break;
  }
  if (entry_.type != TarType::kPaxGlobal) RETURN_IF_ERROR(ApplyExtensions(extensions));
  if (entry_.type == TarType('\0')) {  // Regular files, and directories, of old archives.
    entry_.type = entry_.name.ends_with('/') ? TarType::kDirectory : TarType::kRegular;
  }
  if (HasNoData(entry_.type)) entry_.size_bytes = 0;
  data_left_ = entry_.size_bytes;
  padding_left_ = PaddingFor(entry_.size_bytes);
  return &entry_;
}

absl::Status TarReader::Drain() {
  while (!ended_) {
    begin_ = end_ = 0;
    RETURN_IF_ERROR(Fill());
  }
  return absl::OkStatus();
}

}  // namespace ctrd::archive
