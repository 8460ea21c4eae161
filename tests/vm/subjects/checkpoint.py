#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of tasks with CRIU itself, and restores from a folder: a process goes on where it was."""

import os

import counter
import inside
from harness import api
from harness.images import File, tar_of
from harness.rig import expect


def test_it_runs_on(rig):
    """a task that is checkpointed into a folder or an image runs on"""
    counter.start(rig, rig.image())
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
        counter.wait_for_count(rig, "box", counter.count(rig, "box"))


def dumped(rig, name, client):
    """A container "box" without its task, which went into a folder; the folder."""
    counter.start(rig, rig.image())
    cgroup = inside.cgroup_of(rig.session.pid_of("box"))
    folder = os.path.join(rig.folder, name)
    done = rig.ctr("tasks", "checkpoint", "--exit", "--image-path", folder, "box", client=client, timeout=60)
    expect((done.code, done.out, done.err) == (0, "", ""), "%s: %s" % (client, done))
    rig.session.wait_for_status("box", "STOPPED")
    expect(rig.ctr("tasks", "rm", "box").code == 0, "rm")
    expect(not os.path.exists(cgroup), cgroup + " is left")
    return folder


def create(rig, **more):
    rootfs = api.quiet(rig.session, "Snapshots/Mounts", snapshotter="overlayfs", key="box").out
    done = api.quiet(rig.session, "Tasks/Create", rootfs.replace("mounts {", "rootfs {"), container_id="box", **more)
    expect(done.code == 0, done.err)


def test_restore_from_options(rig):
    """Create with a path in the runtime's options restores at Start, and the count is the one of the dump"""
    folder = dumped(rig, "dump-options", "ours")
    value = b"\x52" + bytes([len(folder)]) + folder.encode()  # Field 10: criu_image_path.
    create(rig, options={"type_url": "containerd.runc.v1.Options", "value": value})
    expect(rig.session.status_of("box") == "CREATED", "it is not started by that")
    done = api.quiet(rig.session, "Tasks/Start", container_id="box")
    expect(done.code == 0, done.err)
    counter.goes_on(rig, "box", 5)


def test_restore_from_path(rig):
    """Create with the annotation RestoreFromPath restores at once, with the changes beside the dump"""
    folder = dumped(rig, os.path.join("saved", "checkpoint"), "reference")
    with open(os.path.join(rig.folder, "saved", "rootfs-diff.tar"), "wb") as out:
        out.write(tar_of([File("changed", "while it was away\n")]))
    create(rig, checkpoint={"annotations": {"key": "RestoreFromPath", "value": folder}})
    rig.session.wait_for_status("box", "RUNNING")
    counter.goes_on(rig, "box", 5)
    expect(rig.execute("box", "cat", "/changed").out == "while it was away\n", "the change is there")


if __name__ == "__main__":
    inside.main("criu")
