// SPDX-License-Identifier: Apache-2.0

// Blobs from a registry into the content store.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "images/transfer/concurrency.h"
#include "images/transfer/progress.h"
#include "images/transfer/transfer.h"

namespace ctrd::transfer {

// Waits while another writer has `ref`, as long as the context lets it.
//   kAlreadyExists  the blob is there, and the context's lease keeps it
absl::StatusOr<std::unique_ptr<content::Writer>> OpenWriterPatiently(
    const base::Context& context, content::ContentStore& store,
    const content::WriterOptions& options);

// Sets those of `labels` that the blob has not or has otherwise.
absl::Status MergeLabels(const base::Context& context, content::ContentStore& store,
                         const base::Digest& digest, const base::Labels& labels);

// Sees the bytes of a blob as they come from the network, all of them from the first on.
using Tap = std::function<void(std::string_view data)>;

// The fetches of one pull. Thread-safe.
class Fetcher {
 public:
  Fetcher(content::ContentStore& store, registry::Registry& registry, Limiter& downloads,
          KeyedLocks& locks)
      : store_(store), registry_(registry), downloads_(downloads), locks_(locks) {}

  // Makes sure the blob is in the store, whole and verified, under the context's lease. What an
  // earlier attempt left is taken up. Gives up soon after Abandon. True: `tap`, if there is one,
  // has seen the whole blob.
  absl::StatusOr<bool> Fetch(const base::Context& context, const Descriptor& descriptor,
                             ProgressTracker::Item& item, const Tap& tap = nullptr);
  // The same for a document, and returns its text. `labels_of` makes the labels it gets.
  absl::StatusOr<std::string> FetchDocument(
      const base::Context& context, const Descriptor& descriptor, ProgressTracker::Item& item,
      const std::function<absl::StatusOr<base::Labels>(std::string_view text)>& labels_of);
  // Lets all fetches fail: something else has.
  void Abandon() { abandoned_.store(true); }

 private:
  absl::StatusOr<base::Labels> SourceLabels(const base::Context& context,
                                            const base::Digest& digest);
  absl::StatusOr<bool> Copy(const base::Context& context, const Descriptor& descriptor,
                            content::Writer& writer, ProgressTracker::Item& item, const Tap& tap);
  absl::StatusOr<std::string> Read(const base::Context& context, const Descriptor& descriptor,
                                   ProgressTracker::Item& item);
  absl::Status Check(const base::Context& context) const;

  content::ContentStore& store_;
  registry::Registry& registry_;
  Limiter& downloads_;
  KeyedLocks& locks_;
  std::atomic<bool> abandoned_ = false;
};

}  // namespace ctrd::transfer
