# SPDX-License-Identifier: Apache-2.0
# How targets are declared. One CMakeLists.txt per folder, every file listed:
#
#   ctrd_library(snapshots_overlay            # becomes ctrd::snapshots_overlay
#     HDRS overlay_snapshotter.h
#     SRCS overlay_snapshotter.cc
#     DEPS ctrd::snapshots                    # what our headers mention
#     PRIVATE_DEPS ctrd::snapshots_storage)
#   ctrd_test(overlay_snapshotter_test DEPS ctrd::snapshots_overlay LABELS root)

# The headers nearly every file needs, compiled once.
add_library(ctrd_pch STATIC "${PROJECT_SOURCE_DIR}/packaging/cmake/empty.cc")
target_include_directories(ctrd_pch PUBLIC "${PROJECT_SOURCE_DIR}")
target_compile_options(ctrd_pch PRIVATE ${CTRD_WARNINGS} ${CTRD_SANITIZE_OPTIONS})
set(CTRD_COMMON_HEADERS <algorithm> <cstdint> <functional> <map> <memory> <optional> <span> <string>
  <string_view> <utility> <vector> <absl/status/status.h> <absl/status/statusor.h> <absl/time/time.h>
  <fmt/format.h>)
target_precompile_headers(ctrd_pch PRIVATE ${CTRD_COMMON_HEADERS})

# The same for tests, which are compiled often and run once: without optimisation.
set(CTRD_TEST_OPTIONS -O0 -U_FORTIFY_SOURCE -DGTEST_HAS_PTHREAD=1)
add_library(ctrd_test_pch STATIC "${PROJECT_SOURCE_DIR}/packaging/cmake/empty.cc")
target_include_directories(ctrd_test_pch PUBLIC "${PROJECT_SOURCE_DIR}")
target_compile_options(ctrd_test_pch PRIVATE ${CTRD_WARNINGS} ${CTRD_SANITIZE_OPTIONS} ${CTRD_TEST_OPTIONS})
target_precompile_headers(ctrd_test_pch PRIVATE ${CTRD_COMMON_HEADERS} <gmock/gmock.h> <gtest/gtest.h>)

function(ctrd_configure_target target)
  cmake_parse_arguments(ARG "TEST" "" "" ${ARGN})
  target_compile_options(${target} PRIVATE ${CTRD_WARNINGS} ${CTRD_SANITIZE_OPTIONS})
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}")
  if(ARG_TEST)
    target_compile_options(${target} PRIVATE ${CTRD_TEST_OPTIONS})
    target_precompile_headers(${target} REUSE_FROM ctrd_test_pch)
  else()
    target_precompile_headers(${target} REUSE_FROM ctrd_pch)
  endif()
endfunction()

# OBJECT: the sources are linked whole, as a suite of tests needs it.
function(ctrd_library name)
  cmake_parse_arguments(ARG "OBJECT" "" "HDRS;SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "ctrd_library(${name}): unknown ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT ARG_SRCS)
    add_library(${name} INTERFACE ${ARG_HDRS})
    target_include_directories(${name} INTERFACE "${PROJECT_SOURCE_DIR}")
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  else()
    if(ARG_OBJECT)
      add_library(${name} OBJECT ${ARG_SRCS} ${ARG_HDRS})
      ctrd_configure_target(${name} TEST)
    else()
      add_library(${name} STATIC ${ARG_SRCS} ${ARG_HDRS})
      ctrd_configure_target(${name})
      ctrd_unite_sources(${name} ${ARG_SRCS})  # ctrd_sanitizers.cmake
    endif()
    target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  endif()
  add_library(ctrd::${name} ALIAS ${name})
endfunction()

function(ctrd_executable name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  ctrd_configure_target(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
endfunction()

# A test program of one or more files (<name>.cc unless SRCS says otherwise), one entry in ctest.
# LABELS root: needs to be root. RUN_SERIAL: not beside others. TIMEOUT in seconds, 120 by default.
function(ctrd_test name)
  cmake_parse_arguments(ARG "RUN_SERIAL" "TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  if(NOT ARG_SRCS)
    set(ARG_SRCS ${name}.cc)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SRCS})
  ctrd_configure_target(${name} TEST)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} ctrd::dep_gtest)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "unit;${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  if(ARG_RUN_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# Generated code of .proto files. LITE: for the shim, with the well-known types generated into the
# same place, because the lite runtime has none. GRPC: services too.
function(ctrd_protos name)
  cmake_parse_arguments(ARG "LITE;GRPC" "" "PROTOS;WELL_KNOWN" ${ARGN})
  set(out "${PROJECT_BINARY_DIR}/${name}")
  file(MAKE_DIRECTORY "${out}")
  set(sources "")
  set(inputs "")
  foreach(proto IN LISTS ARG_PROTOS ARG_WELL_KNOWN)
    string(REGEX REPLACE "\\.proto$" "" stem "${proto}")
    if(proto IN_LIST ARG_WELL_KNOWN)
      set(input "/usr/include/${proto}")
    else()
      set(input "${PROJECT_SOURCE_DIR}/proto/${proto}")
    endif()
    list(APPEND inputs "${input}")
    list(APPEND sources "${out}/${stem}.pb.cc")
    if(ARG_GRPC)
      file(STRINGS "${input}" services REGEX "^service ")
      if(services)
        list(APPEND sources "${out}/${stem}.grpc.pb.cc")
      endif()
    endif()
  endforeach()
  if(ARG_LITE)
    set(cpp "--cpp_out=lite:${out}")
  else()
    set(cpp "--cpp_out=${out}")
  endif()
  if(ARG_GRPC)
    list(APPEND cpp "--grpc_out=${out}" "--plugin=protoc-gen-grpc=${CTRD_GRPC_PLUGIN}")
  endif()
  add_custom_command(OUTPUT ${sources}
    COMMAND ${CTRD_PROTOC} -I "${PROJECT_SOURCE_DIR}/proto" -I /usr/include ${cpp} ${ARG_PROTOS} ${ARG_WELL_KNOWN}
    # A field of the API is called `requires`, a keyword that protoc 3.21 does not know: its accessors
    # become requires_(). The encoded descriptors stay as they are, the word never starts there.
    COMMAND find ${out} -name "introspection.pb.*" -exec sed -i -E "s/\\brequires\\b/requires_/g" {} +
    DEPENDS ${inputs} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}/proto" VERBATIM)
  add_library(${name} STATIC ${sources})
  # Generated code is no place to optimise or to debug: this halves what it takes to compile.
  target_compile_options(${name} PRIVATE -w -O1 -g0)
  if(ARG_GRPC AND CTRD_SANITIZE MATCHES "thread")
    # But what a client's reactions wait for is counted in here.
    set(stubs ${sources})
    list(FILTER stubs INCLUDE REGEX "\\.grpc\\.pb\\.cc$")
    set_source_files_properties(${stubs} PROPERTIES COMPILE_OPTIONS "${CTRD_SANITIZE_OPTIONS}")
  endif()
  target_include_directories(${name} SYSTEM PUBLIC "${out}")
  add_library(ctrd::${name} ALIAS ${name})
endfunction()
