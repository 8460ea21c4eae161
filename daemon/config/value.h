// SPDX-License-Identifier: Apache-2.0

// Values of configuration keys, and what a part of the daemon says of the keys it reads.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ctrd::config {

struct Value;
using Table = std::map<std::string, Value>;

// What TOML can hold, as far as this daemon's keys need it.
struct Value : std::variant<bool, int64_t, double, std::string, std::vector<std::string>, Table,
                            std::vector<Table>> {
  using variant::variant;
};

// One key of a section: its name and its default, whose type is the type the key must have. An
// integer is taken for a floating-point key; nothing else is converted.
struct Key {
  std::string name;
  Value default_value;
};
using Schema = std::vector<Key>;

// The values of a section, checked against its schema: every key of the schema has a value of the
// right type, so the getters cannot fail. Asking for a key that is not in the schema aborts.
class Section {
 public:
  Section() = default;
  explicit Section(Table values) : values_(std::move(values)) {}

  bool Bool(std::string_view key) const { return Get<bool>(key); }
  int64_t Integer(std::string_view key) const { return Get<int64_t>(key); }
  double Number(std::string_view key) const { return Get<double>(key); }
  const std::string& String(std::string_view key) const { return Get<std::string>(key); }
  const std::vector<std::string>& Strings(std::string_view key) const {
    return Get<std::vector<std::string>>(key);
  }
  const std::vector<Table>& Tables(std::string_view key) const {
    return Get<std::vector<Table>>(key);
  }
  const Table& values() const { return values_; }

 private:
  template <typename T>
  const T& Get(std::string_view key) const {
    return std::get<T>(values_.at(std::string(key)));
  }
  Table values_;
};

}  // namespace ctrd::config
