#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Commands of our ctr that no scenario compares with Debian's, on our daemon: checkpoints, events, the shim, user
namespaces.

usage: commands.py --bin-dir DIR [--only WORD]
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import commands_checkpoint  # noqa: E402
import commands_events  # noqa: E402
import commands_run  # noqa: E402
from harness.facts import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(__doc__, [commands_run, commands_checkpoint, commands_events]))
