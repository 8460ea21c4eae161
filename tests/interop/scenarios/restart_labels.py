# SPDX-License-Identifier: Apache-2.0
"""The restart monitor: containers labelled containerd.io/restart.* come back, or go, as their labels say."""

import os
import signal

from harness import images, machine

IMAGE = "local.test/small:1"
STATUS = "containerd.io/restart.status"
LOOP = ("sh", "-c", "echo started; while :; do sleep 0.1; done")


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), "local.test/small:1")


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    log = os.path.join(s.folder, "restarted.log")
    # The labels come when the task is there: a pass between the container and its task would start another one.
    s.run("-d", IMAGE, "kept", *LOOP, name="run labelled", compare="code")
    s.ctr("containers", "label", "kept", STATUS + "=running", "containerd.io/restart.loguri=file://" + log,
          compare="code", name="label the running one")
    s.run("-d", IMAGE, "late", *LOOP, name="run without labels", compare="code")

    # What ends comes back, and writes to its log.
    came_back(s, "kept", kill(s, "kept"))
    machine.wait_until("the output of a restarted task in its log URI", lambda: machine.read(log) == b"started\n")
    # Labels set later count as well.
    s.ctr("containers", "label", "late", STATUS + "=running", compare="code")
    came_back(s, "late", kill(s, "late"))

    # A wanted end.
    s.ctr("containers", "label", "kept", STATUS + "=stopped", compare="code")
    s.wait_for_status("kept", None)
    s.ctr("tasks", "rm", "kept", name="rm of what the monitor deleted")
    s.ctr("containers", "label", "kept", STATUS + "=running", compare="code")
    s.wait_for_status("kept", "RUNNING")

    # While no daemon looks.
    pid = s.pid_of("kept")
    s.daemon.kill()
    os.kill(pid, signal.SIGKILL)
    machine.wait_until("the container to end", lambda: not machine.alive(pid))
    s.daemon.start()
    came_back(s, "kept", pid)

    # Without its label a container is free again: the other one shows that passes went by.
    s.ctr("containers", "label", "late", STATUS + "=", compare="code")
    kill(s, "late")
    for _ in range(2):
        came_back(s, "kept", kill(s, "kept"))
    s.expect(s.status_of("late") == "STOPPED", "what is not labelled stays down")

    s.ctr("containers", "label", "kept", STATUS + "=", compare="code")
    kill(s, "kept")
    for name in ("kept", "late"):
        s.wait_for_status(name, "STOPPED")
        s.ctr("tasks", "rm", name, compare="code")
        s.ctr("containers", "rm", name)
    s.ctr("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def kill(s, name):
    """Kills its process, not through the daemon; returns the pid."""
    pid = s.pid_of(name)
    os.kill(pid, signal.SIGKILL)
    return pid


def came_back(s, name, old_pid):
    machine.wait_until("%s to come back" % name,
                       lambda: s.status_of(name) == "RUNNING" and s.pid_of(name) != old_pid)
