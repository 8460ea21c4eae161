#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Limits, metrics, ends by the kernel and pauses where cgroups are of version 2 alone."""

import json
import os
import re
import subprocess

import inside
from harness import api, machine
from harness.rig import expect

METRICS = "io.containerd.cgroups.v2.Metrics"
MEMORY = 64 << 20
UNLIMITED = (1 << 64) - 1
BUSY = "trap 'exit 3' TERM; while :; do :; done"


def metrics(rig, container):
    """(type, what Debian's client reads from it)."""
    answer = api.quiet(rig.session, "Tasks/Metrics", filters=["id==" + container])
    shown = rig.ctr("tasks", "metrics", "--format", "json", container)
    expect(shown.code == 0, shown.err)
    return api.field(answer, "type_url"), json.loads(shown.out)


def update(rig, container, **resources):
    done = api.quiet(rig.session, "Tasks/Update", container_id=container,
                     resources=api.any_json("LinuxResources", resources))
    expect(done.code == 0, done.err)


def folder_of(rig, container):
    return inside.cgroup_of(rig.session.pid_of(container))


def test_metrics_are_of_version_2(rig):
    """metrics are of version 2, and are what the kernel's files say"""
    rig.start("--memory-limit", str(MEMORY), rig.image(), "box", "sh", "-c", BUSY)
    folder = folder_of(rig, "box")
    kind, first = metrics(rig, "box")
    expect(kind == METRICS, "the type is %s" % kind)
    expect(first["pids"] == {"current": 1, "limit": UNLIMITED}, str(first["pids"]))
    memory, kept = first["memory"], inside.keys(folder, "memory.stat")
    expect((memory["usage_limit"], memory["swap_limit"]) == (MEMORY, UNLIMITED), str(memory))
    expect(0 < memory["usage"] <= MEMORY and memory["kernel_stack"] == kept["kernel_stack"], str(memory))
    sizes = sorted(name.split(".")[1] for name in os.listdir(folder) if re.fullmatch(r"hugetlb\.\w+\.max", name))
    told = sorted((one["pagesize"], one["max"]) for one in first["hugetlb"])
    expect(told == [(size, UNLIMITED) for size in sizes] and sizes, "%s: %s" % (told, sizes))

    def more():
        return metrics(rig, "box")[1]["cpu"]["usage_usec"] > first["cpu"]["usage_usec"] + 100000
    machine.wait_until("the time of a busy process to be told", more)
    told = metrics(rig, "box")[1]["cpu"]
    kept = inside.keys(folder, "cpu.stat")
    expect(all(0 < told[name] <= kept[name] for name in ("usage_usec", "user_usec")), "%s: %s" % (told, kept))


def test_metrics_by_either_client(rig):
    """our client names the metrics that Debian's names"""
    inside.start(rig, rig.image())
    names = {client: [line.split()[0] for line in rig.ctr("tasks", "metrics", "box", client=client).out.splitlines() if line]
             for client in ("ours", "reference")}
    expect(names["ours"] == names["reference"] and "memory.swap_limit" in names["ours"], str(names))


def test_controllers(rig):
    """a container's cgroup has every controller that the kernel has, and hands none down"""
    inside.start(rig, rig.image())
    folder = folder_of(rig, "box")
    for name in ("cgroup.controllers", "cgroup.subtree_control"):
        expected = inside.value("/sys/fs/cgroup", "cgroup.controllers") if name == "cgroup.controllers" else ""
        expect(inside.value(folder, name) == expected, "%s: %s" % (name, inside.value(folder, name)))


