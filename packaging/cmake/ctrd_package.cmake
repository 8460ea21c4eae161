# SPDX-License-Identifier: Apache-2.0
# `cmake --install` and the Debian package of CPack (`make package`).

include(GNUInstallDirs)
foreach(program IN ITEMS containerd ctr containerd-shim-runc-v2)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
install(FILES packaging/systemd/containerd.service DESTINATION lib/systemd/system)
install(FILES packaging/completions/ctr DESTINATION share/bash-completion/completions)
install(FILES LICENSE README.md DESTINATION share/doc/containerd-cpp)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME containerd-cpp)
set(CPACK_PACKAGE_CONTACT "the project <containerd-cpp@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "containerd in C++: daemon, shim and client")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# libcurl is loaded at run time: nothing of the program tells of it.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "runc, libcurl4")
set(CPACK_DEBIAN_PACKAGE_CONFLICTS "containerd, containerd.io")
set(CPACK_DEBIAN_PACKAGE_PROVIDES "containerd")
set(CPACK_DEBIAN_PACKAGE_REPLACES "containerd, containerd.io")
include(CPack)
