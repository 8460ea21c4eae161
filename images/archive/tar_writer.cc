// SPDX-License-Identifier: Apache-2.0
#include "images/archive/tar_writer.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/status.h"
#include "images/archive/tar_header.h"
#include "images/archive/tree_root.h"

namespace ctrd::archive {
namespace {

constexpr size_t kNameBytes = 100;
constexpr int64_t kLargestId = 07777777;
constexpr int64_t kLargestNumber = 077777777777;

bool IsPlain(std::string_view text) {
  return text.size() <= kNameBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0; });
}

std::string ToAscii(std::string_view text) {
  std::string ascii;
  std::copy_if(text.begin(), text.end(), std::back_inserter(ascii), [](char c) { return c > 0; });
  return ascii;
}

// One block of 512 bytes, filled field by field.
class Block {
 public:
  void Text(size_t offset, size_t width, std::string_view text) {
    text.copy(bytes_.data() + offset, width);
    // Readers of the old format would take a file for a directory if the cut fell behind a slash.
    if (text.size() <= width) return;
    size_t last = offset + width;
    if (bytes_[last - 1] != '/') return;
    while (last > offset && bytes_[last - 1] == '/') bytes_[--last] = '\0';
  }
  // Octal with leading zeros and a final NUL.
  void Number(size_t offset, size_t width, int64_t value) {
    Text(offset, width, fmt::format("{:0{}o}", value, width - 1));
  }
  std::string_view Seal() {
    Text(257, 8,
         std::string_view("ustar\0"
                          "00",
                          8));
    std::memset(bytes_.data() + 148, ' ', 8);
    int64_t sum = 0;
    for (const char c : bytes_) sum += static_cast<uint8_t>(c);
    Text(148, 6, fmt::format("{:06o}", sum));
    bytes_[154] = '\0';
    return bytes_;
  }
  void Type(TarType type) { bytes_[156] = static_cast<char>(type); }

 private:
  std::string bytes_ = std::string(kTarBlockBytes, '\0');
};

// "<length> <key>=<value>\n", where the length counts itself.
std::string PaxRecord(const std::string& key, const std::string& value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (length != rest + std::to_string(length).size()) {
    length = rest + std::to_string(length).size();
  }
  return fmt::format("{} {}={}\n", length, key, value);
}

std::string PaxRecordsFor(const TarEntry& entry) {
  std::map<std::string, std::string> records;
  if (!IsPlain(entry.name)) records["path"] = entry.name;
  if (!IsPlain(entry.link)) records["linkpath"] = entry.link;
  if (entry.uid > kLargestId) records["uid"] = std::to_string(entry.uid);
  if (entry.gid > kLargestId) records["gid"] = std::to_string(entry.gid);
  if (entry.size_bytes > kLargestNumber) records["size"] = std::to_string(entry.size_bytes);
  const bool far = entry.mtime.tv_sec < 0 || entry.mtime.tv_sec > kLargestNumber;
  if (far || entry.mtime.tv_nsec != 0) {
    records["mtime"] = entry.mtime.tv_nsec == 0
                           ? std::to_string(entry.mtime.tv_sec)
                           : fmt::format("{}.{:09}", entry.mtime.tv_sec, entry.mtime.tv_nsec);
  }
  for (const auto& [key, value] : entry.xattrs) records["SCHILY.xattr." + key] = value;
  std::string text;
  for (const auto& [key, value] : records) text += PaxRecord(key, value);
  return text;
}

// 0 for what the field cannot hold: then the PAX record has it.
int64_t Fitting(int64_t value, int64_t largest) { return value < 0 || value > largest ? 0 : value; }

int64_t PaddingFor(int64_t size_bytes) {
  constexpr auto kBlock = static_cast<int64_t>(kTarBlockBytes);
  return (kBlock - size_bytes % kBlock) % kBlock;
}

}  // namespace

absl::Status TarWriter::EndEntry() {
  if (data_left_ > 0) return base::Unknown("archive/tar: missed writing {} bytes", data_left_);
  if (padding_ > 0) RETURN_IF_ERROR(sink_.Write(std::string(static_cast<size_t>(padding_), '\0')));
  padding_ = 0;
  return absl::OkStatus();
}

absl::Status TarWriter::WritePaxHeader(const TarEntry& entry, const std::string& records) {
  const size_t slash = entry.name.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : entry.name.substr(0, slash);
  const std::string file = slash == std::string::npos ? entry.name : entry.name.substr(slash + 1);
  std::string name = ToAscii(CleanName(directory + "/PaxHeaders.0/" + file));
  name.resize(std::min(name.size(), kNameBytes));
  while (name.ends_with('/')) name.pop_back();
  Block block;
  block.Text(0, kNameBytes, name);
  for (const size_t offset : {100, 108, 116}) block.Number(offset, 8, 0);
  block.Number(124, 12, static_cast<int64_t>(records.size()));
  block.Number(136, 12, 0);
  block.Type(TarType::kPaxEntry);
  RETURN_IF_ERROR(sink_.Write(block.Seal()));
  const auto padding = static_cast<size_t>(PaddingFor(static_cast<int64_t>(records.size())));
  return sink_.Write(records + std::string(padding, '\0'));
}

absl::Status TarWriter::WriteHeader(const TarEntry& entry) {
  RETURN_IF_ERROR(EndEntry());
  const std::string records = PaxRecordsFor(entry);
  if (!records.empty()) RETURN_IF_ERROR(WritePaxHeader(entry, records));
  Block block;
  block.Text(0, kNameBytes, ToAscii(entry.name));
  block.Number(100, 8, entry.mode);
  block.Number(108, 8, Fitting(entry.uid, kLargestId));
  block.Number(116, 8, Fitting(entry.gid, kLargestId));
  block.Number(124, 12, Fitting(entry.size_bytes, kLargestNumber));
  block.Number(136, 12, Fitting(entry.mtime.tv_sec, kLargestNumber));
  block.Type(entry.type);
  block.Text(157, kNameBytes, ToAscii(entry.link));
  block.Number(329, 8, Fitting(entry.device_major, kLargestId));
  block.Number(337, 8, Fitting(entry.device_minor, kLargestId));
  RETURN_IF_ERROR(sink_.Write(block.Seal()));
  data_left_ = entry.size_bytes;
  padding_ = PaddingFor(entry.size_bytes);
  return absl::OkStatus();
}

absl::Status TarWriter::WriteData(std::string_view data) {
  if (static_cast<int64_t>(data.size()) > data_left_) {
    return base::Unknown("archive/tar: write too long");
  }
  data_left_ -= static_cast<int64_t>(data.size());
  return sink_.Write(data);
}

absl::Status TarWriter::Finish() {
  RETURN_IF_ERROR(EndEntry());
  return sink_.Write(std::string(2 * kTarBlockBytes, '\0'));
}

}  // namespace ctrd::archive
