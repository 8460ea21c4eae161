// SPDX-License-Identifier: Apache-2.0
#include "runtime/cgroups/oom_watch.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/files.h"
#include "base/status.h"
#include "runtime/cgroups/cgroup_file.h"

namespace ctrd::runtime::cgroups {

absl::StatusOr<std::unique_ptr<OomWatch>> OomWatch::Start(base::EventLoop* loop,
                                                          const Cgroup& cgroup,
                                                          std::function<void()> on_kill) {
  const std::string directory = cgroup.DirectoryOf("memory");
  if (directory.empty()) return base::NotFound("no memory controller");
  std::unique_ptr<OomWatch> watch(new OomWatch(loop, std::move(on_kill)));
  watch->directory_ = directory;
  watch->unified_ = cgroup.unified();
  RETURN_IF_ERROR(cgroup.unified() ? watch->StartV2(directory) : watch->StartV1(directory));
  RETURN_IF_ERROR(
      loop->Add(watch->fd_.get(), EPOLLIN, [raw = watch.get()](uint32_t) { raw->Look(); }));
  return watch;
}

absl::Status OomWatch::StartV1(const std::string& directory) {
  fd_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd_.valid()) return base::ErrnoStatus("eventfd", "");
  const std::string control = directory + "/memory.oom_control";
  const base::UniqueFd file(::open(control.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return base::ErrnoStatus("open", control);
  // The argument after the second number is empty, its space is not.
  return WriteText(directory + "/cgroup.event_control",
                   fmt::format("{} {} ", fd_.get(), file.get()));
}

absl::Status OomWatch::StartV2(const std::string& directory) {
  fd_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd_.valid()) return base::ErrnoStatus("inotify_init1", "");
  for (const char* name : {"/memory.events", "/cgroup.events"}) {
    const std::string path = directory + name;
    if (::inotify_add_watch(fd_.get(), path.c_str(), IN_MODIFY) < 0) {
      return base::ErrnoStatus("inotify_add_watch", path);
    }
  }
  return absl::OkStatus();
}

OomWatch::~OomWatch() {
  if (fd_.valid()) Look();
  Stop();
}

void OomWatch::Stop() {
  if (!fd_.valid()) return;
  loop_->Remove(fd_.get());
  fd_.Reset();
}

void OomWatch::Look() { unified_ ? LookV2() : LookV1(); }

void OomWatch::LookV1() {
  uint64_t count = 0;
  if (::read(fd_.get(), &count, sizeof(count)) != sizeof(count)) return;
  // The end of the group wakes us, too.
  if (!base::Exists(directory_)) return Stop();
  on_kill_();
}

void OomWatch::LookV2() {
  alignas(inotify_event) char changes[4096];
  while (::read(fd_.get(), changes, sizeof(changes)) > 0) {
  }
  const absl::StatusOr<KeyValues> events = ReadKeyValues(directory_ + "/memory.events");
  if (!events.ok() || events->empty()) return Stop();
  const uint64_t kills = ValueOf(*events, "oom_kill");
  if (kills > std::exchange(seen_kills_, kills)) on_kill_();
}

}  // namespace ctrd::runtime::cgroups
