// SPDX-License-Identifier: Apache-2.0

// toml++ as the files of this folder use it. Nodes are moved, never copied: a copy forgets the file
// and line it came from, which the error messages need.
#pragma once

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>
