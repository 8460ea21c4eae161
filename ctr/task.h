// SPDX-License-Identifier: Apache-2.0
// Tasks as a client drives them: create with its streams, wait, start, copy until it ends, delete.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ctr/client.h"
#include "ctr/task_io.h"
#include "services/containers/v1/containers.pb.h"
#include "services/tasks/v1/tasks.grpc.pb.h"
#include "types/descriptor.pb.h"
#include "types/runc/options/oci.pb.h"
#include "types/task/task.pb.h"

namespace ctrd::ctr {

using TasksStub = containerd::services::tasks::v1::Tasks::Stub;

// A Wait call under way: it is sent before the process is started, so no exit is missed.
class PendingWait {
 public:
  PendingWait(const Client& client, const std::string& container_id, const std::string& exec_id);
  ~PendingWait();
  // The exit status, once there is one.
  absl::StatusOr<uint32_t> Finish();

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  TasksStub stub_;
  grpc::CompletionQueue queue_;
  containerd::services::tasks::v1::WaitResponse response_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<containerd::services::tasks::v1::WaitResponse>>
      call_;
  bool finished_ = false;
};

// One process of a container: its first one, or an exec.
struct ProcessId {
  std::string container_id;
  std::string exec_id;  // "" for the first process.
};

// Makes the task of `container`, from `checkpoint` if there is one; its pid.
absl::StatusOr<uint32_t> CreateTask(
    const Client& client, const containerd::services::containers::v1::Container& container,
    const TaskIo& io, const containerd::runc::v1::Options* options,
    const containerd::types::Descriptor* checkpoint = nullptr);

// kNotFound "no running task found: …"
absl::StatusOr<containerd::v1::types::Process> GetTask(const Client& client,
                                                       const std::string& container_id);

absl::StatusOr<uint32_t> StartProcess(const Client& client, const ProcessId& id);
absl::Status KillProcess(const Client& client, const ProcessId& id, uint32_t signal, bool all);
// The exit status.
absl::StatusOr<uint32_t> DeleteProcess(const Client& client, const ProcessId& id);

// Deletes the task, after SIGKILL if `force`; its exit status. Without force a task that runs is
// refused as a Go client refuses it. FIFOs of the task are removed.
absl::StatusOr<uint32_t> DeleteTask(const Client& client, const std::string& container_id,
                                    bool force);

// "running", as the daemon's texts have it.
std::string StateName(containerd::v1::types::Status status);

// Runs a process that is created or set up already to its end: starts it unless `start` is false,
// feeds its input, forwards signals or the size of the terminal. Its exit status; the process is
// not deleted.
absl::StatusOr<uint32_t> RunAttached(const Client& client, const ProcessId& id, TaskIo& io,
                                     bool start);

// 9, "9", "KILL", "SIGKILL".
absl::StatusOr<uint32_t> ParseSignal(const std::string& text);

}  // namespace ctrd::ctr
