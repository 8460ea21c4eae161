# SPDX-License-Identifier: Apache-2.0
"""Plays tests that state facts about our daemon, shim and client: functions called test_…, each with a Rig."""

import argparse
import os
import shutil
import tempfile
import traceback
from types import SimpleNamespace

from harness import machine
from harness.rig import Rig, Skipped
from harness.session import COMBINATIONS, Session

SECONDS = 265  # A little less than ctest allows.


def tests(modules, only):
    for module in modules:
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
    except TimeoutError:
        raise
    except Exception:
        rig.clear()
        return "%s (%s):\n%s" % (what, function.__name__, traceback.format_exc())
    print("holds: %s" % what)
    return None


def main(description, modules, combination="our-client", seconds=SECONDS):
    """Plays the tests of `modules`; the exit status."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--only", default="", help="tests whose name has this word")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("runc") or not os.path.exists("/usr/bin/ctr"):
        print("skipped: needs root, runc and Debian's ctr")
        return 77
    machine.end_in_time(seconds)
    folder = tempfile.mkdtemp(prefix="ctrd-it-facts-")
    failures, count = [], 0
    try:
        with Session(COMBINATIONS[combination], os.path.abspath(options.bin_dir),
                     SimpleNamespace(host="no-registry"), folder) as session:
            rig = Rig(session, folder)
            for function in tests(modules, options.only):
                count += 1
                failures += filter(None, [play(function, rig)])
        failures += session.failures
    finally:
        shutil.rmtree(folder)
    for failure in failures:
        print("\nFAILED: " + failure)
    print("%d tests, %d failures" % (count, len(failures)))
    return 1 if failures or not count else 0
