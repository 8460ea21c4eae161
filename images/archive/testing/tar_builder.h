// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "images/archive/tar_writer.h"

namespace ctrd::archive {

class StringSink : public ByteSink {
 public:
  absl::Status Write(std::string_view data) override {
    text.append(data);
    return absl::OkStatus();
  }
  std::string text;
};

// Builds archives for tests, as hostile as the test wants them:
//   const std::string tar = TarBuilder().Directory("a", 0755).File("a/b", "data").Build();
class TarBuilder {
 public:
  TarBuilder& Add(TarEntry entry, std::string_view data = "") {
    if (entry.mtime.tv_sec == 0) entry.mtime.tv_sec = 1'000'000'000;
    if (entry.type == TarType::kRegular) entry.size_bytes = static_cast<int64_t>(data.size());
    (void)writer_.WriteHeader(entry);  // The sink is a string: nothing can fail.
    (void)writer_.WriteData(data);
    return *this;
  }
  TarBuilder& File(std::string name, std::string_view data, uint32_t mode = 0644) {
    return Add({.name = std::move(name), .mode = mode}, data);
  }
  TarBuilder& Directory(std::string name, uint32_t mode = 0755) {
    return Add({.name = std::move(name), .type = TarType::kDirectory, .mode = mode});
  }
  TarBuilder& Symlink(std::string target, std::string name) {
    return Add({.name = std::move(name),
                .link = std::move(target),
                .type = TarType::kSymbolicLink,
                .mode = 0777});
  }
  TarBuilder& Link(std::string target, std::string name, uint32_t mode = 0644) {
    return Add({.name = std::move(name),
                .link = std::move(target),
                .type = TarType::kHardLink,
                .mode = mode});
  }
  std::string Build() {
    (void)writer_.Finish();
    return std::move(sink_.text);
  }
  // Without the end marker.
  std::string BuildOpen() { return std::move(sink_.text); }

 private:
  StringSink sink_;
  TarWriter writer_{sink_};
};

}  // namespace ctrd::archive
