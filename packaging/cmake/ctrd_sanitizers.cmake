# SPDX-License-Identifier: Apache-2.0
# What the presets asan and tsan need beside the compiler's flag.

if(CTRD_SANITIZE MATCHES "undefined")
  add_library(ubsan_reports STATIC "${PROJECT_SOURCE_DIR}/packaging/sanitizers/ubsan_reports.cc")
  target_link_libraries(dep_absl INTERFACE ubsan_reports)
  target_link_options(dep_absl INTERFACE "LINKER:--undefined=ctrd_ubsan_reports")
endif()

if(CTRD_SANITIZE MATCHES "thread")
  include(ctrd_tsan)
endif()

# Sources of a library are compiled eight at a time, as one: half of the time goes into their headers. These have names
# in their unnamed namespaces that others of their library have, too, and stay by themselves.
set(CTRD_APART
  daemon/metadata/container_store.cc
  daemon/metadata/image_records.cc
  daemon/metadata/sandbox_store.cc
  daemon/mounts/make_directory.cc
  daemon/restart/restart_policy.cc
  daemon/services  # In each, `api` is another namespace.
  images/archive/tar_writer.cc
  images/diff/stream_processor.cc
  images/diff/tree_changes.cc
  images/registry/requests.cc
  images/transfer/export.cc
  images/transfer/import.cc
  images/transfer/pull.cc
  metrics/process_metrics.cc
  runtime/cgroups/metrics_v2.cc
  runtime/shim/container_exec.cc
  runtime/shim/delete_command.cc
  runtime/shim/exit_record.cc
  runtime/shim/runtime_state.cc
  runtime/shim/sandbox_service.cc
  runtime/shim/shim_socket.cc
  runtime/shim/start_command.cc
  runtime/supervisor/operations.cc
  runtime/supervisor/sandbox_supervisor.cc
  runtime/supervisor/shim_address.cc)

function(ctrd_unite_sources library)
  file(RELATIVE_PATH folder "${PROJECT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
  if(NOT CTRD_SANITIZE OR folder IN_LIST CTRD_APART)
    return()
  endif()
  set_target_properties(${library} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  # What stands in a file that is included looks as if it stood in a header.
  target_compile_options(${library} PRIVATE -Wno-subobject-linkage)
  foreach(source IN LISTS ARGN)
    if("${folder}/${source}" IN_LIST CTRD_APART)
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
endfunction()
