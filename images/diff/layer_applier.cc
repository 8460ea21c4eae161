// SPDX-License-Identifier: Apache-2.0
#include "images/diff/layer_applier.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "images/diff/apply_stream.h"

namespace ctrd::diff {
namespace {

constexpr size_t kPipeBytes = 4 << 20;
// How often a waiting side looks whether its caller is still there.
constexpr absl::Duration kGlance = absl::Seconds(1);

}  // namespace

// A ring of bytes between the writer and the thread that applies.
class LayerApplier::Pipe : public archive::ByteSource {
 public:
  explicit Pipe(const base::Context& context) : context_(context), ring_(kPipeBytes) {}

  absl::Status Write(std::string_view data) {
    while (!data.empty()) {
      absl::MutexLock lock(&mutex_);
      while (used_ == ring_.size() && reader_status_.ok() && !reader_left_) {
        changed_.WaitWithTimeout(&mutex_, kGlance);
        RETURN_IF_ERROR(context_.Check());
      }
      RETURN_IF_ERROR(reader_status_);
      if (reader_left_) return absl::OkStatus();  // It has all it wants.
      const size_t at = (begin_ + used_) % ring_.size();
      const size_t count = std::min({data.size(), ring_.size() - used_, ring_.size() - at});
      std::memcpy(ring_.data() + at, data.data(), count);
      used_ += count;
      data.remove_prefix(count);
      changed_.SignalAll();
    }
    return absl::OkStatus();
  }

  void CloseWriter(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    writer_left_ = true;
    writer_status_ = std::move(status);
    changed_.SignalAll();
  }

  void CloseReader(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    reader_left_ = true;
    reader_status_ = std::move(status);
    changed_.SignalAll();
  }

  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    absl::MutexLock lock(&mutex_);
    while (used_ == 0 && !writer_left_) {
      changed_.WaitWithTimeout(&mutex_, kGlance);
      RETURN_IF_ERROR(context_.Check());
    }
    RETURN_IF_ERROR(writer_status_);
    const size_t count = std::min({buffer.size(), used_, ring_.size() - begin_});
    std::memcpy(buffer.data(), ring_.data() + begin_, count);
    begin_ = (begin_ + count) % ring_.size();
    used_ -= count;
    changed_.SignalAll();
    return count;
  }

 private:
  const base::Context context_;
  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::vector<char> ring_ ABSL_GUARDED_BY(mutex_);
  size_t begin_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writer_left_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status writer_status_ ABSL_GUARDED_BY(mutex_);
  bool reader_left_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status reader_status_ ABSL_GUARDED_BY(mutex_);
};

LayerApplier::LayerApplier() : result_(absl::UnknownError("not finished")) {}

absl::StatusOr<std::unique_ptr<LayerApplier>> LayerApplier::Start(const base::Context& context,
                                                                  const WalkingOptions& walking,
                                                                  const std::string& media_type,
                                                                  const base::Mounts& mounts,
                                                                  const ApplyOptions& options) {
  std::unique_ptr<LayerApplier> applier(new LayerApplier());
  applier->pipe_ = std::make_unique<Pipe>(context);
  applier->thread_ = std::thread(
      [=, self = applier.get()] { self->Run(context, walking, media_type, mounts, options); });
  return applier;
}

void LayerApplier::Run(const base::Context& context, const WalkingOptions& walking,
                       const std::string& media_type, const base::Mounts& mounts,
                       const ApplyOptions& options) {
  result_ = ApplyStream(context, *pipe_, media_type, mounts, walking, options);
  pipe_->CloseReader(result_.status());
}

LayerApplier::~LayerApplier() {
  if (!thread_.joinable()) return;
  pipe_->CloseWriter(base::MakeError(absl::StatusCode::kCancelled, ""));
  thread_.join();
}

absl::Status LayerApplier::Write(std::string_view data) { return pipe_->Write(data); }

absl::StatusOr<images::Descriptor> LayerApplier::Finish() {
  if (!thread_.joinable()) return base::FailedPrecondition("layer is already finished");
  pipe_->CloseWriter(absl::OkStatus());
  thread_.join();
  return result_;
}

}  // namespace ctrd::diff
