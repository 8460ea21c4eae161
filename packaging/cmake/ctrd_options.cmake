# SPDX-License-Identifier: Apache-2.0
# How everything of ours is compiled.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
# Debug information only as deep as a stack trace needs: a third of the size and of the link time.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

find_program(CTRD_CCACHE ccache)
if(CTRD_CCACHE)
  # With precompiled headers ccache must be told not to mind their time stamps; paths relative to
  # the source directory make two checkouts share what was compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CTRD_CCACHE})
endif()
find_program(CTRD_MOLD mold)
if(CTRD_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-fdiagnostics-color=always)
set(CTRD_WARNINGS -Wall -Wextra -Werror -Wshadow=local -Wnon-virtual-dtor -Woverloaded-virtual
    -Wimplicit-fallthrough -Wno-missing-field-initializers
    # With optimisation g++ 12 sees overlaps and overruns inside std::string and StatusOr that are none
    # (bugs 105329, 105651 of GCC).
    -Wno-restrict -Wno-stringop-overread -Wno-stringop-overflow -Wno-array-bounds -Wno-maybe-uninitialized
    -Wno-free-nonheap-object)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND CTRD_WARNINGS -Wno-unknown-warning-option)
endif()
add_compile_definitions(FMT_HEADER_ONLY SPDLOG_FMT_EXTERNAL_HO)
add_compile_options(-ffunction-sections -fdata-sections -fno-semantic-interposition)
add_link_options(-Wl,--gc-sections)
add_compile_options(-fstack-protector-strong)
add_compile_definitions($<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)

# Our own code only: generated code is the release's, and comes out of ccache (but for tsan's in ctrd_protos). Of the
# undefined behaviours, those that AddressSanitizer sees too are left to it: they double the time to compile.
set(CTRD_SANITIZE_OPTIONS "")
if(CTRD_SANITIZE)
  set(CTRD_SANITIZE_OPTIONS -fsanitize=${CTRD_SANITIZE} -fno-omit-frame-pointer -O0 -U_FORTIFY_SOURCE)
  if(CTRD_SANITIZE MATCHES "undefined")
    list(APPEND CTRD_SANITIZE_OPTIONS -fno-sanitize=null,alignment,object-size,vptr,pointer-overflow
         -fno-sanitize-recover=undefined)
  endif()
  if(CTRD_SANITIZE MATCHES "thread")
    # Protobuf's maps are larger where they see this macro, and what the system has was compiled without. The other
    # tells the standard library, which sees the same macro, to use atomic operations of one size only.
    list(APPEND CTRD_SANITIZE_OPTIONS -U__SANITIZE_THREAD__ -D_GLIBCXX_TSAN=1)
  endif()
  add_link_options(-fsanitize=${CTRD_SANITIZE})
endif()
