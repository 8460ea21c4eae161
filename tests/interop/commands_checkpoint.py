# SPDX-License-Identifier: Apache-2.0
"""ctr tasks checkpoint, containers checkpoint and restore. CRIU does not work on every kernel: a program in front of
runc stands in for it, which notes what it is asked for and leaves a file as the dump."""

import json
import os
import re
import shutil

from harness.images import File, Image, tar_of
from harness.rig import expect

STAND_IN = """#!/bin/sh
for word; do [ "$last" = --image-path ] && images=$word; last=$word; done
case " $* " in *" checkpoint "*)
  echo "$*" >> @LOG@
  mkdir -p "$images" && echo dumped > "$images/dump" || exit 1
  case " $* " in *" --leave-running "*) exit 0;; esac
  exec @RUNC@ "$1" "$2" "$3" "$4" "$5" "$6" delete --force "$last";;
esac
exec @RUNC@ "$@"
"""


def stand_in(rig):
    path, log = os.path.join(rig.folder, "stand-in"), os.path.join(rig.folder, "stand-in-log")
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(STAND_IN.replace("@LOG@", log).replace("@RUNC@", shutil.which("runc")))
    os.chmod(path, 0o755)
    return path, log


def index_of(rig, name):
    lines = [line.split() for line in rig.ctr("images", "ls").out.splitlines()]
    digest = next(cells[2] for cells in lines if cells[0] == name)
    return json.loads(rig.ctr("content", "get", digest).out)


def running(rig):
    runtime, log = stand_in(rig)
    image = rig.image()
    rig.start("--runc-binary", runtime, image, "box", "sh", "-c", "echo changed > /changed; sleep 1000")
    rig.wait_for_file("box", "/changed")
    return image, log


def test_task_checkpoint(rig):
    """tasks checkpoint: an image with the dump, the specification, the image and the changes"""
    image, log = running(rig)
    for client in ("ours", "reference"):
        done = rig.ctr("tasks", "checkpoint", "box", client=client)
        expect(done.code == 0, client + done.err)
        name = done.out.strip()
        expect(re.fullmatch(r"containerd.io/checkpoint/box:\d\d-\d\d-\d{4}-\d\d:\d\d:\d\d", name), client + name)
        index = index_of(rig, name)
        kinds = [part["mediaType"].rsplit("/vnd.", 1)[1] for part in index["manifests"]]
        expect(kinds == ["containerd.container.criu.checkpoint.criu.tar", "containerd.container.checkpoint.config.v1+proto",
                         "oci.image.manifest.v1+json", "oci.image.layer.v1.tar+gzip"], "%s: %s" % (client, kinds))
        expect(index["annotations"] == {"image.name": image}, "%s: %s" % (client, index["annotations"]))
        expect(rig.session.status_of("box") == "RUNNING", "it runs on")
        rig.ctr("images", "rm", "--sync", name)
    with open(log, encoding="utf-8") as handle:
        calls = [re.sub(r"/\S+", "PATH", line) for line in handle]
    expect(len(calls) == 2 and calls[0] == calls[1], "both clients ask runc for the same: %s" % calls)


def test_task_checkpoint_into_a_folder(rig):
    """tasks checkpoint --image-path: files, and no image"""
    running(rig)
    folder = os.path.join(rig.folder, "dump-folder")
    before = rig.ctr("images", "ls", "-q").out
    done = rig.ctr("tasks", "checkpoint", "--image-path", folder, "box")
    expect(done.code == 0 and done.out == "", done.out + done.err)
    expect(os.path.exists(os.path.join(folder, "dump")), "the dump is there")
    expect(rig.ctr("images", "ls", "-q").out == before, "no image is made")


def test_task_checkpoint_with_exit(rig):
    """tasks checkpoint --exit: the task has ended, and nobody complains that it cannot be resumed"""
    running(rig)
    for client in ("ours", "reference"):
        done = rig.ctr("tasks", "checkpoint", "--exit", "--image-path", os.path.join(rig.folder, "exit-" + client), "box",
                       client=client)
        expect((done.code, done.out, done.err) == (0, "", ""), "%s: %s" % (client, done))
        rig.session.wait_for_status("box", "STOPPED")
        expect(rig.ctr("tasks", "rm", "box").code == 0, "rm")
        expect(rig.ctr("tasks", "start", "-d", "box").code == 0, "start again")


def test_checkpoint_of_nothing(rig):
    """checkpoints of what is not there are refused as Debian's client refuses them"""
    image = rig.image()
    expect(rig.ctr("containers", "create", image, "idle").code == 0, "create")
    for arguments in (("tasks", "checkpoint"), ("tasks", "checkpoint", "nobody"), ("tasks", "checkpoint", "idle"),
                      ("containers", "checkpoint"), ("containers", "checkpoint", "idle"),
                      ("containers", "checkpoint", "nobody", "r:1"), ("containers", "checkpoint", "--task", "idle", "r:1"),
                      ("containers", "restore"), ("containers", "restore", "x"), ):
        ours, theirs = (rig.ctr(*arguments, client=client) for client in ("ours", "reference"))
        expect((ours.code, ours.err.replace(": unknown", "")) == (theirs.code, theirs.err.replace(": unknown", "")),
               "%s: %s, reference %s" % (arguments, ours.err, theirs.err))


