# SPDX-License-Identifier: Apache-2.0
# The system's Abseil and gRPC are not instrumented. Programs of the preset tsan are linked with copies of them that
# ThreadSanitizer does not see at work (packaging/sanitizers/quiet_archives.py); what they order between our threads it
# is told by packaging/sanitizers/tsan_*.cc, whose functions stand before theirs.

find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(folder "${PROJECT_SOURCE_DIR}/packaging/sanitizers")
set(quiet_folder "${PROJECT_BINARY_DIR}/quiet")
add_library(tsan_support STATIC "${folder}/tsan_clone.cc" "${folder}/tsan_mutex.cc" "${folder}/tsan_quiet.cc")
add_library(tsan_grpc STATIC "${folder}/tsan_cancel.cc" "${folder}/tsan_grpc.cc")
set_source_files_properties("${folder}/tsan_cancel.cc" PROPERTIES COMPILE_OPTIONS "${CTRD_SANITIZE_OPTIONS}")

set(quiet_archives "")
foreach(dependency IN ITEMS dep_absl dep_grpc)
  get_target_property(libraries ${dependency} INTERFACE_LINK_LIBRARIES)
  list(FILTER libraries INCLUDE REGEX "/lib(absl_.*|grpc.*|gpr|upb|address_sorting)\\.a$")
  list(APPEND quiet_archives ${libraries})
endforeach()
list(REMOVE_DUPLICATES quiet_archives)
set(tools --nm "${CMAKE_NM}" --objcopy "${CMAKE_OBJCOPY}")
execute_process(
  COMMAND "${Python3_EXECUTABLE}" "${folder}/quiet_archives.py" ${tools} --calls "${folder}/quiet_calls.txt"
          --out "${quiet_folder}" ${quiet_archives}
  COMMAND_ERROR_IS_FATAL ANY)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
             "${folder}/quiet_archives.py" "${folder}/quiet_calls.txt")

foreach(dependency IN ITEMS dep_absl dep_grpc)
  get_target_property(libraries ${dependency} INTERFACE_LINK_LIBRARIES)
  set(linked "")
  foreach(library IN LISTS libraries)
    if(library IN_LIST quiet_archives)
      get_filename_component(name "${library}" NAME)
      set(library "${quiet_folder}/${name}")
    endif()
    list(APPEND linked "${library}")
  endforeach()
  set_target_properties(${dependency} PROPERTIES INTERFACE_LINK_LIBRARIES "${linked}")
endforeach()

# Before the library's: the linker keeps the first of two that are the same.
function(ctrd_stand_before dependency library first)
  get_target_property(libraries ${dependency} INTERFACE_LINK_LIBRARIES)
  set_target_properties(${dependency} PROPERTIES INTERFACE_LINK_LIBRARIES "${library};${libraries};${library}")
  target_link_options(${dependency} INTERFACE "LINKER:--undefined=${first}")
  foreach(symbol IN LISTS ARGN)
    target_link_options(${dependency} INTERFACE "LINKER:--wrap=${symbol}")
  endforeach()
endfunction()

set(absl _ZN4absl7debian3)
ctrd_stand_before(dep_absl tsan_support ctrd_quiet_malloc clone
  ${absl}5Mutex4LockEv ${absl}5Mutex7TryLockEv ${absl}5Mutex6UnlockEv ${absl}5Mutex10ReaderLockEv
  ${absl}5Mutex12ReaderUnlockEv ${absl}5MutexD1Ev ${absl}19ReleasableMutexLock7ReleaseEv
  ${absl}7CondVar4WaitEPNS0_5MutexE ${absl}7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE
  ${absl}7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE ${absl}5Mutex5AwaitERKNS0_9ConditionE
  ${absl}5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE
  ${absl}5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE ${absl}5Mutex8LockWhenERKNS0_9ConditionE
  ${absl}5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE
  ${absl}5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE)

set(on_cancel _ZN4grpc8internal18ServerCallbackCall12CallOnCancelEPNS0_13ServerReactorE)
ctrd_stand_before(dep_grpc tsan_grpc __wrap_${on_cancel} ${on_cancel}
  grpc_call_cancel grpc_call_start_batch grpc_call_unref grpc_completion_queue_next grpc_completion_queue_pluck
  grpc_server_destroy _ZN4grpc15CompletionQueue28ReleaseCallbackAlternativeCQEPS0_
  _Z14grpc_cq_end_opP21grpc_completion_queuePvN4absl7debian36StatusEPFvS1_P18grpc_cq_completionES1_S6_b)
