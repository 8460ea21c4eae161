// SPDX-License-Identifier: Apache-2.0

// Tells ThreadSanitizer of Abseil's mutexes. The system's Abseil is built without it, so that what
// its locks order looks unordered. With the linker's --wrap each call of these functions, from our
// code and from gRPC's, comes here first (packaging/cmake/ctrd_tsan.cmake).
#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/mutex.h"

namespace {

void TellLock(void* mutex) {
  __tsan_mutex_pre_lock(mutex, 0);
  __tsan_mutex_post_lock(mutex, 0, 0);
}

void TellUnlock(void* mutex) {
  __tsan_mutex_pre_unlock(mutex, 0);
  __tsan_mutex_post_unlock(mutex, 0);
}

class LockAtEnd {
 public:
  explicit LockAtEnd(void* mutex) : mutex_(mutex) {}
  ~LockAtEnd() { TellLock(mutex_); }

 private:
  void* const mutex_;
};

// A wait lets go of the mutex and takes it again.
class Relock : public LockAtEnd {
 public:
  explicit Relock(void* mutex) : LockAtEnd(mutex) { TellUnlock(mutex); }
};

// Whether a condition holds is asked inside Abseil, by whichever thread has the mutex then.
struct ToldCondition {
  void* mutex;
  const absl::Condition* condition;

  static bool Holds(ToldCondition* told) {
    TellLock(told->mutex);
    const bool holds = told->condition->Eval();
    TellUnlock(told->mutex);
    return holds;
  }
};

}  // namespace

// NOLINTBEGIN: the names are the linker's.
#define REAL(symbol) REAL_(symbol)
#define REAL_(symbol) __real_##symbol
#define WRAP(symbol) WRAP_(symbol)
#define WRAP_(symbol) __wrap_##symbol

extern "C" {

#define LOCK(symbol, flags)                  \
  void REAL(symbol)(void* mutex);            \
  void WRAP(symbol)(void* mutex) {           \
    __tsan_mutex_pre_lock(mutex, flags);     \
    REAL(symbol)(mutex);                     \
    __tsan_mutex_post_lock(mutex, flags, 0); \
  }
#define TRY_LOCK(symbol, flags)                                                 \
  bool REAL(symbol)(void* mutex);                                               \
  bool WRAP(symbol)(void* mutex) {                                              \
    __tsan_mutex_pre_lock(mutex, (flags) | __tsan_mutex_try_lock);              \
    const bool locked = REAL(symbol)(mutex);                                    \
    const unsigned failed = locked ? 0 : __tsan_mutex_try_lock_failed;          \
    __tsan_mutex_post_lock(mutex, (flags) | __tsan_mutex_try_lock | failed, 0); \
    return locked;                                                              \
  }
#define UNLOCK(symbol, flags)               \
  void REAL(symbol)(void* mutex);           \
  void WRAP(symbol)(void* mutex) {          \
    __tsan_mutex_pre_unlock(mutex, flags);  \
    REAL(symbol)(mutex);                    \
    __tsan_mutex_post_unlock(mutex, flags); \
  }

LOCK(_ZN4absl7debian35Mutex4LockEv, 0)
TRY_LOCK(_ZN4absl7debian35Mutex7TryLockEv, 0)
UNLOCK(_ZN4absl7debian35Mutex6UnlockEv, 0)
LOCK(_ZN4absl7debian35Mutex10ReaderLockEv, __tsan_mutex_read_lock)
UNLOCK(_ZN4absl7debian35Mutex12ReaderUnlockEv, __tsan_mutex_read_lock)

void __real__ZN4absl7debian35MutexD1Ev(void* mutex);
void __wrap__ZN4absl7debian35MutexD1Ev(void* mutex) {
  __real__ZN4absl7debian35MutexD1Ev(mutex);
  __tsan_mutex_destroy(mutex, __tsan_mutex_not_static);
}

// Unlocks inside Abseil, where the call of Unlock is not seen. The mutex is its only member.
void __real__ZN4absl7debian319ReleasableMutexLock7ReleaseEv(void* lock);
void __wrap__ZN4absl7debian319ReleasableMutexLock7ReleaseEv(void* lock) {
  TellUnlock(*static_cast<void**>(lock));
  __real__ZN4absl7debian319ReleasableMutexLock7ReleaseEv(lock);
}

#define WAIT(symbol, mutex, parameters, arguments, result_type) \
  result_type REAL(symbol) parameters;                          \
  result_type WRAP(symbol) parameters {                         \
    const Relock relock(mutex);                                 \
    return REAL(symbol) arguments;                              \
  }

WAIT(_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE, mutex, (void* condition, void* mutex),
     (condition, mutex), void)
WAIT(_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE, mutex,
     (void* condition, void* mutex, absl::Duration timeout), (condition, mutex, timeout), bool)
WAIT(_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE, mutex,
     (void* condition, void* mutex, absl::Time deadline), (condition, mutex, deadline), bool)

#define WAIT_FOR(symbol, Guard, parameters, arguments, result_type) \
  result_type REAL(symbol) parameters;                              \
  result_type WRAP(symbol) parameters {                             \
    const Guard guard(mutex);                                       \
    ToldCondition told{mutex, &wanted};                             \
    const absl::Condition condition(&ToldCondition::Holds, &told);  \
    return REAL(symbol) arguments;                                  \
  }

WAIT_FOR(_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE, Relock,
         (void* mutex, const absl::Condition& wanted), (mutex, condition), void)
WAIT_FOR(_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE, Relock,
         (void* mutex, const absl::Condition& wanted, absl::Duration timeout),
         (mutex, condition, timeout), bool)
WAIT_FOR(_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE, Relock,
         (void* mutex, const absl::Condition& wanted, absl::Time deadline),
         (mutex, condition, deadline), bool)
WAIT_FOR(_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE, LockAtEnd,
         (void* mutex, const absl::Condition& wanted), (mutex, condition), void)
WAIT_FOR(_ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE, LockAtEnd,
         (void* mutex, const absl::Condition& wanted, absl::Duration timeout),
         (mutex, condition, timeout), bool)
WAIT_FOR(_ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE, LockAtEnd,
         (void* mutex, const absl::Condition& wanted, absl::Time deadline),
         (mutex, condition, deadline), bool)
}
// NOLINTEND
