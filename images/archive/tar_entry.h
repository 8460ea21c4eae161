// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ctime>
#include <map>
#include <string>

namespace ctrd::archive {

// The type flags of tar. What is not named here is kept as the byte it is.
enum class TarType : char {
  kRegular = '0',
  kHardLink = '1',
  kSymbolicLink = '2',
  kCharacterDevice = '3',
  kBlockDevice = '4',
  kDirectory = '5',
  kFifo = '6',
  kPaxEntry = 'x',
  kPaxGlobal = 'g',
  kGnuLongName = 'L',
  kGnuLongLink = 'K',
};

// One entry of a tar archive. Names are as the archive has them: neither cleaned nor checked.
struct TarEntry {
  std::string name;
  std::string link;  // The target of a link.
  TarType type = TarType::kRegular;
  uint32_t mode = 0;  // Permission bits with setuid, setgid and sticky.
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t size_bytes = 0;  // Of the data that follow; 0 for what has none.
  timespec mtime = {};
  timespec atime = {};  // 0 when not told.
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::map<std::string, std::string> xattrs;
};

}  // namespace ctrd::archive
