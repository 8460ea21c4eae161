#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The service Mounts, which Debian's daemon has not got, and tasks whose root file system needs it: a loop-mounted
image below a writable layer that templates describe, started by Debian's ctr, across a restart of the daemon, and
with nothing left at the end.

usage: mounts.py --bin-dir DIR
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import api, images, machine  # noqa: E402
from harness.daemon import Daemon  # noqa: E402
from harness.session import REFERENCE_BIN, SYSTEM_PATH  # noqa: E402

IMAGE = "local.test/small:1"
# What the shim "allow" says of itself: a name, and an annotation with what it mounts itself.
INFO = b"\x0a\x05allow\x2a\x2e\x0a\x22containerd.io/runtime-allow-mounts\x12\x08format/*"
NEEDED = ("mkfs.ext4", "busybox", os.path.join(REFERENCE_BIN, "ctr"))


class Scene:
    """What api.quiet needs of a session, and a list of what is not so."""

    def __init__(self, daemon, namespace, bin_dir, folder):
        self.daemon, self.namespace, self.bin_dir, self.folder = daemon, namespace, bin_dir, folder
        self.problems = []

    def ctr(self, *arguments):
        command = [os.path.join(REFERENCE_BIN, "ctr"), "--address", self.daemon.address, "-n", self.namespace]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout

    def call(self, method, **fields):
        return api.quiet(self, method, **fields)

    def expect(self, truth, sentence):
        if not truth:
            self.problems.append(sentence)

    def mounted(self):
        return [path for path in machine.mounts() if path.startswith(self.daemon.state + "/io.containerd.mount-manager.v1.bolt/")]

    def targets(self):
        return os.listdir(os.path.join(self.daemon.state, "io.containerd.mount-manager.v1.bolt", "t"))

    def nothing_left(self, when):
        left = self.mounted() + self.targets()
        self.expect(not left, "nothing is left %s: %s" % (when, left))
        # The kernel lets go of a device with the last file system over it, which may end with the shim's process.
        machine.wait_until("loop devices to go " + when, lambda: not self.devices())

    def devices(self):
        files = [machine.read(path).decode().strip() for path in glob.glob("/sys/block/loop*/loop/backing_file")]
        return [path for path in files if path.startswith(self.folder)]


def disk_image(folder):
    """A read-only file system with a busybox in it, as a file."""
    tree, image = os.path.join(folder, "tree"), os.path.join(folder, "layer.ext4")
    for name in ("bin", "proc", "sys", "dev", "etc", "run", "tmp"):
        os.makedirs(os.path.join(tree, name))
    shutil.copy(shutil.which("busybox"), os.path.join(tree, "bin", "busybox"))
    for name in ("sh", "cat", "sleep", "echo"):
        os.symlink("busybox", os.path.join(tree, "bin", name))
    with open(os.path.join(tree, "etc", "layer"), "w", encoding="utf-8") as handle:
        handle.write("from the layer\n")
    subprocess.run(["mkfs.ext4", "-q", "-d", tree, image, "16M"], check=True, capture_output=True)
    return image


def layered(s, image, name):
    """The image, below directories of our own for what the container writes."""
    upper = os.path.join(s.daemon.root, name)
    return [{"type": "ext4", "source": image, "options": ["loop", "ro"]},
            {"type": "format/mkdir/overlay", "source": "overlay",
             "options": ["X-containerd.mkdir.path=" + upper, "X-containerd.mkdir.path=%s/up:0755" % upper,
                         "X-containerd.mkdir.path=%s/work:0755" % upper,
                         "lowerdir={{ mount 0 }}", "upperdir=%s/up" % upper, "workdir=%s/work" % upper]}]


