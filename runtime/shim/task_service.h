// SPDX-License-Identifier: Apache-2.0

// The task service of the shim, as containerd.task.v2.Task and containerd.task.v3.Task: the same
// methods and messages under two names. Unpacks, calls the container, packs.
//
// A call does not end because its caller went away. The same call made again joins it (Create,
// Start, Delete, Kill), and a Delete of what is being created puts an end to that.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/shim/container.h"
#include "runtime/shim/joined_calls.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime::shim {

class TaskService {
 public:
  // `shutdown` is called, once, when a client asks for it and there is no container.
  TaskService(Shim shim, std::function<void()> shutdown)
      : shim_(std::move(shim)), shutdown_(std::move(shutdown)), creation_ended_(shim_.loop) {}

  // The methods, for both names of the service. We outlive the server they are given to.
  ttrpc::Service Methods();
  // Shuts down if there is no container, and none comes of those that are being created.
  void Leave();
  // While held, the shim stays without containers, too.
  void Hold(bool held) { held_ = held; }
  const std::map<std::string, Container::Ptr>& containers() const { return containers_; }
  // Kills all containers, and waits for them; whether all had ended by `deadline`.
  static Async<bool> EndAll(TaskService* self, absl::Time deadline);
  // Deletes all containers; they have ended.
  static Async<absl::Status> DeleteAll(TaskService* self);
  // Writes to the log what there is and what it waits for.
  void LogState() const;

 private:
  friend struct TaskMethods;
  absl::StatusOr<Container::Ptr> Find(const std::string& id) const;
  void LeaveIfEmpty();

  const Shim shim_;
  std::function<void()> shutdown_;
  std::map<std::string, Container::Ptr> containers_;
  std::map<std::string, Container::Ptr> creating_;
  AsyncSignal creation_ended_;
  JoinedCalls running_;
  bool held_ = false;
  bool leaving_ = false;  // A client asked for it while something was being created.
};

}  // namespace ctrd::runtime::shim
