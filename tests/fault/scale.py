#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many containers, a daemon that is killed and started again: its API answers at once and all are adopted,
sooner than by Debian's in the same run; a shim that is mute and one that died delay nobody.

usage: scale.py --bin-dir DIR [--containers N] [--limit SECONDS]    CTRD_SCALE_CONTAINERS is the default of N
"""

import os
import signal
import sys
import threading
import time

import field
from field import Field, machine, say

CLIENTS = 4
PREFIX = "scale"


def restart(where, count):
    """kill -9, start: {"answered", "adopted"} in ms from the start of the new process."""
    where.session.daemon.kill()
    if os.path.exists(where.session.daemon.address):
        os.unlink(where.session.daemon.address)
    since = time.monotonic()
    starter = threading.Thread(target=where.session.daemon.start, args=(120,))
    starter.start()  # The client is there before the daemon: what it sees is not rounded by our waiting.
    try:
        return where.load("adoption", count=count, since=since)
    finally:
        starter.join()


def hold(where, count):
    taken = where.load("hold", clients=CLIENTS, count=count, prefix=PREFIX)
    return taken["seconds"]


def reference(arguments):
    with Field(arguments.bin_dir, "reference") as where:
        hold(where, arguments.containers)
        times = [restart(where, arguments.containers) for _ in range(2)]
        where.load("remove", clients=CLIENTS, count=arguments.containers, prefix=PREFIX)
        return min(times, key=lambda one: one["adopted"])


def pids_of(where):
    """Container -> pid of its shim."""
    found = {}
    for pid in machine.shims([where.session.namespace]):
        words = machine.command_line(pid).split()
        if "-id" in words:
            found[words[words.index("-id") + 1]] = pid
    return found


def one_mute_one_dead(where, count, healthy):
    """A shim that does not answer and one that is gone: the other tasks are there as soon as before."""
    shims = pids_of(where)
    mute, dead = PREFIX + "0", PREFIX + "1"
    os.kill(shims[mute], signal.SIGSTOP)
    machine.end(shims[dead])
    times = restart(where, count - 2)
    say("one shim mute, one dead: answer after %(answered).0f ms, all others adopted after %(adopted).0f ms" % times)
    # Far below the budget of a mute shim, 5 s, and whatever a busy machine adds to both.
    where.expect(times["adopted"] < healthy["adopted"] + 3000, "the others waited for the mute shim")
    os.kill(shims[mute], signal.SIGCONT)
    machine.wait_until("the mute shim's task to be listed again",
                       lambda: where.load("adoption", count=count - 1, since=time.monotonic()), 60)


def scale(arguments):
    count = arguments.containers
    theirs = reference(arguments)
    with Field(arguments.bin_dir) as where:
        seconds = hold(where, count)
        say("%d containers started in %.1f s, %d at a time" % (count, seconds, CLIENTS))
        ours = min([restart(where, count) for _ in range(2)], key=lambda one: one["adopted"])
        ratio = ours["adopted"] / theirs["adopted"]
        say("restart with %d: Debian's: answer %.0f ms, adopted %.0f ms; ours: answer %.0f ms, adopted %.0f ms; "
            "ratio %.2f, budget 0.3" % (count, theirs["answered"], theirs["adopted"], ours["answered"],
                                        ours["adopted"], ratio))
        one_mute_one_dead(where, count, ours)
        where.load("remove", clients=CLIENTS, count=count, prefix=PREFIX)
        where.check_clean("at the end", [PREFIX + str(number) for number in range(count)])


if __name__ == "__main__":
    sys.exit(field.main("scale", scale, 1700, [
        ("--containers", int, int(os.environ.get("CTRD_SCALE_CONTAINERS", "300")))]))