def service(s, image):
    plain = s.call("Mounts/Activate", name="plain", mounts=[{"type": "bind", "source": "/", "options": ["rbind"]}])
    s.expect((plain.code, plain.err.strip()) == (12, "not implemented"), "plain mounts are the client's: %s" % plain)
    s.ctr("leases", "create", "--id", "look")  # Else a collection may come at any time.
    made = s.call("Mounts/Activate", lease="look", name="a", mounts=layered(s, image, "a"),
                  labels={"key": "one", "value": "two"})
    s.expect(made.code == 0 and "active {" in made.out and "system {" in made.out, "Activate: %s" % made)
    s.expect("X-containerd" not in made.out and "{{" not in made.out, "nothing of the manager's words is left: %s" % made)
    again = s.call("Mounts/Activate", name="a", mounts=layered(s, image, "a"))
    s.expect((again.code, again.err.strip()) == (6, 'mount "a": already exists'), "a name is taken: %s" % again)
    info = s.call("Mounts/Info", name="a")
    s.expect(info.code == 0 and 'type: "ext4"' in info.out and image not in info.out, "Info: %s" % info)
    s.expect(s.call("Mounts/List").out.count("info {") == 1, "List")
    s.expect(s.call("Mounts/Update", info={"name": "a"}).code == 12, "Update is not implemented")
    missing = s.call("Mounts/Deactivate", name="b")
    s.expect((missing.code, missing.err.strip()) == (5, 'mount "b": not found'), "Deactivate of none: %s" % missing)
    s.expect(len(s.mounted()) == 1, "one mount is active")
    # Neither leased nor labelled: the next collection takes it.
    s.expect(s.call("Mounts/Activate", name="loose", mounts=layered(s, image, "loose")).code == 0, "without a lease")
    s.ctr("leases", "rm", "--sync", "look")
    for name in ("a", "loose"):
        s.expect(s.call("Mounts/Info", name=name).code == 5, "the collector takes what nobody refers to")
    s.expect(not s.mounted(), "and unmounts it")
    outside = layered(s, image, "x")
    outside[1]["options"][0] = "X-containerd.mkdir.path=/tmp/ctrd-not-below-the-root"
    refused = s.call("Mounts/Activate", name="x", mounts=outside)
    s.expect(refused.code == 12 and 'no root "/tmp/ctrd-not-below-the-root" configured for mkdir' in refused.err,
             "directories elsewhere: %s" % refused)
    s.expect(not s.mounted() and not s.targets(), "a failure leaves nothing")


def leases(s, image):
    s.ctr("leases", "create", "--id", "holder")
    s.expect(s.call("Mounts/Activate", lease="holder", name="l", mounts=layered(s, image, "l")).code == 0, "with a lease")
    s.ctr("leases", "rm", "--sync", s.ctr("leases", "create").strip())
    s.expect(s.call("Mounts/Info", name="l").code == 0, "a lease keeps an activation")
    s.ctr("leases", "rm", "--sync", "holder")
    s.expect(s.call("Mounts/Info", name="l").code == 5, "and no longer than it lives")
    s.nothing_left("after leases")


