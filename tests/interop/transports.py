#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers behind shims that speak gRPC, that are reached through a hypervisor's socket, or that listen in the
abstract space (shim_proxy.cc makes our shim one of those): Debian's ctr on our daemon.

usage: transports.py --bin-dir DIR [--only WORD]
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import transports_life  # noqa: E402
from harness.facts import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(__doc__, [transports_life]))
