// SPDX-License-Identifier: Apache-2.0

// Operations: what the supervisor is doing, for whom, since when, and what it waits for. A request
// that is identical to one still running joins it: both get the one answer.
//
// An operation may outlive its callers: one that gives up is answered at once, the work goes on,
// and a caller that comes back joins it again. Work that follows an answer (Continue) is done by a
// caller that waits, so that the usual case changes no thread, and by `Spare` if none does.
//
// Thread-safe. Source document: docs/decisions/supervision.md.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/context.h"

namespace ctrd::runtime {

struct OperationName {
  std::string method;  // "Create"
  std::string namespace_name;
  std::string id;
  std::string exec_id;

  bool operator==(const OperationName&) const = default;
};

// One that runs, as Operations::List tells it.
struct RunningOperation {
  OperationName name;
  std::string stage;  // What it waits for.
  absl::Time since;
  size_t callers = 0;  // That wait for it. None: they gave up.
};

class Operations {
  struct Record;

 public:
  // An encoded answer of the task API: of Create, Start, Delete …
  using Answer = absl::StatusOr<std::string>;
  using Work = std::function<void()>;
  // Runs work soon, on another thread.
  using Spare = std::function<void(Work)>;

  // The operation in the hands of who runs it. Copies share it. One whose handles all go without an
  // end has failed.
  class Handle {
   public:
    void Stage(std::string_view stage) const;
    void Continue(Work rest) const;
    // The first end counts. `given_up`: it ended because its first caller did, and says nothing to
    // those that joined; they try again.
    void End(Answer answer, bool given_up = false) const;

   private:
    friend class Operations;
    struct Life;
    std::shared_ptr<Life> life_;
  };

  explicit Operations(Spare spare) : spare_(std::move(spare)) {}

  // Joins the operation of this name and `request`, or begins it with `work`, which runs on the
  // caller's thread. Waits for the end, or for the end of `context`.
  Answer Join(const base::Context& context, const OperationName& name, const std::string& request,
              const std::function<void(const Handle&)>& work);

  // Something that is not joined, while the object lives.
  class Watch {
   public:
    Watch(Operations& operations, OperationName name, std::string_view stage);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    Operations& operations_;
    std::list<std::shared_ptr<Record>>::iterator place_;
  };

  std::vector<RunningOperation> List() const;

  // Logs what has been running for longer than `patience`, each operation once per doubling of its
  // time. False: nothing is running.
  bool LogSlow(absl::Duration patience);
  // `wake` is called when there is something to watch and LogSlow has said that there is not.
  void OnBusy(std::function<void()> wake);

 private:
  std::shared_ptr<Record> FindRunning(const OperationName& name, const std::string& request) const;
  std::list<std::shared_ptr<Record>>::iterator Enter(std::shared_ptr<Record> record);
  Answer Await(const base::Context& context, const std::shared_ptr<Record>& record,
               std::unique_lock<std::mutex>& lock);

  const Spare spare_;
  mutable std::mutex mutex_;  // Guards all below, and the records.
  std::condition_variable changed_;
  std::list<std::shared_ptr<Record>> running_;
  bool watched_ = false;
  std::function<void()> wake_;
};

}  // namespace ctrd::runtime
