# SPDX-License-Identifier: Apache-2.0
# What the presets asan and tsan need beside the compiler's flag.

if(CTRD_SANITIZE MATCHES "thread")
  # The system's Abseil is not instrumented: packaging/sanitizers/tsan_mutex.cc speaks for its mutexes.
  add_library(tsan_mutex STATIC "${PROJECT_SOURCE_DIR}/packaging/sanitizers/tsan_mutex.cc")
  target_link_libraries(dep_absl INTERFACE tsan_mutex)
  foreach(symbol IN ITEMS 5Mutex4LockEv 5Mutex7TryLockEv 5Mutex6UnlockEv 5Mutex10ReaderLockEv 5Mutex12ReaderUnlockEv
          5MutexD1Ev 7CondVar4WaitEPNS0_5MutexE 7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE
          7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE 5Mutex5AwaitERKNS0_9ConditionE
          5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE
          5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE)
    target_link_options(dep_absl INTERFACE "LINKER:--wrap=_ZN4absl7debian3${symbol}")
  endforeach()
endif()
