// SPDX-License-Identifier: Apache-2.0
#include "images/diff/layer_target.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/status.h"

namespace ctrd::diff {
namespace {

// The value of an option "<key>=<value>", "" if there is none.
std::string OptionValue(const base::Mount& mount, std::string_view key) {
  for (const std::string& option : mount.options) {
    if (option.starts_with(key) && option.size() > key.size() && option[key.size()] == '=') {
      return option.substr(key.size() + 1);
    }
  }
  return "";
}

bool HasOption(const base::Mount& mount, std::string_view option) {
  return std::find(mount.options.begin(), mount.options.end(), option) != mount.options.end();
}

// Parts of a lowerdir option, in which a backslash keeps a colon from separating.
std::vector<std::string> SplitLowers(std::string_view text) {
  std::vector<std::string> lowers;
  std::string current;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      current += text[++i];
    } else if (text[i] != ':') {
      current += text[i];
    } else if (!current.empty()) {
      lowers.push_back(std::exchange(current, {}));
    }
  }
  if (!current.empty()) lowers.push_back(std::move(current));
  return lowers;
}

bool IsWritableBind(const base::Mount& mount) {
  const bool bind = mount.type == "bind" || HasOption(mount, "bind") || HasOption(mount, "rbind");
  const bool mapped = !OptionValue(mount, "uidmap").empty();
  return bind && !mapped && mount.target.empty() && !HasOption(mount, "ro");
}

}  // namespace

absl::StatusOr<LayerTarget> LayerTarget::Open(const base::Mounts& mounts,
                                              const std::string& tmp_root) {
  LayerTarget target;
  target.options_.in_user_namespace = archive::InUserNamespace();
  std::string path;
  if (mounts.size() == 1 && mounts[0].type == "overlay" && !target.options_.in_user_namespace) {
    path = OptionValue(mounts[0], "upperdir");
    if (!path.empty()) {
      target.options_.whiteouts = archive::WhiteoutMode::kOverlay;
      target.options_.lower_directories = SplitLowers(OptionValue(mounts[0], "lowerdir"));
    }
  } else if (mounts.size() == 1 && IsWritableBind(mounts[0])) {
    path = mounts[0].source;
  }
  if (path.empty()) {
    ASSIGN_OR_RETURN(base::TempMount mount,
                     base::TempMount::Create(tmp_root, base::ForTemporaryUse(mounts)));
    target.mount_.emplace(std::move(mount));
    path = target.mount_->path();
  }
  ASSIGN_OR_RETURN(target.root_, base::Open(path, O_RDONLY | O_DIRECTORY));
  return target;
}

absl::Status LayerTarget::Sync() const {
  if (mount_.has_value()) return absl::OkStatus();
  return ::syncfs(root_.get()) == 0 ? absl::OkStatus() : base::ErrnoStatus("syncfs", "layer");
}

absl::Status LayerTarget::Close() {
  root_.Reset();
  return mount_.has_value() ? mount_->Close() : absl::OkStatus();
}

}  // namespace ctrd::diff