def test_container_checkpoint_and_restore(rig):
    """containers checkpoint --rw --image --task, then restore --rw under another name, by either client"""
    image, _ = running(rig)
    shapes = {}
    for client in ("ours", "reference"):
        name = "local.test/saved-%s:1" % client
        done = rig.ctr("containers", "checkpoint", "--rw", "--image", "--task", "box", name, client=client)
        expect(done.code == 0 and done.out == "", client + done.err)
        index = index_of(rig, name)
        shapes[client] = (sorted(part["mediaType"] for part in index["manifests"]), index["annotations"])
    expect(shapes["ours"] == shapes["reference"], str(shapes))
    for client in ("ours", "reference"):  # Each restores what the other saved.
        saved = "local.test/saved-%s:1" % ("reference" if client == "ours" else "ours")
        tags = rig.ctr("images", "ls").out
        done = rig.ctr("containers", "restore", "--rw", "again", saved, client=client)
        if client == "ours":
            expect(done.code == 0, done.err)
            expect("in the checkpoint's runtime options are ignored" in done.err, "the program in front of runc is not taken over: " + done.err)
            rig.session.wait_for_status("again", "RUNNING")
            expect(rig.execute("again", "cat", "/changed").out == "changed\n", "the changes are there")
            expect(rig.ctr("images", "ls").out == tags, "no image was made or moved")
            rig.ctr("tasks", "rm", "-f", "again")
            rig.ctr("containers", "rm", "again")
    del image


def test_hostile_checkpoints(rig):
    """CVE-2026-50195, CVE-2026-53492: a checkpoint makes no image, and names no program, hook or device of the host"""
    image = rig.image()
    spec = {"ociVersion": "1.0.2", "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sleep", "1000"], "cwd": "/"},
            "root": {"path": "rootfs"}, "annotations": {"cdi.k8s.io/x": "vendor.com/class=all", "mine": "kept"},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}}
    good = {"org.opencontainers.image.ref.name": image, "io.containerd.checkpoint.runtime": "io.containerd.runc.v2",
            "io.containerd.checkpoint.snapshotter": "overlayfs"}
    hooks = dict(spec, hooks={"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "touch %s/hooked" % rig.folder]}]})
    for name, annotations, document, words in (
            ("hooks", good, hooks, "runs hooks on the host"),
            ("program", dict(good, **{"io.containerd.checkpoint.runtime": "/tmp/evil-shim"}), spec, "names a program of the host"),
            ("unknown-image", dict(good, **{"org.opencontainers.image.ref.name": "docker.io/evil/name:1"}), spec, "not found")):
        saved = checkpoint_image(rig, name, annotations, document)
        tags = rig.ctr("images", "ls").out
        done = rig.ctr("containers", "restore", "evil", saved)
        expect(done.code == 1 and words in done.err, "%s: %s" % (name, done.err))
        expect(rig.ctr("containers", "ls", "-q").out == "" and rig.ctr("images", "ls").out == tags, name + " left something")
    expect(not os.path.exists(os.path.join(rig.folder, "hooked")), "a hook ran")
    done = rig.ctr("containers", "restore", "fine", checkpoint_image(rig, "fine", good, spec))
    expect(done.code == 0 and "cdi.k8s.io/x" in done.err, done.err)
    expect(rig.spec("fine")["annotations"] == {"mine": "kept"}, "the annotation of a device is dropped")


def checkpoint_image(rig, name, annotations, spec):
    """An image like those of `containers checkpoint`, imported; its name."""
    value = json.dumps(spec).encode()
    url = b"types.containerd.io/opencontainers/runtime-spec/1/Spec"
    any_bytes = b"\x0a" + varint(len(url)) + url + b"\x12" + varint(len(value)) + value
    image = Image()
    part = image._blob("application/vnd.containerd.container.checkpoint.config.v1+proto", any_bytes)
    blobs = dict(image.blobs)
    inner = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                        "manifests": [part], "annotations": annotations}).encode()
    index = image._blob("application/vnd.oci.image.index.v1+json", inner)
    blobs.update(image.blobs)
    reference = "local.test/hostile-%s:1" % name
    outer = json.dumps({"schemaVersion": 2, "manifests": [dict(index, annotations={
        "io.containerd.image.name": reference, "org.opencontainers.image.ref.name": "1"})]})
    entries = [File("oci-layout", '{"imageLayoutVersion":"1.0.0"}'), File("index.json", outer)]
    entries += [File("blobs/sha256/" + digest.split(":")[1], data) for digest, data in blobs.items()]
    path = os.path.join(rig.folder, "hostile-%s.tar" % name)
    with open(path, "wb") as handle:
        handle.write(tar_of(entries))
    done = rig.ctr("images", "import", "--no-unpack", "--all-platforms", path, client="reference")
    expect(done.code == 0, done.err)
    return reference


def varint(number):
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
