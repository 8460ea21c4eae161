# SPDX-License-Identifier: Apache-2.0
"""ctr run in user namespaces, ctr shim, ctr plugins inspect-runtime."""

import json
import os
import re

from harness import api
from harness.images import File, digest_of
from harness.rig import expect

OWNED = [File("owned", "x", uid=12, gid=34), File("set", "s", mode=0o4755, uid=5), File("link", symlink="owned")]


def test_user_namespace(rig):
    """run --uidmap --gidmap: the files belong to the mapped ids, inside and outside"""
    image = rig.image(OWNED)
    for folder in (rig.session.folder, rig.session.daemon.folder):
        os.chmod(folder, 0o711)  # Those that are mapped must get through to the container's root.
    maps = ("--uidmap", "0:100000:1000", "--gidmap", "0:200000:1000")
    rig.start(*maps, "--net-host", "--mount", "type=bind,src=/sys,dst=/sys,options=rbind:ro", image, "box", "sleep", "1000")
    pid = rig.session.pid_of("box")
    expect(os.stat("/proc/%d" % pid).st_uid == 100000, "root inside is 100000 outside")
    found = os.stat("/proc/%d/root/owned" % pid)
    expect((found.st_uid, found.st_gid) == (100012, 200034), "outside: %d:%d" % (found.st_uid, found.st_gid))
    expect(os.stat("/proc/%d/root/set" % pid).st_mode & 0o7777 == 0o4755, "set-uid bits stay")
    inside = rig.execute("box", "stat", "-c", "%u:%g", "/owned")
    expect(inside.out == "12:34\n", inside.out + inside.err)
    parent = rig.session.info("snapshots", "box")["Parent"]
    rig.clear()
    rig.start(*maps, "--net-host", "--mount", "type=bind,src=/sys,dst=/sys,options=rbind:ro", image, "box", "sleep", "1000")
    expect(rig.session.info("snapshots", "box")["Parent"] == parent, "the copy is made once")


def test_user_namespace_too_small(rig):
    """run --uidmap: an owner that no map has is refused, and nothing stays"""
    image = rig.image(OWNED)
    done = rig.run("--rm", "--uidmap", "0:100000:2", "--gidmap", "0:200000:1000", image, "box", "true")
    expect(done.code == 1 and "cannot be mapped to a host ID" in done.err, done.err)
    expect("-remap" not in rig.ctr("snapshots", "ls").out and "box" not in rig.ctr("snapshots", "ls").out, "snapshots stay")


def test_mount_label(rig):
    """tasks start: the specification's SELinux label becomes an option of the root's mounts, as with Debian's client"""
    image = rig.image()
    told = {}
    for client in ("ours", "reference"):
        done = rig.ctr("containers", "create", image, "box-" + client, "sleep", "1000")
        expect(done.code == 0, done.err)
        spec = rig.spec("box-" + client)
        spec["linux"]["mountLabel"] = "nobody:knows:this:s0"
        done = api.quiet(rig.session, "Containers/Update", update_mask={"paths": ["spec"]},
                         container={"id": "box-" + client, "spec": api.any_json("Spec", spec)})
        expect(done.code == 0, done.err)
        done = rig.ctr("tasks", "start", "-d", "--null-io", "box-" + client, client=client)
        expect(done.code == 1, "started with a label that this kernel does not know")
        told[client] = sorted(set(re.findall(r'context="[^ ]*"', done.err.replace("\\", "")))) or done.err
    expect(told["ours"] == told["reference"], str(told))


def test_shim(rig):
    """shim state, exec, delete: the shim itself answers, to our client as to Debian's"""
    rig.start(rig.image(), "box", "sleep", "1000")
    ours = json.loads(rig.ctr("shim", "--id", "box", "state").out)
    expect(ours["id"] == "box" and ours["pid"] == rig.session.pid_of("box"), str(ours))
    theirs = rig.ctr("shim", "--id", "box", "state", client="reference")
    if theirs.code == 0:
        expect(json.loads(theirs.out)["pid"] == ours["pid"], theirs.out)
    out = os.path.join(rig.folder, "exec-out")
    os.mkfifo(out)
    done = rig.ctr("shim", "--id", "box", "exec", "--stdout", out, "--attach", "e1", "/bin/sh", "-c", "echo from the shim; exit 4")
    expect(done.code == 4 and "from the shim\n" in done.out and "exec running with pid" in done.out, done.out + done.err)
    done = rig.ctr("shim", "--id", "nobody", "state")
    expect(done.code == 1 and "fail to connect to container nobody's shim" in done.err, done.err)
    done = rig.ctr("shim", "state")
    expect(done.code == 1 and "container id must be specified" in done.err, done.err)


