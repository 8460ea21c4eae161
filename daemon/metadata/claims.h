// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "absl/synchronization/mutex.h"

namespace ctrd::metadata {

// Claims keep calls that make something in a back end apart from the clean-up that removes what no
// record names, one name at a time and without a lock held over back-end work:
//
//   a call      holds a claim on the name from before it touches the back end until its record is
//               committed; it waits while the name is being removed.
//   clean-up    removes only names it could begin to remove (nobody claims them) and that then have
//               no record.
//
// Thread-safe.
class Claims {
 public:
  class [[nodiscard]] Claim {
   public:
    Claim() = default;
    Claim(Claim&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), name_(std::move(other.name_)) {}
    Claim& operator=(Claim&& other) noexcept {
      Release();
      owner_ = std::exchange(other.owner_, nullptr);
      name_ = std::move(other.name_);
      return *this;
    }
    ~Claim() { Release(); }
    void Release();

   private:
    friend class Claims;
    Claim(Claims* owner, std::string name) : owner_(owner), name_(std::move(name)) {}
    Claims* owner_ = nullptr;
    std::string name_;
  };

  // Waits until nobody removes `name`. Any number of calls may claim one name.
  Claim Take(std::string_view name);
  // False if the name is claimed; else EndRemoval must follow.
  bool BeginRemoval(std::string_view name);
  void EndRemoval(std::string_view name);

  // Says that the back end may hold something without a record; at first it does, after a crash.
  void MarkDirty();
  // Whether anybody has said so since the last call, or is about to. Who takes it cleans up.
  bool TakeDirty();

  // A change that takes a record away: it lives from before the change is tried until after its
  // commit. A clean-up in between finds the record still there, and must not be the last one.
  class [[nodiscard]] Removal {
   public:
    explicit Removal(Claims& owner);
    Removal(const Removal&) = delete;
    Removal& operator=(const Removal&) = delete;
    ~Removal();

   private:
    Claims& owner_;
  };

 private:
  absl::Mutex mutex_;
  bool dirty_ ABSL_GUARDED_BY(mutex_) = true;
  int removals_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::CondVar removed_;
  std::map<std::string, int, std::less<>> claimed_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string, std::less<>> removing_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctrd::metadata
