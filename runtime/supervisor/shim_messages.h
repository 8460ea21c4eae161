// SPDX-License-Identifier: Apache-2.0

// Between the plain structs of runtime/task_runtime.h and the messages of the task API. Private to
// runtime/supervisor.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "runtime/supervisor/shim_client.h"
#include "runtime/task_runtime.h"

namespace ctrd::runtime {

absl::Time TimeOf(const google::protobuf::Timestamp& time);
ProcessState ProcessOf(const task_v3::StateResponse& state);
task_v3::CreateTaskRequest CreateRequestOf(const CreateTask& task, const std::string& bundle);

// A request that names a process: the first two fields of most requests are `id` and `exec_id`.
std::string ProcessRequest(std::string_view id, std::string_view exec_id);

template <typename Message>
absl::StatusOr<Message> Parse(const std::string& bytes) {
  Message message;
  if (!message.ParseFromString(bytes)) {
    return base::Unknown("answer of the shim is no {}", Message::descriptor()->full_name());
  }
  return message;
}

// The answers of Delete and of Wait.
absl::StatusOr<Exit> ParseDelete(const std::string& bytes);
absl::StatusOr<Exit> ParseWait(const std::string& bytes);
std::string EncodeDelete(const Exit& exit);

}  // namespace ctrd::runtime
