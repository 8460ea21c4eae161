// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <cerrno>
#include <cstring>

namespace ctrd::base {

std::string_view ClassText(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return "invalid argument";
    case absl::StatusCode::kNotFound:
      return "not found";
    case absl::StatusCode::kAlreadyExists:
      return "already exists";
    case absl::StatusCode::kPermissionDenied:
      return "permission denied";
    case absl::StatusCode::kResourceExhausted:
      return "resource exhausted";
    case absl::StatusCode::kFailedPrecondition:
      return "failed precondition";
    case absl::StatusCode::kAborted:
      return "aborted";
    case absl::StatusCode::kOutOfRange:
      return "out of range";
    case absl::StatusCode::kUnimplemented:
      return "not implemented";
    case absl::StatusCode::kInternal:
      return "internal";
    case absl::StatusCode::kUnavailable:
      return "unavailable";
    case absl::StatusCode::kDataLoss:
      return "data loss";
    case absl::StatusCode::kUnauthenticated:
      return "unauthorized";
    case absl::StatusCode::kDeadlineExceeded:
      return "context deadline exceeded";
    case absl::StatusCode::kCancelled:
      return "context canceled";
    default:
      return "";
  }
}

absl::Status MakeError(absl::StatusCode code, std::string_view text) {
  const std::string_view name = ClassText(code);
  if (text.empty()) return absl::Status(code, ToAbsl(name));
  if (name.empty()) return absl::Status(code, ToAbsl(text));
  return absl::Status(code, ToAbsl(fmt::format("{}: {}", text, name)));
}

absl::Status ErrnoStatus(std::string_view call, std::string_view object) {
  return ErrnoStatus(errno, call, object);
}

absl::Status ErrnoStatus(int error_number, std::string_view call, std::string_view object) {
  const int saved_errno = errno;
  char buffer[128];
  const char* reason = ::strerror_r(error_number, buffer, sizeof(buffer));
  absl::Status status(absl::ErrnoToStatusCode(error_number),
                      ToAbsl(fmt::format("{} '{}': {}", call, object, reason)));
  errno = saved_errno;
  return status;
}

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      ToAbsl(fmt::format("{}: {}", context, FromAbsl(status.message()))));
}

absl::Status WithCode(const absl::Status& status, absl::StatusCode code) {
  if (status.ok()) return status;
  return absl::Status(code, status.message());
}

}  // namespace ctrd::base
