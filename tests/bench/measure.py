# SPDX-License-Identifier: Apache-2.0
"""Clocks and scales: how long a call takes, how much memory a process has to itself."""

import re
import statistics
import subprocess
import time

from harness import machine


def seconds(function, *arguments):
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def call(command):
    """Runs a command that must succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("%s: exit status %d\n%s" % (" ".join(command), done.returncode, done.stderr.decode()[-2000:]))
    return done.stdout.decode()


def pss(pid):
    """Proportional set size in MB: private memory, and a share of what is shared."""
    match = re.search(rb"^Pss:\s+(\d+) kB", machine.read("/proc/%d/smaps_rollup" % pid), re.M)
    return int(match[1]) / 1024 if match else float("nan")


def median(values):
    return statistics.median(values) if values else float("nan")


class Samples:
    """name -> side -> values; printed as one table with ratios."""

    def __init__(self):
        self.values = {}

    def add(self, name, side, *values):
        self.values.setdefault(name, {}).setdefault(side, []).extend(values)

    def median(self, name, side):
        return median(self.values.get(name, {}).get(side, []))

    def ratio(self, name, ours="ours", reference="reference"):
        return self.median(name, ours) / self.median(name, reference)
