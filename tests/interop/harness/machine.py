# SPDX-License-Identifier: Apache-2.0
"""What the kernel says about processes, mounts and cgroups, and how to wait for it."""

import os
import re
import signal
import socket
import time


class TimedOut(Exception):
    pass


def wait_until(what, condition, seconds=20.0):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimedOut("waited %.0f s for %s" % (seconds, what))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def end_in_time(seconds):
    """After so long, or when somebody ends us: an exception, so that what was started is ended by us."""
    def give_up(number, _):
        raise TimeoutError("signal %d: it took too long, or somebody ended it" % number)
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, give_up)
    signal.alarm(seconds)


def read(path):
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except OSError:
        return b""


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_line(pid):
    return read("/proc/%d/cmdline" % pid).replace(b"\0", b" ").decode(errors="replace").strip()


def alive(pid):
    """Whether the process runs; a zombie does not."""
    match = re.match(rb"\d+ \(.*\) (\w)", read("/proc/%d/stat" % pid), re.S)
    return bool(match) and match[1] not in b"ZX"


def mounts():
    """Mount points of this mount namespace."""
    found = []
    for line in read("/proc/self/mountinfo").decode(errors="replace").splitlines():
        found.append(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4]))
    return found


def shims(words):
    """Pids of shims whose arguments, environment or directory name one of `words`."""
    found = []
    for pid in processes():
        line = command_line(pid)
        if "containerd-shim" not in line.split(" ")[0] or not alive(pid):
            continue
        try:
            where = os.readlink("/proc/%d/cwd" % pid)
        except OSError:
            where = ""
        text = " ".join([line, where, read("/proc/%d/environ" % pid).replace(b"\0", b" ").decode(errors="replace")])
        if any(word in text for word in words):
            found.append(pid)
    return found


def cgroup_folders(name):
    """Cgroup directories called `name` at the top of any hierarchy, both versions."""
    tops = ["/sys/fs/cgroup"] + [os.path.join("/sys/fs/cgroup", top) for top in os.listdir("/sys/fs/cgroup")]
    return [path for path in (os.path.join(top, name) for top in tops) if os.path.isdir(path)]


def in_cgroups(name):
    """Pids in the cgroup `name` or below it."""
    pids = set()
    for top in cgroup_folders(name):
        for folder, _, files in os.walk(top):
            if "cgroup.procs" in files:
                pids.update(int(pid) for pid in read(os.path.join(folder, "cgroup.procs")).split())
    return sorted(pids)


def remove_cgroups(name):
    for top in cgroup_folders(name):
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass


def end(pid, sig=signal.SIGKILL):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
