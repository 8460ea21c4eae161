#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""crun in runc's place: the whole life of a container."""

import os

import inside
from harness import api
from harness.rig import expect


def started(rig, *more):
    return inside.start(rig, "--runc-binary", "crun", *more, rig.image())


def test_output_and_status(rig):
    """what a program says and its status come back"""
    done = rig.run("--rm", "--runc-binary", "crun", rig.image(), "once", "sh", "-c", "echo out; echo err >&2; exit 5")
    expect((done.code, done.out, done.err) == (5, "out\n", "err\n"), "%s" % done)


def test_it_is_crun(rig):
    """crun and nothing else made the container: its state is there, and runc's is not"""
    pid = started(rig)
    folder = os.path.join("/run/containerd/runc", rig.session.namespace, "box")
    kept = sorted(os.listdir(folder))
    expect("status" in kept and "state.json" not in kept, "%s has %s" % (folder, kept))
    expect(inside.cgroup_of(pid).endswith("/%s/box" % rig.session.namespace), inside.cgroup_of(pid))


def test_exec(rig):
    """exec: output, status, a program that is not there, a signal"""
    started(rig)
    done = rig.execute("box", "sh", "-c", "echo inside; exit 4")
    expect((done.code, done.out) == (4, "inside\n"), "%s" % done)
    done = rig.execute("box", "/no/such/program")
    expect(done.code == 1 and "No such file or directory" in done.err, "%s" % done)
    expect(rig.execute("box", "sleep", "1000", flags=("-d",), name="long").code == 0, "exec -d")
    expect(rig.ctr("tasks", "kill", "--exec-id", "long", "-s", "SIGKILL", "box").code == 0, "kill of an exec")
    waited = api.quiet(rig.session, "Tasks/Wait", container_id="box", exec_id="long")
    expect(api.field(waited, "exit_status") == "137", "%s" % waited)


def test_pause_update_metrics(rig):
    """pause, resume, update, processes and metrics"""
    pid = started(rig, "--memory-limit", str(64 << 20))
    folder = inside.cgroup_of(pid)
    expect(inside.value(folder, "memory.max") == str(64 << 20), inside.value(folder, "memory.max"))
    for command, frozen, status in (("pause", 1, "PAUSED"), ("resume", 0, "RUNNING")):
        done = rig.ctr("tasks", command, "box")
        expect(done.code == 0, "%s" % done)
        expect(inside.keys(folder, "cgroup.events")["frozen"] == frozen, command)
        expect(rig.session.status_of("box") == status, command)
    done = api.quiet(rig.session, "Tasks/Update", container_id="box",
                     resources=api.any_json("LinuxResources", {"memory": {"limit": 32 << 20}, "pids": {"limit": 9}}))
    expect(done.code == 0, done.err)
    expect((inside.value(folder, "memory.max"), inside.value(folder, "pids.max")) == (str(32 << 20), "9"), "update")
    expect(str(pid) in rig.ctr("tasks", "ps", "box").out, "ps tells the first process")
    expect("memory.usage_limit" in rig.ctr("tasks", "metrics", "box").out, "metrics")


def test_end(rig):
    """kill, delete, and nothing is left"""
    folder = inside.cgroup_of(started(rig))
    expect(rig.ctr("tasks", "kill", "box").code == 0, "kill")
    rig.session.wait_for_status("box", "STOPPED")
    done = rig.ctr("tasks", "kill", "box")
    expect(done.code == 1 and "process already finished" in done.err, "%s" % done)
    done = rig.ctr("tasks", "rm", "box")
    expect(done.code == 0 and "non-zero exit code 3" in done.err, "rm tells the status: %s" % done)
    rig.ctr("containers", "rm", "box")
    expect(not os.path.exists(folder), folder + " is left")
    expect(os.listdir(os.path.join("/run/containerd/runc", rig.session.namespace)) == [], "crun's state is left")


def test_out_of_memory(rig):
    """who asks for too much is killed"""
    done = rig.run("--runc-binary", "crun", "--memory-limit", str(16 << 20), rig.image(), "fat", "tail", "/dev/zero")
    expect(done.code == 137, "%s" % done)


def test_errors(rig):
    """what crun complains of reaches the client"""
    image = rig.image()
    done = rig.run("--rm", "--runc-binary", "crun", image, "none", "/no/such/program")
    expect(done.code == 1, "%s" % done)
    expect("OCI runtime create failed" in done.err and "No such file or directory" in done.err, done.err)
    # Our client writes the version of specifications that 2.3's does, and Debian's crun is older than that.
    done = rig.run("--rm", "--runc-binary", "crun", image, "none", "true", client="ours")
    expect(done.code == 1 and "OCI runtime create failed: unknown version specified" in done.err, "%s" % done)


if __name__ == "__main__":
    inside.main("crun")
