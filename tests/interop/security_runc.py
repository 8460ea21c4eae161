# SPDX-License-Identifier: Apache-2.0
"""Flaws of runc that a daemon must not open again, or must name when the runc of this machine has them."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess

from harness import machine
from harness.images import File
from harness.rig import Skipped, expect

AUDIT = """#!/usr/bin/python3 -I
import os, sys
found = []
for name in os.listdir("/proc/self/fd"):
    try:
        found.append(name + "=" + os.readlink("/proc/self/fd/" + name))
    except OSError:
        pass
with open(%r, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\t" + "\\t".join(found) + "\\n")
os.execv(%r, ["runc"] + sys.argv[1:])
"""


def runc_hash():
    with open(shutil.which("runc"), "rb") as handle:
        return hashlib.sha256(handle.read()).hexdigest()


def known_flaws(rig):
    """What the daemon says of the runc that it found."""
    shown = rig.ctr("plugins", "ls", "-d", "id==task").out
    match = re.search(r"runc-known-flaws\s+(\S+)", shown)
    return match[1].split(",") if match else []


def test_version_is_reported(rig):
    """The daemon tells runc's version and known flaws, in the log and to clients"""
    version = subprocess.run(["runc", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    shown = rig.ctr("plugins", "ls", "-d", "id==task").out
    expect(re.search(r"runc-version\s+runc " + re.escape(version), shown), shown)
    log = rig.session.daemon.log()
    if known_flaws(rig):
        expect("runc has known flaws" in log and known_flaws(rig)[0] in log, "the log names them")
    else:
        expect("OCI runtime" in log, "the log names the version")


def test_numeric_user_names(rig):
    """CVE-2016-3697: a name that looks like a number in another base is a name, digits are a number"""
    accounts = [File("etc/passwd", "root:x:0:0::/:/bin/sh\n0x0:x:77:77::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n")]
    done = rig.run("--rm", rig.image(accounts, User="0x0"), "box", "id", "-u")
    expect(done.out.strip() == "77", "0x0: %s%s" % (done.out, done.err))
    done = rig.run("--rm", rig.image(accounts, User="1000"), "box", "id", "-u")
    expect(done.out.strip() == "1000", "1000: %s%s" % (done.out, done.err))
    done = rig.run("--rm", rig.image(accounts, User="0x00"), "box", "id", "-u")
    expect(done.code == 1 and "no users found" in done.err, "0x00: %s%s" % (done.out, done.err))


def test_exec_into_a_hostile_container(rig):
    """CVE-2016-9962: what enters the container cannot be looked into from there"""
    spy = ("while :; do for f in /proc/[0-9]*/fd/* /proc/[0-9]*/exe /proc/[0-9]*/cwd; do readlink $f; done; done "
           "2>/dev/null | grep -E '^/(run|usr/s?bin/runc|memfd|sys)|%s' > /seen" % re.escape(rig.folder))
    rig.start(rig.image(), "box", "sh", "-c", spy)
    for number in range(15):
        rig.execute("box", "true", name="e%d" % number)
    seen = rig.execute("box", "cat", "/seen", name="last")
    expect(seen.code == 0 and seen.out == "", "seen from inside: %s" % seen.out)


def test_programs_that_are_proc_self_exe(rig):
    """CVE-2019-5736: neither #!/proc/self/exe nor writing to the exe of what enters changes the host's runc"""
    before = runc_hash()
    evil = [File("evil", "#!/proc/self/exe\n", mode=0o755), File("bin/evil", symlink="/proc/self/exe")]
    image = rig.image(evil)
    rig.run("--rm", image, "box1", "/evil")
    rig.run("--rm", image, "box2", "/bin/evil")
    rig.start(image, "box", "sh", "-c", "while :; do for p in /proc/[0-9]*; do "
              "[ $p/exe -ef /bin/busybox ] || echo x > $p/exe; done; done 2>/dev/null")
    for number in range(10):
        rig.execute("box", "/evil", name="e%d" % number)
        rig.execute("box", "/bin/evil", name="f%d" % number)
    expect(runc_hash() == before, "the host's runc was changed")


def test_proc_is_proc(rig):
    """CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /proc is no link and nothing else is put there"""
    for name, entries, flags in (
            ("link", [File("proc", symlink="/tmp")], ()),
            ("link to itself", [File("proc", symlink="proc2"), File("proc2")], ()),
            ("tmpfs", [], ("--mount", "type=tmpfs,src=tmpfs,dst=/proc,options=rw")),
            ("volume", [], ("--mount", "type=bind,src=%s,dst=/proc,options=rbind" % rig.folder)),
            ("volume below", [], ("--mount", "type=bind,src=%s,dst=/proc/sys/kernel,options=rbind" % rig.folder))):
        done = rig.run("--rm", *flags, rig.image(entries), "box", "cat", "/proc/self/attr/current")
        expect(done.code != 0 and "OCI runtime create failed" in done.err, "%s: %s%s" % (name, done.out, done.err))


def test_mount_targets_that_are_swapped(rig):
    """CVE-2021-30465, CVE-2024-45310: a link swapped in a shared volume leads no mount and no file out of the root"""
    volume, target = os.path.join(rig.folder, "volume"), os.path.join(rig.folder, "target")
    os.makedirs(os.path.join(volume, "kept"))
    os.makedirs(target)
    image, share = rig.image(), "type=bind,src=%s,dst=/v,options=rbind:rw" % volume
    rig.start("--mount", share, image, "swapper", "sh", "-c", "cd /v; while :; do ln -s %s x; mv x y; rm -rf y; mkdir x; "
              "mkdir -p x/a; mv x z; rm -rf z; done 2>/dev/null" % target)
    before = set(machine.mounts())
    for number in range(12):
        rig.run("--rm", "--mount", share, "--mount", "type=tmpfs,src=tmpfs,dst=/v/x/new,options=rw", image,
                "box%d" % number, "true")
    outside = {path for path in set(machine.mounts()) - before if path.startswith(rig.folder)}
    expect(not outside, "mounted outside: %s" % outside)
    if os.listdir(target):
        expect("CVE-2024-45310" in known_flaws(rig), "made on the host, and not reported: %s" % os.listdir(target))
        print("  this runc made %s on the host; the daemon reports CVE-2024-45310" % os.listdir(target))


def test_oversized_fields(rig):
    """CVE-2021-43784: maps, paths and annotations beyond any use are refused before runc sees them"""
    log, file = os.path.join(rig.folder, "runc-calls"), os.path.join(rig.folder, "oversized.json")
    runtime = audit_program(rig, log)
    maps = [{"containerID": number, "hostID": number, "size": 1} for number in range(341)]
    for name, part in (("maps", {"linux": {"namespaces": [{"type": "user"}], "uidMappings": maps, "gidMappings": maps[:1]}}),
                       ("group maps", {"linux": {"uidMappings": maps[:1], "gidMappings": maps * 20}}),
                       ("path", {"linux": {"namespaces": [{"type": "network", "path": "/" + "a" * 70000}]}}),
                       ("annotation", {"annotations": {"a": "b" * (2 << 20)}})):
        with open(file, "w", encoding="utf-8") as handle:
            json.dump(dict({"ociVersion": "1.0.2", "process": {"user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/"},
                            "root": {"path": rig.folder}}, **part), handle)
        for client in ("ours", "reference"):
            done = rig.run("--rm", "--runc-binary", runtime, "--config", file, "box", client=client)
            expect(done.code == 1 and "invalid argument" in done.err, "%s: %s %s" % (name, done.code, done.err))
            calls = machine.read(log).decode()
            expect(" create " not in calls, "%s: runc was asked: %s" % (name, calls[:200]))
            rig.clear()


def test_descriptors_that_reach_runc(rig):
    """CVE-2024-21626: runc gets 0, 1 and 2, and nothing of the daemon's or the shim's"""
    log = os.path.join(rig.folder, "descriptors")
    runtime = audit_program(rig, log)
    image = rig.image()
    done = rig.run("--runc-binary", runtime, "-d", image, "box", "sleep", "1000")
    expect(done.code == 0, done.err)
    rig.execute("box", "true")
    rig.ctr("tasks", "pause", "box")
    rig.ctr("tasks", "resume", "box")
    rig.ctr("tasks", "kill", "-s", "SIGKILL", "box")
    rig.session.wait_for_status("box", "STOPPED")
    rig.ctr("tasks", "rm", "box")
    calls = [line.split("\t") for line in machine.read(log).decode().splitlines()]
    verbs = {verb for call in calls for verb in ("create", "start", "exec", "pause", "resume", "delete") if verb in call[0]}
    expect(len(verbs) == 6, "calls seen: %s" % verbs)
    for call in calls:
        numbers = {entry.split("=")[0] for entry in call[1:]}
        expect(numbers <= {"0", "1", "2"}, "runc %s has %s" % (call[0], call[1:]))


def audit_program(rig, log):
    path = os.path.join(rig.folder, "audit-" + os.path.basename(log))
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(AUDIT % (log, shutil.which("runc")))
    os.chmod(path, 0o755)
    return path


def test_working_directory_is_a_descriptor(rig):
    """CVE-2024-21626: a working directory /proc/self/fd/N leads nowhere, for run and exec"""
    plain = rig.image()
    rig.start(plain, "host", "sleep", "1000")
    for number in range(3, 14):
        where = "/proc/self/fd/%d" % number
        done = rig.run("--rm", rig.image(WorkingDir=where) if number == 7 else plain, "box", "pwd") if number == 7 else \
            rig.run("--rm", "--cwd", where, plain, "box", "pwd")
        expect(done.code != 0, "run in %s: %s" % (where, done.out))
        done = rig.execute("host", "pwd", flags=("--cwd", where), name="e%d" % number)
        expect(done.code != 0, "exec in %s: %s" % (where, done.out))


def test_null_is_a_link(rig):
    """CVE-2025-31133, CVE-2025-52565: /dev/null of an image is not what masks paths; a volume's is refused or reported"""
    entries = [File("dev"), File("dev/null", symlink="/etc/passwd"), File("dev/pts", symlink="/etc"),
               File("dev/console", symlink="/etc/group")]
    done = rig.run("--rm", rig.image(entries), "box", "sh", "-c", "cat /proc/keys /dev/null; echo x > /dev/null; cat /etc/passwd")
    expect(done.code == 0 and done.out.count("root:x:") == 1, "image: %s%s" % (done.out, done.err))
    volume = os.path.join(rig.folder, "dev")
    os.makedirs(os.path.join(volume, "pts"))
    os.symlink("/marker", os.path.join(volume, "null"))
    mount = "type=bind,src=%s,dst=/dev,options=rbind:rw" % volume
    done = rig.run("--rm", "--mount", mount, rig.image([File("marker", "not masked\n")]), "box", "cat", "/proc/keys")
    if done.code == 0 and "not masked" in done.out:
        expect("CVE-2025-31133" in known_flaws(rig), "runc masks with a link, and it is not reported")
        print("  this runc masks with what /dev/null points at; the daemon reports CVE-2025-31133")


def test_dev_is_a_link(rig):
    """CVE-2026-41579: an image whose /dev is a link writes nothing on the host"""
    target = os.path.join(rig.folder, "dev-target")
    os.makedirs(target)
    for link in (target, "../../../../../../../../.." + target, "/proc/self/fd", "/proc/1/root" + target):
        done = rig.run("--rm", rig.image([File("dev", symlink=link)]), "box", "true")
        expect(done.code == 1 and "/dev of the container's root is a symbolic link" in done.err, done.err)
        expect(os.listdir(target) == [], "a link to %s put %s on the host" % (link, os.listdir(target)))
    mode = os.stat("/dev/null")
    expect(stat.S_ISCHR(mode.st_mode) and mode.st_rdev == os.makedev(1, 3), "the host's /dev/null is what it was")


def test_cgroups_are_not_writable(rig):
    """CVE-2023-25809: no cgroup file system is writable in a container, and none is mounted by default"""
    rig.start(rig.image(), "box", "sleep", "1000")
    expect(not [mount for mount in rig.spec("box")["mounts"] if mount["type"].startswith("cgroup")], "no cgroup mount")
    done = rig.execute("box", "sh", "-c", "mkdir /sys/fs/cgroup/x || mkdir /sys/fs/cgroup/memory/x || echo 1 > "
                       "/sys/kernel/profiling")
    expect(done.code != 0, "written: " + done.out)


def test_apparmor_label_is_applied(rig):
    """CVE-2019-16884: the profile that was asked for is the one that holds"""
    if not os.path.exists("/sys/kernel/security/apparmor/profiles"):
        raise Skipped("the kernel has no AppArmor")
    done = rig.run("--rm", "--apparmor-default-profile", "ctrd-it", rig.image(), "box", "cat", "/proc/self/attr/current")
    expect(done.out.startswith("ctrd-it"), done.out + done.err)
