// SPDX-License-Identifier: Apache-2.0

// Small working stand-ins for the stores of a transfer, in memory, for tests.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "images/content/content_store.h"
#include "images/diff/differ.h"
#include "images/image_store.h"
#include "images/lease.h"

namespace ctrd::transfer {

class FakeImageStore : public images::ImageStore {
 public:
  absl::StatusOr<images::Image> Get(const base::Context&, std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const auto it = images_.find(name);
    if (it == images_.end()) return base::NotFound("image \"{}\"", name);
    return it->second;
  }
  absl::StatusOr<std::vector<images::Image>> List(const base::Context&,
                                                  const base::Filter&) override {
    const std::lock_guard lock(mutex_);
    std::vector<images::Image> out;
    for (const auto& [name, image] : images_) out.push_back(image);
    return out;
  }
  absl::StatusOr<images::Image> Create(const base::Context&, const images::Image& image,
                                       std::optional<absl::Time>) override {
    const std::lock_guard lock(mutex_);
    if (!images_.emplace(image.name, image).second) {
      return base::AlreadyExists("image \"{}\"", image.name);
    }
    return image;
  }
  absl::StatusOr<images::Image> Update(const base::Context&, const images::Image& image,
                                       const std::vector<std::string>&,
                                       std::optional<absl::Time>) override {
    const std::lock_guard lock(mutex_);
    const auto it = images_.find(image.name);
    if (it == images_.end()) return base::NotFound("image \"{}\"", image.name);
    it->second = image;
    return image;
  }
  absl::Status Delete(const base::Context&, std::string_view name,
                      const std::optional<images::Descriptor>&) override {
    const std::lock_guard lock(mutex_);
    const auto it = images_.find(name);
    if (it == images_.end()) return base::NotFound("image \"{}\"", name);
    images_.erase(it);
    return absl::OkStatus();
  }

 private:
  std::mutex mutex_;
  std::map<std::string, images::Image, std::less<>> images_;
};

class FakeLeaseManager : public images::LeaseManager {
 public:
  absl::StatusOr<images::Lease> Create(const base::Context&, const images::Lease& lease) override {
    const std::lock_guard lock(mutex_);
    images::Lease out = lease;
    out.id = "lease-" + std::to_string(++made_);
    held_.insert(out.id);
    return out;
  }
  absl::StatusOr<std::vector<images::Lease>> List(const base::Context&,
                                                  const base::Filter&) override {
    return std::vector<images::Lease>{};
  }
  absl::Status Delete(const base::Context&, std::string_view id) override {
    const std::lock_guard lock(mutex_);
    return held_.erase(std::string(id)) == 1 ? absl::OkStatus()
                                             : base::NotFound("lease \"{}\"", id);
  }
  absl::Status AddResource(const base::Context&, std::string_view,
                           const images::LeaseResource&) override {
    return absl::OkStatus();
  }
  absl::Status DeleteResource(const base::Context&, std::string_view,
                              const images::LeaseResource&) override {
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<images::LeaseResource>> ListResources(const base::Context&,
                                                                   std::string_view) override {
    return std::vector<images::LeaseResource>{};
  }
  int made() const { return made_; }
  size_t held() const { return held_.size(); }

 private:
  std::mutex mutex_;
  std::set<std::string> held_;
  int made_ = 0;
};

// Reads layers that are not compressed and applies them nowhere.
class FakeDiffer : public diff::Differ {
 public:
  explicit FakeDiffer(content::ContentStore& store) : store_(store) {}
  absl::StatusOr<images::Descriptor> Apply(const base::Context& context,
                                           const images::Descriptor& layer, const base::Mounts&,
                                           const diff::ApplyOptions& options) override {
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(layer.digest));
    ASSIGN_OR_RETURN(const std::string data,
                     content::ReadBlob(context, store_, digest, int64_t{1} << 30));
    if (options.progress) options.progress(layer.size_bytes);
    images::Descriptor out;
    out.digest = base::Digest::Of(data).text();
    out.size_bytes = layer.size_bytes;
    ++applied_;
    return out;
  }
  absl::StatusOr<images::Descriptor> Compare(const base::Context&, const base::Mounts&,
                                             const base::Mounts&,
                                             const diff::CompareOptions&) override {
    return base::Unimplemented("compare");
  }
  int applied() const { return applied_; }

 private:
  content::ContentStore& store_;
  std::atomic<int> applied_ = 0;
};

}  // namespace ctrd::transfer