def layer(s):
    """Apply, into a directory that only the manager finds."""
    upper, blobs = os.path.join(s.folder, "upper"), os.path.join(s.daemon.root, "io.containerd.content.v1.content/blobs")
    os.makedirs(upper)
    packed = next(digest for digest in s.ctr("content", "ls", "-q").split()
                  if machine.read(os.path.join(blobs, digest.replace(":", "/"))).startswith(b"\x1f\x8b"))
    applied = s.call("Diff/Apply", diff={"media_type": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": packed},
                     mounts=[{"type": "bind", "source": upper, "options": ["rbind"]},
                             {"type": "format/bind", "source": "{{ mount 0 }}", "options": ["rbind", "rw"]}])
    s.expect(applied.code == 0 and os.listdir(upper), "a layer is applied: %s" % applied)
    s.nothing_left("after Apply")


def image_and_disk(s):
    """An erofs image, a file system that is made for the container, and an overlay of both."""
    image, disk = os.path.join(s.folder, "layer.erofs"), os.path.join(s.daemon.root, "disk.ext4")
    subprocess.run(["mkfs.erofs", "--quiet", image, os.path.join(s.folder, "tree")], check=True, capture_output=True)
    rootfs = [{"type": "erofs", "source": image, "options": ["ro"]},
              {"type": "mkfs/ext4", "source": disk, "options": ["X-containerd.mkfs.size=16MiB", "loop"]},
              {"type": "format/mkdir/overlay", "source": "overlay",
               "options": ["X-containerd.mkdir.path={{ mount 1 }}/up:0755", "X-containerd.mkdir.path={{ mount 1 }}/work",
                           "lowerdir={{ mount 0 }}", "upperdir={{ mount 1 }}/up", "workdir={{ mount 1 }}/work"]}]
    s.ctr("containers", "create", "--", IMAGE, "disk", "sh", "-c", "cat /etc/layer /written 2>/dev/null; echo kept >> /written; exit 7")
    for run, expected in enumerate(("from the layer\n", "from the layer\nkept\n")):
        output = os.path.join(s.folder, "output%d" % run)
        created = s.call("Tasks/Create", container_id="disk", rootfs=rootfs, stdout="file://" + output,
                         stderr="file://" + output)
        s.expect(created.code == 0 and len(s.mounted()) == 2, "Create over image and disk: %s" % created)
        s.call("Tasks/Start", container_id="disk")
        s.expect("exit_status: 7" in s.call("Tasks/Wait", container_id="disk").out, "it ran")
        s.expect(s.call("Tasks/Delete", container_id="disk").code == 0, "Delete")
        with open(output, encoding="utf-8") as handle:
            s.expect(handle.read() == expected, "run %d saw what was there" % run)
        s.nothing_left("after run %d" % run)
    s.ctr("containers", "rm", "disk")


def task(s, image):
    s.ctr("containers", "create", "--", IMAGE, "box", "sh", "-c",
          "cat /etc/layer; echo kept > /written; while :; do sleep 0.1; done")
    output = os.path.join(s.folder, "output")
    created = s.call("Tasks/Create", container_id="box", rootfs=layered(s, image, "box"), stdout="file://" + output,
                     stderr="file://" + output)
    s.expect(created.code == 0, "Create: %s" % created)
    s.expect('containerd.io/gc.bref.container' in s.call("Mounts/Info", name="box").out, "labelled with its container")
    s.expect(s.call("Tasks/Start", container_id="box").code == 0, "Start")
    written = os.path.join(s.daemon.root, "box", "up", "written")
    machine.wait_until("the container to write", lambda: os.path.exists(written))
    with open(output, encoding="utf-8") as handle:
        s.expect(handle.read() == "from the layer\n", "the container sees the image")
    lease = s.ctr("leases", "create").strip()
    s.ctr("leases", "rm", "--sync", lease)
    s.expect(len(s.mounted()) == 1, "the collector leaves what a container uses")
    s.daemon.kill()
    s.daemon.start()
    s.expect("RUNNING" in s.ctr("tasks", "ls") and s.call("Mounts/Info", name="box").code == 0, "all is found again")
    s.ctr("tasks", "rm", "-f", "box")
    s.expect(s.call("Mounts/Info", name="box").code == 5 and not s.mounted(), "Delete gives the mounts back")
    failing(s, image)
    dead_shim(s, image)
    machine.wait_until("their directory to go", lambda: not s.targets())
    s.nothing_left("after a shim that died")
    dead_shim_unseen(s, image)
    killed_daemons(s, image)
    s.ctr("containers", "rm", "box")
    s.expect(not s.targets(), "nothing is left: %s" % s.targets())


def failing(s, image):
    mounts = layered(s, image, "fails")
    mounts[1]["options"].append("nonsense=1")
    refused = s.call("Tasks/Create", container_id="box", rootfs=mounts)
    s.expect(refused.code == 2 and "failed to mount rootfs component" in refused.err, "a bad mount: %s" % refused)
    s.expect(not s.mounted(), "a failed Create gives the mounts back")
    mounts = layered(s, image, "fails")
    mounts[1]["options"].append("upper={{ mount 4 }}")
    refused = s.call("Tasks/Create", container_id="box", rootfs=mounts)
    s.expect("index out of bounds: 4, has 1 active mounts" in refused.err, "a bad template: %s" % refused)
    s.expect(not s.mounted() and "box" not in s.ctr("tasks", "ls"), "and leaves nothing")


def dead_shim(s, image):
    created = s.call("Tasks/Create", container_id="box", rootfs=layered(s, image, "dead"))
    s.expect(created.code == 0 and len(s.mounted()) == 1, "Create once more: %s" % created)
    for pid in machine.shims([s.namespace]):
        machine.end(pid)
    machine.wait_until("the daemon to clean up", lambda: "box" not in s.ctr("tasks", "ls"))
    machine.wait_until("the mounts to go", lambda: not s.mounted())


def dead_shim_unseen(s, image):
    s.expect(s.call("Tasks/Create", container_id="box", rootfs=layered(s, image, "dead")).code == 0, "Create before a crash")
    s.daemon.kill()
    for pid in machine.shims([s.namespace]):
        machine.end(pid)
    s.daemon.start()
    machine.wait_until("the mounts of a task that died unseen to go", lambda: not s.mounted() and not s.targets())
    s.nothing_left("after a shim that died unseen")


def killed_daemons(s, image):
    """The daemon dies while a task is created: then the task is there, or it can be created."""
    for milliseconds in range(0, 240, 30):
        creating = api.start(s, "Tasks/Create", container_id="box", rootfs=layered(s, image, "box"))
        try:
            creating.wait(milliseconds / 1000)
        except subprocess.TimeoutExpired:
            pass  # The moment to die, not something to wait for.
        s.daemon.kill()
        creating.kill()
        creating.communicate()
        s.daemon.start()
        created = s.call("Tasks/Create", container_id="box", rootfs=layered(s, image, "box"))
        s.expect(created.code in (0, 6), "a task can be created after a crash: %s" % created)
        s.expect(len(s.mounted()) == 1, "and its mount is there once: %s" % s.mounted())
        deleted = s.call("Tasks/Delete", container_id="box")
        s.expect(deleted.code == 0, "and it can be deleted: %s" % deleted)
        s.nothing_left("after a crash %d ms into Create" % milliseconds)


def allowed(s, image):
    """A shim that says what it mounts itself is given that as it came. Ours does not know how, and says so."""
    folder = os.path.join(s.folder, "bin")
    os.makedirs(folder)
    shim = os.path.join(folder, "containerd-shim-allow-v1")
    with open(os.path.join(folder, "info"), "wb") as handle:
        handle.write(INFO)
    with open(shim, "w", encoding="utf-8") as handle:
        handle.write('#!/bin/sh\n[ "$1" = -info ] && exec cat "%s/info"\nexec containerd-shim-runc-v2 "$@"\n' % folder)
    os.chmod(shim, 0o755)
    s.ctr("containers", "create", "--runtime", "io.containerd.allow.v1", "--", IMAGE, "allow", "true")
    refused = s.call("Tasks/Create", container_id="allow", rootfs=layered(s, image, "allow"))
    s.expect(refused.code != 0 and ("format/mkdir/overlay" in refused.err or "was not consumed" in refused.err), "what the shim is given: %s" % refused)
    s.ctr("containers", "rm", "allow")
    s.nothing_left("after a shim that mounts itself")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", required=True)
    options = parser.parse_args()
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if os.geteuid() != 0 or missing or not os.path.exists("/dev/loop-control"):
        print("skipped: needs root, loop devices%s" % "".join(", " + program for program in missing))
        return 77
    folder = tempfile.mkdtemp(prefix="ctrd-it-")
    namespace = "it-mounts-" + folder[-8:].replace("_", "x").lower()
    daemon = Daemon("ours", os.path.join(options.bin_dir, "containerd"), os.path.join(folder, "d"),
                    "%s:%s/bin:%s" % (options.bin_dir, folder, SYSTEM_PATH))
    scene = Scene(daemon, namespace, options.bin_dir, folder)
    try:
        archive = os.path.join(folder, "small.tar")
        images.small().write_archive(archive, IMAGE)
        image = disk_image(folder)
        daemon.start()
        scene.ctr("images", "import", archive)
        service(scene, image)
        leases(scene, image)
        layer(scene)
        task(scene, image)
        allowed(scene, image)
        if shutil.which("mkfs.erofs") and b"erofs" in machine.read("/proc/filesystems").split():
            image_and_disk(scene)
    finally:
        daemon.stop()
        for pid in machine.shims([namespace, folder]) + machine.in_cgroups(namespace):
            machine.end(pid)
        daemon.remove()
        machine.remove_cgroups(namespace)
        shutil.rmtree(os.path.join("/run/containerd/runc", namespace), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    for problem in scene.problems:
        print("not so: " + problem)
    print("%d problems" % len(scene.problems))
    return 1 if scene.problems else 0


if __name__ == "__main__":
    sys.exit(main())
