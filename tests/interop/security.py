#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One test for each published flaw of specifications and of runc that a daemon like this can repeat:
hostile images and command lines against our daemon, shim and client, with the runc of this machine.

usage: security.py --bin-dir DIR [--only WORD]

The tests are the functions of security_spec.py and security_runc.py whose names begin with "test_"; the first
line of their text names the flaw. Exit status 0: all hold; 1: one does not; 77: cannot run here.
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import security_runc  # noqa: E402
import security_spec  # noqa: E402
from harness.facts import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(__doc__, [security_spec, security_runc]))
