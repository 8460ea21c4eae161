#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One test for each published flaw of specifications and of runc that a daemon like this can repeat:
hostile images and command lines against our daemon, shim and client, with the runc of this machine.

usage: security.py --bin-dir DIR [--only WORD]

The tests are the functions of security_spec.py and security_runc.py whose names begin with "test_"; the first
line of their text names the flaw. Exit status 0: all hold; 1: one does not; 77: cannot run here.
"""

import argparse
import os
import shutil
import sys
import tempfile
import traceback
from types import SimpleNamespace

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import security_runc  # noqa: E402
import security_spec  # noqa: E402
from harness.rig import Rig, Skipped  # noqa: E402
from harness.session import COMBINATIONS, Session  # noqa: E402


def tests(only):
    for module in (security_spec, security_runc):
        for name, function in list(vars(module).items()):
            if name.startswith("test_") and only in name:
                yield function


def play(function, rig):
    """What went wrong, or None."""
    what = function.__doc__.splitlines()[0]
    try:
        function(rig)
        rig.clear()
    except Skipped as reason:
        print("skipped: %s: %s" % (what, reason))
        return None
    except Exception:
        rig.clear()
        return "%s (%s):\n%s" % (what, function.__name__, traceback.format_exc())
    print("holds: %s" % what)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--only", default="", help="tests whose name has this word")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("runc") or not os.path.exists("/usr/bin/ctr"):
        print("skipped: needs root, runc and Debian's ctr")
        return 77
    folder = tempfile.mkdtemp(prefix="ctrd-it-security-")
    failures, count = [], 0
    try:
        with Session(COMBINATIONS["our-client"], os.path.abspath(options.bin_dir),
                     SimpleNamespace(host="no-registry"), folder) as session:
            rig = Rig(session, folder)
            for function in tests(options.only):
                count += 1
                failures += filter(None, [play(function, rig)])
        failures += session.failures
    finally:
        shutil.rmtree(folder)
    for failure in failures:
        print("\nFAILED: " + failure)
    print("%d tests, %d failures" % (count, len(failures)))
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main())
