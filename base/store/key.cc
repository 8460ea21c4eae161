// SPDX-License-Identifier: Apache-2.0
#include "base/store/store.h"

namespace ctrd::store {

std::string Key(std::initializer_list<std::string_view> parts) {
  std::string key;
  for (const std::string_view part : parts) {
    for (const char c : part) {
      if (c == '\0' || c == '\1') {
        key += '\1';
        key += static_cast<char>(c + 1);
      } else {
        key += c;
      }
    }
    key += '\0';
  }
  return key;
}

std::vector<std::string> SplitKey(std::string_view key) {
  std::vector<std::string> parts;
  std::string part;
  for (size_t i = 0; i < key.size(); ++i) {
    if (key[i] == '\0') {
      parts.push_back(std::move(part));
      part.clear();
    } else if (key[i] == '\1' && i + 1 < key.size()) {
      part += static_cast<char>(key[++i] - 1);
    } else {
      part += key[i];
    }
  }
  return parts;
}

}  // namespace ctrd::store
