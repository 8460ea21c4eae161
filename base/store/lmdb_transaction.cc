// SPDX-License-Identifier: Apache-2.0
#include "base/store/lmdb_transaction.h"

#include <cerrno>

#include "base/status.h"

namespace ctrd::store {
namespace {

constexpr size_t kMaxKeyBytes = 500;

MDB_val ToValue(std::string_view bytes) {
  return {.mv_size = bytes.size(), .mv_data = const_cast<char*>(bytes.data())};
}

std::string_view FromValue(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

absl::Status CheckKey(std::string_view key) {
  if (key.empty()) return base::InvalidArgument("store key must not be empty");
  if (key.size() > kMaxKeyBytes) {
    return base::InvalidArgument("store key of {} bytes is longer than {} bytes", key.size(),
                                 kMaxKeyBytes);
  }
  return absl::OkStatus();
}

absl::StatusCode CodeOf(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case MDB_READERS_FULL:
      return absl::StatusCode::kResourceExhausted;
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
      return absl::StatusCode::kDataLoss;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status LmdbStatus(int code, std::string_view call, std::string_view path) {
  return base::MakeError(CodeOf(code),
                         fmt::format("{} '{}': {}", call, path, ::mdb_strerror(code)));
}

absl::StatusOr<std::optional<std::string_view>> LmdbTransaction::Get(std::string_view key) {
  RETURN_IF_ERROR(CheckKey(key));
  MDB_val name = ToValue(key), value;
  const int code = ::mdb_get(txn_, dbi_, &name, &value);
  if (code == MDB_NOTFOUND) return std::nullopt;
  if (code != 0) return LmdbStatus(code, "read from store", path_);
  return FromValue(value);
}

absl::Status LmdbTransaction::Scan(
    std::string_view prefix, const std::function<bool(std::string_view, std::string_view)>& visit) {
  MDB_cursor* cursor = nullptr;
  if (const int code = ::mdb_cursor_open(txn_, dbi_, &cursor); code != 0) {
    return LmdbStatus(code, "scan store", path_);
  }
  const std::unique_ptr<MDB_cursor, decltype(&::mdb_cursor_close)> owner(cursor,
                                                                         ::mdb_cursor_close);
  MDB_val name = ToValue(prefix), value;
  int code = ::mdb_cursor_get(cursor, &name, &value, prefix.empty() ? MDB_FIRST : MDB_SET_RANGE);
  while (code == 0 && FromValue(name).starts_with(prefix)) {
    if (!visit(FromValue(name), FromValue(value))) return absl::OkStatus();
    code = ::mdb_cursor_get(cursor, &name, &value, MDB_NEXT);
  }
  if (code != 0 && code != MDB_NOTFOUND) return LmdbStatus(code, "scan store", path_);
  return absl::OkStatus();
}

absl::Status LmdbTransaction::Put(std::string_view key, std::string_view value) {
  RETURN_IF_ERROR(CheckKey(key));
  MDB_val name = ToValue(key), bytes = ToValue(value);
  wrote_ = true;
  const int code = ::mdb_put(txn_, dbi_, &name, &bytes, 0);
  if (code == 0) return absl::OkStatus();
  if (failure_ == 0) failure_ = code;
  return LmdbStatus(code, "write to store", path_);
}

absl::Status LmdbTransaction::Delete(std::string_view key) {
  RETURN_IF_ERROR(CheckKey(key));
  MDB_val name = ToValue(key);
  const int code = ::mdb_del(txn_, dbi_, &name, nullptr);
  if (code == MDB_NOTFOUND) return absl::OkStatus();
  wrote_ = true;
  if (code == 0) return absl::OkStatus();
  if (failure_ == 0) failure_ = code;
  return LmdbStatus(code, "delete from store", path_);
}

int LmdbTransaction::Commit() {
  const int code = ::mdb_txn_commit(txn_);  // Frees the transaction whatever comes of it.
  txn_ = nullptr;
  return code;
}

void LmdbTransaction::Abort() {
  if (txn_ == nullptr) return;
  ::mdb_txn_abort(txn_);
  txn_ = nullptr;
}

}  // namespace ctrd::store
