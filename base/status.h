// SPDX-License-Identifier: Apache-2.0

// Errors of this project are absl::Status. The code is the gRPC code the client will see, and the
// message is, word for word, the text it will see: nothing is added on the way to the wire.
//
// Clients match on texts that end in the name of their class ("…: not found"). The makers below
// append that name exactly once; absl's own makers (absl::UnknownError, …) are for the texts that
// carry none.
//
// Source document: docs/errors.md.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fmt/format.h"

namespace ctrd::base {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view FromAbsl(absl::string_view text) { return {text.data(), text.size()}; }
inline std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

// A status of `code` whose message is `text` followed by ": " and the name of the class
// (ClassText), or the name alone if `text` is empty.
absl::Status MakeError(absl::StatusCode code, std::string_view text);

// The name of the class, as it ends a message: "not found", "already exists", ….
// Empty for kOk and kUnknown.
std::string_view ClassText(absl::StatusCode code);

#define CTRD_ERROR_MAKER(name, code)                                          \
  template <typename... Args>                                                 \
  absl::Status name(fmt::format_string<Args...> format, Args&&... args) {     \
    return MakeError(code, fmt::format(format, std::forward<Args>(args)...)); \
  }
CTRD_ERROR_MAKER(InvalidArgument, absl::StatusCode::kInvalidArgument)
CTRD_ERROR_MAKER(NotFound, absl::StatusCode::kNotFound)
CTRD_ERROR_MAKER(AlreadyExists, absl::StatusCode::kAlreadyExists)
CTRD_ERROR_MAKER(FailedPrecondition, absl::StatusCode::kFailedPrecondition)
CTRD_ERROR_MAKER(OutOfRange, absl::StatusCode::kOutOfRange)
CTRD_ERROR_MAKER(Unimplemented, absl::StatusCode::kUnimplemented)
CTRD_ERROR_MAKER(Unavailable, absl::StatusCode::kUnavailable)
CTRD_ERROR_MAKER(DataLoss, absl::StatusCode::kDataLoss)
CTRD_ERROR_MAKER(Internal, absl::StatusCode::kInternal)
#undef CTRD_ERROR_MAKER

// A status of code kUnknown, whose message is the text as it stands: the class of all errors that
// clients are not meant to tell apart.
template <typename... Args>
absl::Status Unknown(fmt::format_string<Args...> format, Args&&... args) {
  return absl::UnknownError(ToAbsl(fmt::format(format, std::forward<Args>(args)...)));
}

// "<call> '<object>': <strerror>", from the current errno, which it leaves as it was. The code
// follows absl::ErrnoToStatusCode (ENOENT is kNotFound, ENOSPC kResourceExhausted, …).
absl::Status ErrnoStatus(std::string_view call, std::string_view object);
absl::Status ErrnoStatus(int error_number, std::string_view call, std::string_view object);

// `status` with "<context>: " before its message. An OK status stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

// `status` with the same message under another code. An OK status stays OK.
absl::Status WithCode(const absl::Status& status, absl::StatusCode code);

}  // namespace ctrd::base

#define CTRD_CONCAT_INNER(a, b) a##b
#define CTRD_CONCAT(a, b) CTRD_CONCAT_INNER(a, b)

// Returns the status from the enclosing function unless it is OK. The counter gives each use its
// own name, so that one may stand in a lambda inside another.
#define RETURN_IF_ERROR(expression) \
  RETURN_IF_ERROR_INNER(CTRD_CONCAT(ctrd_status_, __COUNTER__), expression)
#define RETURN_IF_ERROR_INNER(result, expression)           \
  do {                                                      \
    if (absl::Status result = (expression); !result.ok()) { \
      return result;                                        \
    }                                                       \
  } while (false)

// Declares or assigns `target` from a StatusOr, or returns its status.
#define ASSIGN_OR_RETURN(target, expression) \
  ASSIGN_OR_RETURN_INNER(CTRD_CONCAT(ctrd_result_, __COUNTER__), target, expression)
#define ASSIGN_OR_RETURN_INNER(result, target, expression) \
  auto result = (expression);                              \
  if (!result.ok()) return std::move(result).status();     \
  target = *std::move(result)
