# SPDX-License-Identifier: Apache-2.0
"""What the subjects have in common: the harness of the interop tests, and the kernel's files."""

import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "interop"))
from harness import facts, machine  # noqa: E402

SECONDS = 280  # A little less than the machine has.
LOOP = "trap 'exit 3' TERM; touch /ready; while :; do sleep 0.1; done"


def require(*programs):
    """Ends here, skipped, where one of the programs is not there."""
    for program in programs:
        if not shutil.which(program):
            print("skipped: %s is not installed" % program)
            sys.exit(77)


def main(*programs):
    """Plays the tests of the subject that is run, with Debian's client, and ends with their status. `programs` are
    those that it cannot do without."""
    require(*programs)
    module = sys.modules["__main__"]
    sys.exit(facts.main(module.__doc__, [module], "stock-client", SECONDS))


def start(rig, *arguments):
    """A container "box" with LOOP, once it is in it. `arguments`: those of run, the last being the image. Its pid."""
    rig.start(*arguments, "box", "sh", "-c", LOOP)
    rig.wait_for_file("box", "/ready")
    return rig.session.pid_of("box")


def cgroup_of(pid):
    """The folder of its cgroup."""
    for line in machine.read("/proc/%d/cgroup" % pid).decode().splitlines():
        if line.startswith("0::"):
            return "/sys/fs/cgroup" + line[len("0::"):]
    raise AssertionError("process %d has no cgroup of version 2" % pid)


def value(folder, name):
    """A file of a cgroup, as text."""
    with open(os.path.join(folder, name), encoding="utf-8") as handle:
        return handle.read().strip()


def keys(folder, name):
    """A file of a cgroup that has a key and a number on each line."""
    return {key: int(number) for key, number in (line.split() for line in value(folder, name).splitlines())}
