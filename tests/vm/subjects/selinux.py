#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SELinux's labels of processes and mounts: applied, obeyed, and the same after a restart. The policy is selinux.cil."""

import json
import os
import signal
import subprocess

import inside
from harness import api, machine
from harness.rig import expect

SELINUX = "/sys/fs/selinux"
HERE = os.path.dirname(os.path.abspath(__file__))
# With categories: a label with a comma in it, which mount options have to be told apart from.
LABEL, MOUNT_LABEL = "u:r:box:s0:c1,c2", "u:object_r:box_file:s0:c1,c2"
PLAIN = "u:r:kernel:s0"  # Of what nobody gave a label.
CLIENTS = ("ours", "reference")
# What is there when a container has no task.
KEPT = ("containers", "snapshots", "snapshot folders", "images", "content", "leases")


def load_policy():
    """Compiles the policy and hands it to the kernel, which enforces it from then on."""
    path = "/tmp/selinux.policy"
    subprocess.run(["secilc", "-o", path, "-f", os.devnull, os.path.join(HERE, "selinux.cil")], check=True)
    with open(os.path.join(SELINUX, "load"), "wb", buffering=0) as load:
        load.write(machine.read(path))
    expect(machine.read(os.path.join(SELINUX, "enforce")) == b"1", "it does not enforce")
    expect(label_of("self") == PLAIN, "the machine's own label is " + label_of("self"))


def label_of(pid):
    return machine.read("/proc/%s/attr/current" % pid).decode().strip("\n\0")


def label_of_file(pid, path):
    """As the process sees it."""
    return os.getxattr("/proc/%d/root%s" % (pid, path), "security.selinux").decode().strip("\0")


def labelled(spec, command, label, mount_label):
    """`spec` with the command, asking for these labels where they are not None."""
    spec["process"]["args"] = list(command)
    if label is not None:
        spec["process"]["selinuxLabel"] = label
    if mount_label is not None:
        spec["linux"]["mountLabel"] = mount_label
    return spec


def create(rig, image, *command, label=LABEL, mount_label=MOUNT_LABEL):
    """A container "box", whose snapshot is its root, with labels in its specification; no task."""
    done = rig.ctr("containers", "create", image, "box")
    expect(done.code == 0, "%s" % done)
    spec = api.any_json("Spec", labelled(rig.spec("box"), command, label, mount_label))
    done = api.quiet(rig.session, "Containers/Update", container={"id": "box", "spec": spec}, update_mask={"paths": "spec"})
    expect(done.code == 0, done.err)


def start(rig, client):
    """The pid of the task of "box", once its program runs."""
    done = rig.ctr("tasks", "start", "-d", "--null-io", "box", client=client)
    expect(done.code == 0, "%s: %s" % (client, done))
    rig.wait_for_file("box", "/ready")
    return rig.session.pid_of("box")


def test_labels_are_applied(rig):
    """a container's processes and all its mounts have the labels that its specification asks for"""
    image = rig.image()
    for client in CLIENTS:
        create(rig, image, "sh", "-c", inside.LOOP)
        pid = start(rig, client)
        expect(label_of(pid) == LABEL, "%s: the first process has %s" % (client, label_of(pid)))
        done = rig.ctr("tasks", "exec", "--exec-id", "e", "box", "cat", "/proc/self/attr/current", client=client)
        expect(done.out.strip("\n\0") == LABEL, "%s: an exec has %s" % (client, done))
        for path in ("/", "/bin/busybox", "/ready", "/dev", "/dev/shm", "/dev/pts", "/dev/mqueue", "/run"):
            label = label_of_file(pid, path)
            expect(label == MOUNT_LABEL, "%s: %s has %s" % (client, path, label))
        rig.clear()


def test_no_label(rig):
    """without a label a container has the one of who made it"""
    create(rig, rig.image(), "sh", "-c", inside.LOOP, label=None, mount_label=None)
    pid = start(rig, CLIENTS[0])
    expect(label_of(pid) == PLAIN, "the first process has " + label_of(pid))
    expect(label_of_file(pid, "/ready") == "u:object_r:file:s0", "its files have " + label_of_file(pid, "/ready"))