def test_limits(rig):
    """limits of memory, processor and processes, set at first and updated"""
    inside.start(rig, "--memory-limit", str(MEMORY), "--cpus", "0.5", "--cpu-shares", "512", rig.image())
    folder = folder_of(rig, "box")

    def limits():
        return [inside.value(folder, name) for name in ("memory.max", "cpu.max", "cpu.weight", "pids.max")]
    expect(limits() == [str(MEMORY), "50000 100000", "20", "max"], str(limits()))
    update(rig, "box", memory={"limit": 2 * MEMORY}, cpu={"quota": 80000, "period": 100000}, pids={"limit": 20})
    expect(limits()[:2] == [str(2 * MEMORY), "80000 100000"] and limits()[3] == "20", str(limits()))
    _, told = metrics(rig, "box")
    expect((told["memory"]["usage_limit"], told["pids"]["limit"]) == (2 * MEMORY, 20), str(told))
    # Well over it: the runtime's own threads count for a moment.
    done = rig.execute("box", "sh", "-c", "for i in $(seq 25); do sleep 1 & done; echo not reached")
    expect(done.code == 2 and "can't fork" in done.err and not done.out, "%s" % done)


def test_out_of_memory(rig):
    """who asks for too much is killed: TaskOOM, then TaskExit with 137"""
    path = os.path.join(rig.folder, "events")
    with open(path, "wb") as out:
        events = subprocess.Popen(rig.session.command("events"), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
    try:
        machine.wait_until("events to come", lambda: rig.image() and b"/images/" in machine.read(path))
        image = rig.image()
        done = rig.run("--memory-limit", str(16 << 20), image, "fat", "tail", "/dev/zero", timeout=60)
        expect(done.code == 137, "%s" % done)
        machine.wait_until("the event of the end", lambda: b"/tasks/exit" in machine.read(path))
        topics = re.findall(r" (/tasks/\w+) ", machine.read(path).decode())
        expect(topics[:4] == ["/tasks/create", "/tasks/start", "/tasks/oom", "/tasks/exit"], str(topics))
        expect(b'"exit_status":137' in machine.read(path), "the event tells the status")
    finally:
        events.kill()
        events.wait()


def test_an_exec_out_of_memory(rig):
    """an exec that asks for too much is killed alone"""
    inside.start(rig, "--memory-limit", str(16 << 20), rig.image())
    done = rig.execute("box", "tail", "/dev/zero")
    expect(done.code == 137, "%s" % done)
    expect(rig.session.status_of("box") == "RUNNING", "the container goes on")
    _, told = metrics(rig, "box")
    expect(told["memory_events"]["oom_kill"] == 1, str(told["memory_events"]))


def test_pause(rig):
    """pause freezes the cgroup, resume thaws it, and a paused container can be killed"""
    rig.start(rig.image(), "box", "sh", "-c", BUSY)
    folder = folder_of(rig, "box")
    for command, frozen, status in (("pause", 1, "PAUSED"), ("resume", 0, "RUNNING"), ("pause", 1, "PAUSED")):
        expect(rig.ctr("tasks", command, "box").code == 0, command)
        expect(inside.keys(folder, "cgroup.events")["frozen"] == frozen, command)
        expect(rig.session.status_of("box") == status, command)
    expect(rig.ctr("tasks", "kill", "-s", "SIGKILL", "box").code == 0, "kill of a paused container")
    rig.session.wait_for_status("box", "STOPPED")


def test_nothing_is_left(rig):
    """no cgroup is left after a delete, whether a container ended or was removed by force"""
    image = rig.image()
    top = "/sys/fs/cgroup/" + rig.session.namespace
    for number in range(2):
        inside.start(rig, image)
        folder = folder_of(rig, "box")
        expect(folder == top + "/box", folder)
        if number == 0:
            expect(rig.ctr("tasks", "kill", "box").code == 0, "kill")
            rig.session.wait_for_status("box", "STOPPED")
            expect(metrics(rig, "box")[0] == METRICS, "metrics are there until the delete")
        expect(rig.ctr("tasks", "rm", "-f", "box").code == 0, "rm -f")
        expect(not os.path.exists(folder), "%s is still there" % folder)
        expect(rig.ctr("containers", "rm", "box").code == 0, "containers rm")
    expect(rig.run("--rm", image, "once", "true").code == 0, "run --rm")
    expect(os.listdir(top) and not [name for name in os.listdir(top) if os.path.isdir(os.path.join(top, name))],
           "cgroups are left: %s" % os.listdir(top))


if __name__ == "__main__":
    inside.main()
