#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and restores with CRIU itself: a process goes on where it was."""

import os

import inside
from harness import machine
from harness.rig import expect

# What it counts is in its memory alone; the file tells it.
COUNT = "i=0; while :; do i=$((i+1)); echo $i > /count.new; mv /count.new /count; sleep 0.05; done"


def start(rig, image):
    rig.start(image, "box", "sh", "-c", COUNT)
    wait_for_count(rig, "box", 5)


def count(rig, container):
    text = machine.read("/proc/%d/root/count" % rig.session.pid_of(container))
    return int(text or 0)


def wait_for_count(rig, container, more_than):
    machine.wait_until("a count over %d" % more_than, lambda: count(rig, container) > more_than)


def remove(rig, container):
    rig.ctr("tasks", "rm", "-f", container)
    done = rig.ctr("containers", "rm", container)
    expect(done.code == 0, "%s" % done)


def test_it_runs_on(rig):
    """a task that is checkpointed into a folder or an image runs on"""
    start(rig, rig.image())
    pid = rig.session.pid_of("box")
    for client in ("reference", "ours"):
        folder = os.path.join(rig.folder, "dump-" + client)
        done = rig.ctr("tasks", "checkpoint", "--image-path", folder, "box", client=client, timeout=60)
        expect(done.code == 0, "%s" % done)
        expect(os.path.exists(os.path.join(folder, "inventory.img")), "the dump is in the folder")
        done = rig.ctr("tasks", "checkpoint", "box", client=client, timeout=60)
        expect(done.code == 0 and done.out.startswith("containerd.io/checkpoint/box:"), "%s" % done)
        rig.ctr("images", "rm", "--sync", done.out.strip())
        expect((rig.session.status_of("box"), rig.session.pid_of("box")) == ("RUNNING", pid), "it runs on")
        wait_for_count(rig, "box", count(rig, "box"))


def test_exit(rig):
    """a task that is checkpointed with exit has ended, and can be deleted"""
    start(rig, rig.image())
    folder = inside.cgroup_of(rig.session.pid_of("box"))
    done = rig.ctr("tasks", "checkpoint", "--exit", "--image-path", os.path.join(rig.folder, "dump-exit"), "box", timeout=60)
    expect(done.code == 0, "%s" % done)
    rig.session.wait_for_status("box", "STOPPED")
    expect(rig.ctr("tasks", "rm", "box").code == 0, "rm")
    expect(not os.path.exists(folder), folder + " is left")


def save_and_restore(rig, saver, restorer):
    start(rig, rig.image())
    name = "local.test/saved:1"
    done = rig.ctr("containers", "checkpoint", "--rw", "--image", "--task", "box", name, client=saver, timeout=60)
    expect(done.code == 0, "%s" % done)
    wait_for_count(rig, "box", count(rig, "box"))
    # What was counted when it was saved: at most this, and the restored one starts there.
    most = count(rig, "box")
    remove(rig, "box")
    done = rig.ctr("containers", "restore", "--rw", "--live", "back", name, client=restorer, timeout=60)
    expect(done.code == 0, "%s" % done)
    rig.session.wait_for_status("back", "RUNNING")
    first = count(rig, "back")
    expect(5 < first, "it goes on at %d, after at most %d" % (first, most))
    wait_for_count(rig, "back", max(first, most) + 3)
    done = rig.execute("back", "sh", "-c", "echo inside; exit 4")
    expect((done.code, done.out) == (4, "inside\n"), "exec in what was restored: %s" % done)
    for command, status in (("pause", "PAUSED"), ("resume", "RUNNING")):
        done = rig.ctr("tasks", command, "back")
        expect(done.code == 0 and rig.session.status_of("back") == status, "%s: %s" % (command, done))
    expect("memory.usage" in rig.ctr("tasks", "metrics", "back").out, "metrics of what was restored")
    expect(rig.ctr("tasks", "kill", "-s", "SIGKILL", "back").code == 0, "kill")
    rig.session.wait_for_status("back", "STOPPED")
    remove(rig, "back")
    rig.ctr("images", "rm", "--sync", name)


def test_restore(rig):
    """what Debian's client saved, it restores: the process counts on, and is a task like any other"""
    save_and_restore(rig, "reference", "reference")


def test_restore_by_our_client(rig):
    """what our client saved, it restores"""
    save_and_restore(rig, "ours", "ours")


if __name__ == "__main__":
    inside.main("criu")