def test_labels_are_obeyed(rig):
    """a labelled process writes where the policy allows it: neither to files of another type nor of other categories"""
    image = rig.image()
    for client in CLIENTS:
        for label, mount_label, allowed in [
            (LABEL, None, False),
            ("u:r:box:s0:c3", MOUNT_LABEL, False),
            (LABEL, MOUNT_LABEL, True),
            (None, MOUNT_LABEL, True),
        ]:
            create(rig, image, "sh", "-c", "echo x > /x && cat /x", label=label, mount_label=mount_label)
            done = rig.ctr("tasks", "start", "box", client=client)
            rig.clear()
            told = "%s: %s writes to %s: %s" % (client, label, mount_label, done)
            if allowed:
                expect((done.code, done.out, done.err) == (0, "x\n", ""), told)
            else:
                expect((done.code, done.out) == (1, "") and "ermission denied" in done.err, told)


def test_specification_file(rig):
    """run --config: the labels of the file, on a root that is a folder"""
    create(rig, rig.image(), "cat", "/proc/self/attr/current")
    spec, root = rig.spec("box"), os.path.join(rig.folder, "root")
    rig.clear()
    os.mkdir(root)
    done = rig.ctr("images", "mount", "--rw", "local.test/made%d:1" % rig.made, root)
    expect(done.code == 0, "%s" % done)
    path = os.path.join(rig.folder, "spec.json")
    try:
        with open(path, "w", encoding="utf-8") as out:
            json.dump(dict(spec, root={"path": root}), out)
        for client in CLIENTS:
            done = rig.run("--rm", "--config", path, "box", client=client)
            expect((done.code, done.out.strip("\n\0")) == (0, LABEL), "%s: %s" % (client, done))
    finally:
        rig.ctr("images", "unmount", "--rm", root)


def test_labels_that_the_policy_does_not_know(rig):
    """a bad label is an error that says where the kernel refused it, and nothing is left of the task"""
    image = rig.image()
    for client in CLIENTS:
        for labels, said in [
            ({"label": "u:r:nobody:s0"}, "write /proc/self/attr/keycreate: invalid argument"),
            ({"label": "nonsense"}, "write /proc/self/attr/keycreate: invalid argument"),
            ({"mount_label": "u:object_r:nothing:s0"}, "invalid argument"),
        ]:
            create(rig, image, "true", **labels)
            done = rig.ctr("tasks", "start", "box", client=client)
            expect(done.code == 1 and said in done.err.lower(), "%s: %s: %s" % (client, labels, done))
            rig.session.nothing_left("%s: %s" % (client, labels), but=KEPT)
            rig.clear()


def test_restart(rig):
    """the restart monitor starts the task again with the same labels"""
    create(rig, rig.image(), "sh", "-c", inside.LOOP)
    first = start(rig, "reference")
    rig.ctr("containers", "label", "box", "containerd.io/restart.status=running")
    os.kill(first, signal.SIGKILL)

    def again():
        return rig.session.status_of("box") == "RUNNING" and rig.session.pid_of("box") != first
    machine.wait_until("box to come back", again)
    pid = rig.session.pid_of("box")
    expect(label_of(pid) == LABEL, "the first process has " + label_of(pid))
    for path in ("/", "/dev/shm"):
        expect(label_of_file(pid, path) == MOUNT_LABEL, "%s has %s" % (path, label_of_file(pid, path)))
    done = rig.execute("box", "cat", "/proc/self/attr/current")
    expect(done.out.strip("\n\0") == LABEL, "an exec has %s" % done)
    rig.ctr("containers", "label", "box", "containerd.io/restart.status=stopped")
    rig.session.wait_for_status("box", None)


if __name__ == "__main__":
    if not os.path.exists(os.path.join(SELINUX, "load")):
        raise SystemExit("the kernel has no SELinux (run.py --security selinux)")
    inside.require("secilc")
    load_policy()
    inside.main()
