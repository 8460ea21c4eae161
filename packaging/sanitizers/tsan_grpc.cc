// SPDX-License-Identifier: Apache-2.0

// Tells ThreadSanitizer what gRPC's interface promises, and no more: what a thread did before it
// began an operation is seen by whoever gets the operation's tag. How the library passes it on
// inside is not looked at: its code is not instrumented, and its calls are quiet (tsan_quiet.cc).
// With the linker's --wrap the calls of these functions come here first.
#include <sanitizer/tsan_interface.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "grpc/grpc.h"
#include "grpcpp/support/server_callback.h"
#include "of_library.h"

namespace {

using ctrd::sanitizers::OfLibrary;

// Addresses that stand for: an operation began; the last that a call did was done.
char began, ended;

// Whether this process calls itself, as a test of client and server does.
std::atomic<bool> calls_itself = false;

// A functor is a tag that the library calls by itself. Its function gets one of ours in its place,
// which stays there: the library may schedule it as often as it likes. There are few functions.
using Functor = grpc_completion_queue_functor;
using Run = void (*)(Functor*, int);
constexpr int kMostFunctions = 8;
std::atomic<Run> functions[kMostFunctions];

template <int kIndex>
void RunTold(Functor* functor, int ok) {
  __tsan_acquire(functor);
  functions[kIndex].load(std::memory_order_relaxed)(functor, ok);
}

constexpr Run kTold[kMostFunctions] = {RunTold<0>, RunTold<1>, RunTold<2>, RunTold<3>,
                                       RunTold<4>, RunTold<5>, RunTold<6>, RunTold<7>};

Run Told(Run function) {
  for (int i = 0; i < kMostFunctions; ++i) {
    if (function == kTold[i]) return function;
    Run known = nullptr;
    if (functions[i].compare_exchange_strong(known, function) || known == function) return kTold[i];
  }
  std::abort();  // More functions than there is room for.
}

// Whether the other end of a socket is in this process.
bool IsOurOwn(int fd) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == ::getpid();
}

}  // namespace

// NOLINTBEGIN: the names are the linker's.
extern "C" {

// ThreadSanitizer would take whatever is sent on a socket for something that whoever receives on
// any socket has waited for, and have nearly everything in a daemon ordered. What another process
// sends orders nothing here. What this one sends to itself began before it was received.
ssize_t ctrd_quiet_sendmsg(int fd, const msghdr* message, int flags) {
  static void* const function = OfLibrary("sendmsg");
  return reinterpret_cast<decltype(&::sendmsg)>(function)(fd, message, flags);
}

ssize_t ctrd_quiet_recvmsg(int fd, msghdr* message, int flags) {
  static void* const function = OfLibrary("recvmsg");
  const ssize_t size = reinterpret_cast<decltype(&::recvmsg)>(function)(fd, message, flags);
  if (size > 0 && !calls_itself.load(std::memory_order_relaxed) && IsOurOwn(fd)) {
    calls_itself.store(true, std::memory_order_relaxed);
  }
  return size;
}

grpc_call_error __real_grpc_call_start_batch(grpc_call* call, const grpc_op* operations,
                                             size_t count, void* tag, void* reserved);
grpc_call_error __wrap_grpc_call_start_batch(grpc_call* call, const grpc_op* operations,
                                             size_t count, void* tag, void* reserved) {
  __tsan_release(tag);
  __tsan_release(&began);
  return __real_grpc_call_start_batch(call, operations, count, tag, reserved);
}

grpc_call_error __real_grpc_call_cancel(grpc_call* call, void* reserved);
grpc_call_error __wrap_grpc_call_cancel(grpc_call* call, void* reserved) {
  __tsan_release(&began);
  return __real_grpc_call_cancel(call, reserved);
}

// How each operation ends: grpc_cq_end_op and grpc_get_cq_completion_type of gRPC's core.
#define END_OP                                                      \
  "_Z14grpc_cq_end_opP21grpc_completion_queuePvN4absl7debian36Stat" \
  "usEPFvS1_P18grpc_cq_completionES1_S6_b"
constexpr int kCallbackQueue = 2;
int CompletionType(grpc_completion_queue* queue) __asm__(
    "_Z27grpc_get_cq_completion_typeP21grpc_completion_queue");
void RealEndOp(grpc_completion_queue* queue, void* tag, void* status, void (*done)(void*, void*),
               void* argument, void* storage, bool internal) __asm__("__real_" END_OP);
void EndOp(grpc_completion_queue* queue, void* tag, void* status, void (*done)(void*, void*),
           void* argument, void* storage, bool internal) __asm__("__wrap_" END_OP);
void EndOp(grpc_completion_queue* queue, void* tag, void* status, void (*done)(void*, void*),
           void* argument, void* storage, bool internal) {
  if (calls_itself.load(std::memory_order_relaxed)) __tsan_acquire(&began);
  __tsan_release(tag);
  if (CompletionType(queue) == kCallbackQueue) {
    auto* const functor = static_cast<Functor*>(tag);
    functor->functor_run = Told(functor->functor_run);
  }
  RealEndOp(queue, tag, status, done, argument, storage, internal);
}

grpc_event __real_grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                             void* reserved);
grpc_event __wrap_grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                             void* reserved) {
  const grpc_event event = __real_grpc_completion_queue_next(queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}

grpc_event __real_grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag,
                                              gpr_timespec deadline, void* reserved);
grpc_event __wrap_grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag,
                                              gpr_timespec deadline, void* reserved) {
  const grpc_event event = __real_grpc_completion_queue_pluck(queue, tag, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(tag);
  return event;
}

// A call's last owner lets go of it when its reactor is gone. A server waits for all of them, and
// then destroys what they served.
void __real_grpc_call_unref(grpc_call* call);
void __wrap_grpc_call_unref(grpc_call* call) {
  __tsan_release(&ended);
  __real_grpc_call_unref(call);
}

void __real_grpc_server_destroy(grpc_server* server);
void __wrap_grpc_server_destroy(grpc_server* server) {
  __tsan_acquire(&ended);
  __real_grpc_server_destroy(server);
}

#define RELEASE_QUEUE "_ZN4grpc15CompletionQueue28ReleaseCallbackAlternativeCQEPS0_"
void RealReleaseQueue(void* queue) __asm__("__real_" RELEASE_QUEUE);
void ReleaseQueue(void* queue) __asm__("__wrap_" RELEASE_QUEUE);
void ReleaseQueue(void* queue) {
  RealReleaseQueue(queue);
  __tsan_acquire(&ended);
}
}
// NOLINTEND