def test_inspect_runtime(rig):
    """plugins inspect-runtime: name, version, and what runc says of itself"""
    info = json.loads(rig.ctr("plugins", "inspect-runtime").out)
    expect(info["Name"] == "io.containerd.runc.v2" and info["Version"]["Version"], str(info)[:200])
    expect("ociVersionMin" in info["Features"], str(info["Features"])[:200])
    done = rig.ctr("plugins", "inspect-runtime", "--runtime", "io.containerd.nothing.v1")
    expect(done.code == 1, done.out)


def test_sandbox_and_devices_are_told(rig):
    """--sandbox reaches the record; names of devices that nobody installed are refused as 2.3 refuses them"""
    image = rig.image()
    for flags, words in ((("--gpus", "0"), "no known GPU vendor detected in CDI specs"),
                         (("--device", "vendor.com/class=name"), "unresolvable CDI devices vendor.com/class=name")):
        done = rig.run("--rm", *flags, image, "box", "true")
        expect(done.code == 1 and words in done.err, done.err)
    done = rig.ctr("containers", "create", "--sandbox", "pod", image, "box")
    if done.code == 0:
        expect(rig.session.info("containers", "box").get("SandboxID", "pod") == "pod", "the record names the sandbox")


def test_images_mount(rig):
    """images mount and unmount: the image's files at a directory, under a lease, until they are unmounted"""
    image = rig.image([File("marker", "here\n")])
    for client in ("ours", "reference"):
        target = os.path.join(rig.folder, "mounted-" + client)
        os.makedirs(target)
        done = rig.ctr("images", "mount", image, target, client=client)
        expect(done.code == 0 and done.out.splitlines()[1] == target and done.out.startswith("sha256:"), done.out + done.err)
        with open(os.path.join(target, "marker"), encoding="ascii") as handle:
            expect(handle.read() == "here\n", "the file is there")
        expect(target in rig.ctr("leases", "ls", "-q").out.split(), "a lease keeps it")
        done = rig.ctr("images", "unmount", "--rm", target, client="ours" if client == "reference" else "reference")
        expect(done.code == 0 and done.out == target + "\n", done.out + done.err)
        expect(os.listdir(target) == [] and target not in rig.ctr("leases", "ls").out + rig.ctr("snapshots", "ls").out, "gone")
    writable = os.path.join(rig.folder, "writable")
    os.makedirs(writable)
    expect(rig.ctr("images", "mount", "--rw", image, writable).code == 0, "mount --rw")
    with open(os.path.join(writable, "new"), "w", encoding="ascii") as handle:
        handle.write("x")
    expect(rig.ctr("images", "unmount", "--rm", writable).code == 0, "unmount")
    done = rig.ctr("images", "mount", "local.test/none:1", writable)
    expect(done.code == 1 and "not found" in done.err and writable not in rig.ctr("leases", "ls").out, done.err)


def test_content_edit_and_prune(rig):
    """content edit makes a new blob; content prune references drops labels, as Debian's ctr does"""
    rig.image()
    digest = rig.ctr("content", "ls", "-q").out.split()[0]
    for client in ("ours", "reference"):
        editor, text = os.path.join(rig.folder, "editor-" + client), "changed by " + client
        with open(editor, "w", encoding="ascii") as handle:
            handle.write("#!/bin/sh\nprintf '%s' > $1\n" % text)
        os.chmod(editor, 0o755)
        done = rig.ctr("content", "edit", "--editor", editor, digest, client=client)
        expect(done.code == 0 and done.out == digest_of(text.encode()) + "\n", client + done.out + done.err)
    expect(rig.ctr("content", "edit", "--editor", "false", digest).code == 1, "an editor that fails")
    done = rig.ctr("content", "prune", "references", "--dry")
    expect(done.code == 0 and "gc.ref.content.l.0" in done.err, done.out + done.err)
    expect("gc.ref.content.l.0" in rig.ctr("content", "ls").out, "--dry changes nothing")
    expect(rig.ctr("content", "prune", "references").code == 0, "prune")
    expect("gc.ref.content.l.0" not in rig.ctr("content", "ls").out, "references are gone")
