// SPDX-License-Identifier: Apache-2.0

// The task service of the shim, as containerd.task.v2.Task and containerd.task.v3.Task: the same
// methods and messages under two names. Unpacks, calls the container, packs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "runtime/shim/container.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime::shim {

class TaskService {
 public:
  // `shutdown` is called, once, when a client asks for it and there is no container.
  TaskService(Shim shim, std::function<void()> shutdown)
      : shim_(std::move(shim)), shutdown_(std::move(shutdown)) {}

  // The methods, for both names of the service. We outlive the server they are given to.
  ttrpc::Service Methods();

 private:
  friend struct TaskMethods;
  absl::StatusOr<Container::Ptr> Find(const std::string& id) const;

  const Shim shim_;
  std::function<void()> shutdown_;
  std::map<std::string, Container::Ptr> containers_;
  std::set<std::string> creating_;
};

}  // namespace ctrd::runtime::shim
