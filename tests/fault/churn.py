#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers made, used and removed at concurrency 8 while shims and the daemon are killed at random.
At the end nothing is left of them, and the daemon weighs and holds what it did before.

usage: churn.py --bin-dir DIR [--cycles N] [--seed N] [--limit SECONDS] [--slowness N]
          CTRD_CHURN_CYCLES is the default of N

--slowness N: for builds with a sanitizer, so many times slower: the kills come at longer intervals, and spare the
sanitizer's own processes; memory, which such a build does not give back, is not compared.
"""

import os
import random
import re
import subprocess
import sys
import time

import field
from field import Field, machine, say

CLIENTS = 8
PREFIX = "churn"


def disturbed(where, source, cycles, seed, slowness, kill_daemon):
    """Runs the client and kills around it. Returns its report and what was killed."""
    client = subprocess.Popen(where.load_command("churn", clients=CLIENTS, count=cycles, seed=seed, prefix=PREFIX),
                              stdout=subprocess.PIPE, text=True)
    killed = {"shims": 0, "daemons": 0}
    next_daemon = time.monotonic() + source.uniform(1, 3) * slowness
    try:
        while client.poll() is None:
            time.sleep(source.uniform(0.05, 0.5) * slowness)
            shims = machine.shims([where.session.namespace])
            if slowness > 1:
                shims = [pid for pid in shims if not is_copy(pid)]
            if shims and source.random() < 0.5:
                machine.end(source.choice(shims))
                killed["shims"] += 1
            if kill_daemon and time.monotonic() > next_daemon:
                where.restart()
                killed["daemons"] += 1
                next_daemon = time.monotonic() + source.uniform(2, 6) * slowness
    finally:
        if client.poll() is None:
            client.kill()
    report = field.json.loads(client.stdout.read() or "{}")
    if not report:
        raise RuntimeError("the client ended with %s" % client.returncode)
    return report, killed


def is_copy(pid):
    """Whether a process is what its parent is: that of LeakSanitizer, which has stopped its parent, at the end of which
    it looks for leaks. Nobody would have the parent go on."""
    line = machine.command_line(pid)
    status = re.search(rb"^PPid:\s*(\d+)", machine.read("/proc/%d/status" % pid), re.M)
    return bool(status) and machine.command_line(int(status[1])) == line


def phase(where, name, source, cycles, slowness, kill_daemon):
    seed = source.randrange(1 << 20)
    started = time.monotonic()
    report, killed = disturbed(where, source, cycles, seed, slowness, kill_daemon)
    taken = time.monotonic() - started
    say("%s: %d cycles in %.0f s, %d of them without an error; killed %d shims, %d daemons; slowest removal %d ms"
        % (name, cycles, taken, report["whole"], killed["shims"], killed["daemons"], report["slowest removal ms"]))
    for text, count in sorted(report["errors"].items(), key=lambda pair: -pair[1]):
        say("  %4d  %s" % (count, text))
    where.expect(not report["stuck"], "%s: could not be removed: %s" % (name, report["stuck"]))
    where.expect(report["whole"] > cycles // 8, "%s: only %d of %d cycles came through" % (name, report["whole"], cycles))


def churn(arguments):
    source, slowness = random.Random(arguments.seed), arguments.slowness
    say("seed %d" % arguments.seed)
    ids = [PREFIX + str(number) for number in range(CLIENTS)]
    with Field(arguments.bin_dir) as where:
        phase(where, "shims and daemons killed", source, arguments.cycles // 2, slowness, True)
        where.check_clean("after the first half", ids)
        # From here on one daemon lives through everything; its first rounds fill its pools.
        phase(where, "shims killed, first", source, max(arguments.cycles // 8, 8), slowness, False)
        where.check_clean("in between", ids)
        pid = where.session.daemon.pid
        before = [field.descriptors(pid), field.status_number(pid, "Threads"), field.status_number(pid, "RssAnon")]
        rest = max(arguments.cycles - arguments.cycles // 2 - arguments.cycles // 8, 8)
        phase(where, "shims killed", source, rest, slowness, False)
        where.check_clean("at the end", ids)
        after = [field.descriptors(pid), field.status_number(pid, "Threads"), field.status_number(pid, "RssAnon")]
        say("the daemon: descriptors, threads, anonymous kB: %s before, %s after %d cycles" % (before, after, rest))
        where.expect(pid == where.session.daemon.pid and machine.alive(pid), "the daemon died")
        where.expect(after[0] <= before[0] + 8, "descriptors grew: %d, %d" % (before[0], after[0]))
        where.expect(after[1] <= before[1] + 8, "threads grew: %d, %d" % (before[1], after[1]))
        where.expect(slowness > 1 or after[2] <= before[2] * 1.25 + 4096,
                     "memory grew: %d kB, %d kB" % (before[2], after[2]))
        where.restart(kill=False)
        where.check_clean("after a restart", ids)
        where.expect(not where.temporary_files(), "temporary files: left behind: %s" % where.temporary_files())


if __name__ == "__main__":
    sys.exit(field.main("churn", churn, 1700, [
        ("--cycles", int, int(os.environ.get("CTRD_CHURN_CYCLES", "2000"))),
        ("--slowness", float, 1),
        ("--seed", int, int.from_bytes(os.urandom(3), "big"))]))
