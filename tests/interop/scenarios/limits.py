# SPDX-License-Identifier: Apache-2.0
"""Ends that the kernel brings about: signals, memory and processes over the limit."""

import os
import signal
import subprocess

from harness import api, images, machine
from harness.session import Result

IMAGE = "local.test/small:1"
SIGNALS = ("HUP", "INT", "ILL", "ABRT", "FPE", "KILL", "USR1", "SEGV", "PIPE", "TERM", "XCPU")
MEMORY = 16 << 20
FURTHER = 5  # Containers that Debian's shim may end without a word of memory.


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), IMAGE)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    path = os.path.join(s.folder, "events")
    with open(path, "wb") as out:
        events = subprocess.Popen(s.command("events"), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        s.run("-d", IMAGE, "box", "sleep", "1000")
        signals(s)
        memory(s, path)
        processes(s)
        s.ctr("tasks", "rm", "-f", "box")
        s.quiet("containers", "rm", "box")
    finally:
        events.kill()
        events.wait()
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def ended(s, exec_id, *arguments):
    """Runs an exec to its end and returns the status."""
    api.quiet(s, "Tasks/Exec", container_id="box", exec_id=exec_id, spec=api.process(*arguments))
    started = api.quiet(s, "Tasks/Start", container_id="box", exec_id=exec_id)
    waited = api.quiet(s, "Tasks/Wait", container_id="box", exec_id=exec_id)
    deleted = api.quiet(s, "Tasks/DeleteProcess", container_id="box", exec_id=exec_id)
    s.expect((started.code, waited.code, deleted.code) == (0, 0, 0), "exec %s: %s %s %s" % (exec_id, started, waited, deleted))
    status = int(api.field(waited, "exit_status") or 0)
    s.expect(int(api.field(deleted, "exit_status") or 0) == status, "Delete tells the status that Wait told: %s" % deleted)
    return status


def signals(s):
    for name in SIGNALS:
        number = int(signal.Signals["SIG" + name])
        status = ended(s, "by-" + name, "sh", "-c", "kill -%d $$; sleep 10" % number)
        s.expect(status == 128 + number, "an end by %s is %d: %d" % (name, 128 + number, status))
    for code in (0, 1, 127, 255):
        status = ended(s, "with-%d" % code, "sh", "-c", "exit %d" % code)
        s.expect(status == code, "an end with %d is that: %d" % (code, status))


def of(path, topic, container):
    return [line for line in machine.read(path).decode(errors="replace").splitlines()
            if " %s " % topic in line and '"container_id":"%s"' % container in line]


def reason_told(s, path, container):
    """Whether an event told why the container was killed; it is removed."""
    machine.wait_until("the event of the end", lambda: of(path, "/tasks/exit", container))
    s.expect('"exit_status":137' in of(path, "/tasks/exit", container)[0], "the event has the status")
    try:
        told = machine.wait_until("the event of the reason", lambda: of(path, "/tasks/oom", container), 5)
    except machine.TimedOut:
        told = False
    s.quiet("tasks", "rm", "-f", container)
    s.quiet("containers", "rm", container)
    return bool(told)


def memory(s, path):
    """Who asks for more than there is gets killed, and an event tells why."""
    run = ("--memory-limit", str(MEMORY), IMAGE)
    s.run(*run, "fat", "tail", "/dev/zero", name="run out of memory")
    told = reason_told(s, path, "fat")
    # Debian's shim loses the event when the cgroup goes first: beside load 8 of 40 under either daemon. Ours: 0 of 40.
    for number in range(FURTHER if s.combination.shim == "reference" else 0):
        if not told:
            further = "fat%d" % number
            s.quiet("run", *s.runtime_flags, *run, further, "tail", "/dev/zero")
            told = reason_told(s, path, further)
    s.expect(told, "the event of the reason")
    # An exec that is killed does not take the container with it.
    api.call(s, "Tasks/Update", "set a limit of memory", container_id="box",
             resources=api.any_json("LinuxResources", {"memory": {"limit": MEMORY}}))
    status = ended(s, "fat", "tail", "/dev/zero")
    s.expect(status == 137, "the exec is killed: %d" % status)
    machine.wait_until("the event of the exec's reason", lambda: of(path, "/tasks/oom", "box"), 5)
    s.expect(s.status_of("box") == "RUNNING", "the container goes on")


def processes(s):
    api.call(s, "Tasks/Update", "set a limit of processes", container_id="box",
             resources=api.any_json("LinuxResources", {"pids": {"limit": 24}}))
    # Room for the threads of runc, which are counted until the program takes its place.
    forks = "i=0; while [ $i -lt 30 ]; do sleep 1 & i=$((i + 1)); done; sleep 0.5"
    s.ctr("tasks", "exec", "--exec-id", "forks", "box", "sh", "-c", forks, compare="code", name="exec of too many processes")
    shown = s.quiet("tasks", "metrics", "box", client="reference").out
    s.expect("pids.limit" in shown, "metrics tell the limit: %s" % shown)
    s.record("limits in the metrics", "tasks metrics",
             Result(0, "\n".join(line for line in shown.splitlines() if "limit" in line) + "\n", ""), "table")
