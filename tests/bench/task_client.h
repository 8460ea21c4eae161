// SPDX-License-Identifier: Apache-2.0

// A client of the task API without a client's comforts: one gRPC call per method, each with a
// deadline. For measuring and for load; it speaks to our daemon and to Debian's alike.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/grpcpp.h"
#include "services/containers/v1/containers.grpc.pb.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"
#include "services/tasks/v1/tasks.grpc.pb.h"

namespace ctrd::bench {

struct ClientOptions {
  std::string address;  // Of the socket.
  std::string namespace_name;
  std::string parent;                             // The snapshot that containers stand on.
  std::string runtime = "io.containerd.runc.v2";  // Or the absolute path of a shim.
  std::string oci_runtime;           // BinaryName of the shim's options; "" for the default.
  std::chrono::seconds timeout{60};  // Of each call.
};

class TaskClient {
 public:
  explicit TaskClient(ClientOptions options);

  // The record and the writable layer of a container that runs `arguments`.
  absl::Status CreateContainer(const std::string& id, const std::vector<std::string>& arguments);
  absl::Status DeleteContainer(const std::string& id);  // Both of them.

  absl::Status Create(const std::string& id);  // The task.
  absl::Status Start(const std::string& id, const std::string& exec_id = "");
  absl::Status Exec(const std::string& id, const std::string& exec_id,
                    const std::vector<std::string>& arguments);
  absl::StatusOr<uint32_t> Wait(const std::string& id, const std::string& exec_id = "");
  absl::Status Kill(const std::string& id, uint32_t signal = 9);
  absl::StatusOr<uint32_t> Delete(const std::string& id);  // The exit status.
  absl::Status DeleteProcess(const std::string& id, const std::string& exec_id);

  absl::StatusOr<int> CountRunning();
  bool Answers();  // Whether anything does: what it is asked does not exist.

  // All of it, in whatever state it is: ended, deleted, forgotten. Repeats what fails for a while,
  // until `give_up`: then the error that stays.
  absl::Status Remove(const std::string& id, std::chrono::steady_clock::time_point give_up);

 private:
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response);
  absl::Status RemoveOnce(const std::string& id);

  const ClientOptions options_;
  std::unique_ptr<containerd::services::containers::v1::Containers::Stub> containers_;
  std::unique_ptr<containerd::services::snapshots::v1::Snapshots::Stub> snapshots_;
  std::unique_ptr<containerd::services::tasks::v1::Tasks::Stub> tasks_;
};

}  // namespace ctrd::bench
