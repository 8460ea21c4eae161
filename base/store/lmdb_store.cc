// SPDX-License-Identifier: Apache-2.0

// The store on LMDB. Updates queue up for one writer thread, which takes all that wait, runs each
// in a child transaction of its own, and makes them durable with one commit of the parent.
#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <deque>
#include <filesystem>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/store/lmdb_transaction.h"
#include "base/store/lock_file.h"
#include "base/store/store.h"

namespace ctrd::store {
namespace {

constexpr size_t kInitialMapBytes = size_t{64} << 20;
constexpr size_t kMaxBatch = 256;
// LMDB's table of readers, 64 bytes for each that reads at one moment, after a header.
constexpr off_t kReaderTableBytes = 4096 * 64 + 192;

struct PendingUpdate {
  const std::function<absl::Status(WriteTransaction&)>* fn;
  absl::Status result;
  bool done = false;
  absl::CondVar answered;  // Of its own: an answer wakes nobody who waits for a later commit.
};
using Batch = std::vector<PendingUpdate*>;

class LmdbStore final : public Store {
 public:
  LmdbStore(std::string path, base::UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  ~LmdbStore() override;

  absl::Status Open(const Options& options);

  absl::Status View(const std::function<absl::Status(ReadTransaction&)>& fn) override;
  absl::Status Update(const std::function<absl::Status(WriteTransaction&)>& fn) override;
  Statistics statistics() const override {
    return {.updates = updates_.load(), .syncs = syncs_.load()};
  }

 private:
  absl::Status CheckLength();
  void WriteLoop();
  Batch TakeBatch();
  void Answer(const Batch& batch);
  // Runs and commits `batch`; results are in its members.
  void RunBatch(const Batch& batch);
  int TryBatch(const Batch& batch);
  int RunInChild(LmdbTransaction& parent, PendingUpdate& update, bool& wrote);
  absl::Status Grow();
  int AfterFailedCommit(int code);

  const std::string path_;
  base::UniqueFd lock_;
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;

  // Held shared by readers, alone while the map moves. Of two locks this one comes second. glibc's
  // lets readers pass a waiting writer, so that a View inside a View cannot hang.
  std::shared_mutex map_mutex_;

  absl::Mutex mutex_;
  std::deque<PendingUpdate*> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::CondVar wake_writer_;
  std::atomic<uint64_t> updates_ = 0;
  std::atomic<uint64_t> syncs_ = 0;
  std::thread writer_;  // Last: it uses all of the above.
};

// The table of readers is written through a shared mapping, where a full disk means SIGBUS. With
// its blocks allocated beforehand the open fails instead.
absl::Status AllocateReaderTable(const std::string& path) {
  ASSIGN_OR_RETURN(base::UniqueFd fd, base::Open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  const int code = ::posix_fallocate(fd.get(), 0, kReaderTableBytes);
  if (code == ENOSPC || code == EDQUOT) return LmdbStatus(code, "allocate", path);
  if (code != 0 && code != EOPNOTSUPP && code != EINVAL) {
    return base::ErrnoStatus(code, "allocate", path);
  }
  return absl::OkStatus();
}

absl::Status LmdbStore::Open(const Options& options) {
  RETURN_IF_ERROR(AllocateReaderTable(path_ + "-lock"));
  struct stat info;
  const bool fresh = ::stat(path_.c_str(), &info) != 0;
  const size_t file_bytes = fresh ? 0 : static_cast<size_t>(info.st_size);
  int code = ::mdb_env_create(&env_);
  if (code == 0) code = ::mdb_env_set_mapsize(env_, std::max(kInitialMapBytes, 2 * file_bytes));
  // NOTLS ties a reader's slot to its transaction: a thread may have several.
  const unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | (options.sync ? 0 : MDB_NOSYNC);
  if (code == 0) code = ::mdb_env_open(env_, path_.c_str(), flags, 0600);
  if (code != 0) return LmdbStatus(code, "open store", path_);
  RETURN_IF_ERROR(CheckLength());
  MDB_txn* txn = nullptr;
  code = ::mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
  if (code == 0) {
    code = ::mdb_dbi_open(txn, nullptr, 0, &dbi_);
    ::mdb_txn_abort(txn);
  }
  if (code != 0) return LmdbStatus(code, "open store", path_);
  if (fresh) {
    const auto parent = std::filesystem::path(path_).parent_path();
    RETURN_IF_ERROR(base::SyncDirectory(parent.empty() ? "." : parent.string()));
  }
  writer_ = std::thread([this] { WriteLoop(); });
  return absl::OkStatus();
}

// Reading a page beyond the end of the file through the map would be a SIGBUS. Pages there may be
// unused, so the file is made long enough and everything in it is read once: what was cut off reads
// as zeros, which LMDB knows to be no page.
absl::Status LmdbStore::CheckLength() {
  MDB_envinfo info;
  MDB_stat stat;
  ::mdb_env_info(env_, &info);
  ::mdb_env_stat(env_, &stat);
  int fd = -1;
  ::mdb_env_get_fd(env_, &fd);
  struct stat file;
  if (::fstat(fd, &file) != 0) return base::ErrnoStatus("stat", path_);
  const off_t needed = static_cast<off_t>((info.me_last_pgno + 1) * stat.ms_psize);
  if (file.st_size >= needed) return absl::OkStatus();
  if (::ftruncate(fd, needed) != 0) return base::ErrnoStatus("extend store", path_);
  MDB_txn* txn = nullptr;
  const int code = ::mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
  if (code != 0) return LmdbStatus(code, "open store", path_);
  LmdbTransaction transaction(txn, 1, path_);  // 1 is the number of LMDB's main table.
  size_t bytes = 0;
  const absl::Status read = transaction.Scan("", [&](std::string_view key, std::string_view value) {
    bytes += key.size() + value.size();
    return true;
  });
  if (read.ok()) return read;
  return base::DataLoss("store '{}' is cut short: {} of {} bytes", path_, file.st_size, needed);
}

LmdbStore::~LmdbStore() {
  if (writer_.joinable()) {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
      wake_writer_.Signal();
    }
    writer_.join();
  }
  if (env_ != nullptr) ::mdb_env_close(env_);
}

absl::Status LmdbStore::View(const std::function<absl::Status(ReadTransaction&)>& fn) {
  const std::shared_lock lock(map_mutex_);
  MDB_txn* txn = nullptr;
  if (const int code = ::mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn); code != 0) {
    return LmdbStatus(code, "read from store", path_);
  }
  LmdbTransaction transaction(txn, dbi_, path_);
  return fn(transaction);
}

absl::Status LmdbStore::Update(const std::function<absl::Status(WriteTransaction&)>& fn) {
  if (std::this_thread::get_id() == writer_.get_id()) {
    return base::Internal("update of store '{}' inside an update", path_);
  }
  PendingUpdate update{.fn = &fn, .result = {}, .answered = {}};
  absl::MutexLock lock(&mutex_);
  queue_.push_back(&update);
  wake_writer_.Signal();
  while (!update.done) update.answered.Wait(&mutex_);
  return update.result;
}

void LmdbStore::WriteLoop() {
  for (;;) {
    const Batch batch = TakeBatch();
    if (batch.empty()) return;
    RunBatch(batch);
    Answer(batch);
  }
}

Batch LmdbStore::TakeBatch() {
  absl::MutexLock lock(&mutex_);
  while (queue_.empty() && !stopping_) wake_writer_.Wait(&mutex_);
  const size_t count = std::min(queue_.size(), kMaxBatch);
  const Batch batch(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(count));
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(count));
  return batch;
}

void LmdbStore::Answer(const Batch& batch) {
  absl::MutexLock lock(&mutex_);
  for (PendingUpdate* update : batch) {
    update->done = true;
    update->answered.Signal();
  }
}

void LmdbStore::RunBatch(const Batch& batch) {
  int code = TryBatch(batch);
  while (code == MDB_MAP_FULL) {
    if (const absl::Status grown = Grow(); !grown.ok()) {
      for (PendingUpdate* update : batch) update->result = grown;
      return;
    }
    code = TryBatch(batch);
  }
  if (code == 0) return;
  if (batch.size() == 1) {
    batch[0]->result = LmdbStatus(code, "commit to store", path_);
    return;
  }
  // One of them asks for too much: the others shall not suffer for it.
  for (PendingUpdate* update : batch) RunBatch({update});
}

// Returns LMDB's code if nothing of the batch could be kept.
int LmdbStore::TryBatch(const Batch& batch) {
  MDB_txn* txn = nullptr;
  if (const int code = ::mdb_txn_begin(env_, nullptr, 0, &txn); code != 0) return code;
  LmdbTransaction parent(txn, dbi_, path_);
  bool wrote = false;
  if (batch.size() == 1) {  // Needs no child: what fails is the whole.
    batch[0]->result = (*batch[0]->fn)(parent);
    if (parent.failure() != 0) return parent.failure();
    if (!batch[0]->result.ok()) return 0;
    wrote = parent.wrote();
  } else {
    for (PendingUpdate* update : batch) {
      if (const int code = RunInChild(parent, *update, wrote); code != 0) return code;
    }
  }
  if (const int code = parent.Commit(); code != 0) return AfterFailedCommit(code);
  if (wrote) ++syncs_;
  for (const PendingUpdate* update : batch) updates_ += update->result.ok() ? 1 : 0;
  return 0;
}

int LmdbStore::RunInChild(LmdbTransaction& parent, PendingUpdate& update, bool& wrote) {
  MDB_txn* txn = nullptr;
  if (const int code = ::mdb_txn_begin(env_, parent.get(), 0, &txn); code != 0) return code;
  LmdbTransaction child(txn, dbi_, path_);
  update.result = (*update.fn)(child);
  if (child.failure() != 0) return child.failure();
  if (!update.result.ok()) return 0;
  wrote |= child.wrote();
  return child.Commit();
}

// LMDB takes the short write of a disk that fills up for an I/O error; what was written until then
// stays behind the last page in use. Gives that space back, and returns the code that is meant.
int LmdbStore::AfterFailedCommit(int code) {
  if (code != EIO && code != ENOSPC && code != EDQUOT) return code;
  int fd = -1;
  MDB_envinfo info;
  MDB_stat stat;
  struct stat file;
  ::mdb_env_get_fd(env_, &fd);
  ::mdb_env_info(env_, &info);
  ::mdb_env_stat(env_, &stat);
  if (::fstat(fd, &file) != 0) return code;
  constexpr off_t kProbeBytes = 1 << 20;
  if (code == EIO && ::fallocate(fd, FALLOC_FL_KEEP_SIZE, file.st_size, kProbeBytes) != 0 &&
      (errno == ENOSPC || errno == EDQUOT)) {
    code = ENOSPC;
  }
  // Failing to give space back harms nobody but the disk, which is known to be in trouble.
  const off_t used = static_cast<off_t>((info.me_last_pgno + 1) * stat.ms_psize);
  (void)!::ftruncate(fd, std::min(file.st_size, used));
  return code;
}

absl::Status LmdbStore::Grow() {
  const std::unique_lock lock(map_mutex_);  // No reader may look through the map while it moves.
  MDB_envinfo info;
  ::mdb_env_info(env_, &info);
  const size_t bytes = info.me_mapsize * 2;
  const int code = ::mdb_env_set_mapsize(env_, bytes);
  if (code != 0) return LmdbStatus(code, "grow store", path_);
  base::LogDebug("store map grown", {{"path", path_}, {"bytes", bytes}});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const std::string& path, const Options& options) {
  ASSIGN_OR_RETURN(base::UniqueFd lock, HoldLockFile(path + ".lock", options.lock_timeout));
  auto store = std::make_unique<LmdbStore>(path, std::move(lock));
  RETURN_IF_ERROR(store->Open(options));
  return store;
}

}  // namespace ctrd::store
