#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""gVisor's runsc in runc's place, with cgroups of its own: the whole life of a container."""

import os

import inside
from harness import api
from harness.rig import expect

FLAGS = ("--runc-binary", "runsc")


def test_output_and_status(rig):
    """what a program says and its status come back, and the kernel that answers is gVisor's"""
    done = rig.run("--rm", *FLAGS, rig.image(), "once", "sh", "-c", "cat /proc/version; echo err >&2; exit 5", timeout=60)
    expect(done.code == 5 and "Linux version 4.4.0" in done.out and done.err == "err\n", "%s" % done)


def test_life(rig):
    """exec, processes, pause, resume, kill, delete; its cgroup has the limit and is gone at the end"""
    done = rig.run("-d", "--null-io", *FLAGS, "--memory-limit", str(256 << 20), rig.image(), "box", "sh", "-c", inside.LOOP,
                   timeout=60)
    expect(done.code == 0, "%s" % done)
    folder = inside.cgroup_of(rig.session.pid_of("box"))
    expect(folder.endswith("/%s/box" % rig.session.namespace), folder)
    expect(inside.value(folder, "memory.max") == str(256 << 20), inside.value(folder, "memory.max"))
    done = rig.execute("box", "sh", "-c", "until [ -e /ready ]; do sleep 0.1; done; echo inside; exit 4")
    expect((done.code, done.out) == (4, "inside\n"), "%s" % done)
    expect(rig.execute("box", "/no/such/program").code == 1, "a program that is not there")
    expect(rig.ctr("tasks", "ps", "box").code == 0, "ps")
    for command, status in (("pause", "PAUSED"), ("resume", "RUNNING")):
        done = rig.ctr("tasks", command, "box")
        expect(done.code == 0 and rig.session.status_of("box") == status, "%s: %s" % (command, done))
    answer = api.quiet(rig.session, "Tasks/Metrics", filters=["id==box"])
    expect(api.field(answer, "type_url") == "io.containerd.cgroups.v2.Metrics", "%s" % answer)
    expect(rig.ctr("tasks", "kill", "box").code == 0, "kill")
    rig.session.wait_for_status("box", "STOPPED")
    done = rig.ctr("tasks", "rm", "box")
    expect(done.code == 0 and "exit code 3" in done.err, "%s" % done)
    expect(not os.path.exists(folder), folder + " is left")


if __name__ == "__main__":
    inside.main("runsc")
