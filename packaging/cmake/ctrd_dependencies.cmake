# SPDX-License-Identifier: Apache-2.0
# The packages we build on, each as one interface target ctrd::dep_<name>.
#
# gRPC, protobuf and Abseil are linked from their static archives: a program starts in 3 ms with
# them and in 16 ms with the shared libraries, and there is one copy of Abseil in each process.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_program(CTRD_PROTOC protoc REQUIRED)
find_program(CTRD_GRPC_PLUGIN grpc_cpp_plugin REQUIRED)
set(CTRD_LIBRARY_DIR "/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}")

function(ctrd_dependency name)
  add_library(dep_${name} INTERFACE)
  add_library(ctrd::dep_${name} ALIAS dep_${name})
  target_link_libraries(dep_${name} INTERFACE ${ARGN})
endfunction()

# The static archives of a pkg-config module's closure, in a group: their order does not matter then.
function(ctrd_static_dependency name module)
  execute_process(COMMAND ${PKG_CONFIG_EXECUTABLE} --static --libs-only-l ${module}
                  OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  list(REMOVE_DUPLICATES flags)
  set(archives "")
  foreach(flag IN LISTS flags ITEMS ${ARGN})
    string(REGEX REPLACE "^-l" "" library "${flag}")
    if(library MATCHES "^(dl|rt|m|pthread|c)$")
      continue()
    endif()
    if(EXISTS "${CTRD_LIBRARY_DIR}/lib${library}.a")
      list(APPEND archives "${CTRD_LIBRARY_DIR}/lib${library}.a")
    else()
      list(APPEND archives "-l${library}")
    endif()
  endforeach()
  ctrd_dependency(${name} -Wl,--start-group ${archives} -Wl,--end-group Threads::Threads ${CMAKE_DL_LIBS})
endfunction()

file(GLOB CTRD_ABSL_ARCHIVES "${CTRD_LIBRARY_DIR}/libabsl_*.a")
if(NOT CTRD_ABSL_ARCHIVES)
  message(FATAL_ERROR "Abseil's static libraries are missing: install libabsl-dev")
endif()
list(FILTER CTRD_ABSL_ARCHIVES EXCLUDE REGEX "test|benchmark|scoped_mock")
ctrd_dependency(absl -Wl,--start-group ${CTRD_ABSL_ARCHIVES} -Wl,--end-group Threads::Threads)
ctrd_dependency(fmt)  # Headers only (FMT_HEADER_ONLY): Debian has no static archive of it.
ctrd_dependency(protobuf "${CTRD_LIBRARY_DIR}/libprotobuf.a" "${CTRD_LIBRARY_DIR}/libz.a" Threads::Threads)
ctrd_dependency(protobuf_lite "${CTRD_LIBRARY_DIR}/libprotobuf-lite.a" Threads::Threads)
# Without TLS: the daemon listens on UNIX sockets only.
ctrd_static_dependency(grpc grpc++_unsecure address_sorting upb cares re2 z)

ctrd_dependency(crypto "${CTRD_LIBRARY_DIR}/libcrypto.a" Threads::Threads ${CMAKE_DL_LIBS})
ctrd_dependency(lmdb lmdb)
ctrd_dependency(re2 "${CTRD_LIBRARY_DIR}/libre2.a" Threads::Threads)
ctrd_dependency(isal isal)
ctrd_dependency(zlib "${CTRD_LIBRARY_DIR}/libz.a")
ctrd_dependency(zstd "${CTRD_LIBRARY_DIR}/libzstd.a")
ctrd_dependency(archive archive)
ctrd_dependency(seccomp seccomp)
ctrd_dependency(prometheus prometheus-cpp-core)
ctrd_dependency(civetweb civetweb)  # The HTTP server that prometheus-cpp brings.
ctrd_dependency(spdlog)  # spdlog, nlohmann_json, toml++ and CLI11 are headers in the standard place.
ctrd_dependency(json)
ctrd_dependency(toml)
ctrd_dependency(cli11)
find_package(GTest REQUIRED)
ctrd_dependency(gtest GTest::gmock_main GTest::gmock GTest::gtest)
