# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon with five containers running: they go on, and the next daemon has them all."""

import os
import signal

from harness import images, machine

IMAGE = "local.test/small:1"
NAMES = ["five-%d" % number for number in range(5)]


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), "local.test/small:1")


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    for name in NAMES:
        s.run("-d", IMAGE, name, "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done", name="run " + name)
    pids = {name: s.pid_of(name) for name in NAMES}
    for name, pid in pids.items():
        s.names[str(pid)] = "PID-" + name
    s.ctr("tasks", "ls", compare="rows", name="tasks ls before")

    s.daemon.kill()
    s.expect(all(machine.alive(pid) for pid in pids.values()), "containers outlive the daemon")
    # One ends while nobody looks: its status must be found again.
    os.kill(pids[NAMES[4]], signal.SIGKILL)
    machine.wait_until("the fifth to end", lambda: not machine.alive(pids[NAMES[4]]))
    s.daemon.start()
    s.wait_for_status(NAMES[0], "RUNNING")
    s.wait_for_status(NAMES[4], "STOPPED")
    s.ctr("tasks", "ls", compare="rows", name="tasks ls after")
    s.ctr("containers", "ls", name="containers ls after")
    s.ctr("images", "ls", name="images ls after")
    s.ctr("snapshots", "ls", name="snapshots ls after")
    s.expect({name: s.pid_of(name) for name in NAMES[:4]} == {name: pids[name] for name in NAMES[:4]},
             "the pids are the same")
    s.expect(all(machine.alive(pids[name]) for name in NAMES[:4]), "adoption kills nobody")
    for name in NAMES[:4]:
        s.ctr("tasks", "exec", "--exec-id", "look", name, "sh", "-c", "echo inside; exit 4", name="exec in " + name)
    s.ctr("tasks", "rm", NAMES[4], name="rm of the one that ended meanwhile")
    s.ctr("tasks", "kill", NAMES[0], name="kill")
    s.wait_for_status(NAMES[0], "STOPPED")
    s.ctr("tasks", "rm", NAMES[0], name="rm after SIGTERM")

    s.daemon.kill()
    s.daemon.start()
    s.wait_for_status(NAMES[1], "RUNNING")
    s.expect(s.daemon.stop() == 0, "SIGTERM ends the daemon with 0")
    s.expect(all(machine.alive(pids[name]) for name in NAMES[1:4]), "SIGTERM of the daemon leaves containers alone")
    s.daemon.start()
    s.wait_for_status(NAMES[1], "RUNNING")
    for name in NAMES[1:4]:
        s.ctr("tasks", "kill", "-s", "SIGKILL", name, name="kill " + name)
        s.wait_for_status(name, "STOPPED")
        s.ctr("tasks", "rm", name, name="rm " + name)
    for name in NAMES:
        s.ctr("containers", "rm", name, name="containers rm " + name)
    s.ctr("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")
