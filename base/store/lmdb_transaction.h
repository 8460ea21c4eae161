// SPDX-License-Identifier: Apache-2.0

// Transactions of the LMDB store. Only base/store/lmdb_store.cc needs them.
#pragma once

#include <lmdb.h>

#include "base/store/store.h"

namespace ctrd::store {

// `code` of an LMDB call that failed, as a status: "<call> '<path>': <reason>".
absl::Status LmdbStatus(int code, std::string_view call, std::string_view path);

// One LMDB transaction, aborted on destruction unless committed. Reading ones live where the reader
// is, writing ones on the store's writer thread.
class LmdbTransaction final : public WriteTransaction {
 public:
  LmdbTransaction(MDB_txn* txn, MDB_dbi dbi, const std::string& path)
      : txn_(txn), dbi_(dbi), path_(path) {}
  LmdbTransaction(const LmdbTransaction&) = delete;
  LmdbTransaction& operator=(const LmdbTransaction&) = delete;
  ~LmdbTransaction() override { Abort(); }

  absl::StatusOr<std::optional<std::string_view>> Get(std::string_view key) override;
  absl::Status Scan(std::string_view prefix,
                    const std::function<bool(std::string_view, std::string_view)>& visit) override;
  absl::Status Put(std::string_view key, std::string_view value) override;
  absl::Status Delete(std::string_view key) override;

  MDB_txn* get() const { return txn_; }
  bool wrote() const { return wrote_; }
  // LMDB's code of the first write that failed, 0 if none did: the transaction cannot be kept then.
  int failure() const { return failure_; }
  int Commit();
  void Abort();

 private:
  MDB_txn* txn_;
  const MDB_dbi dbi_;
  const std::string& path_;
  bool wrote_ = false;
  int failure_ = 0;
};

}  // namespace ctrd::store
