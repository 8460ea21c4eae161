# SPDX-License-Identifier: Apache-2.0
"""Flaws of the making of specifications: users and groups, capabilities, masked paths, labels of images."""

import os
import random
import shlex

from harness import machine
from harness.images import File
from harness.rig import expect

PASSWD = ("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n"
          "2147483648:x:0:0::/:/bin/sh\n-1:x:0:0::/:/bin/sh\n0x10:x:77:77::/:/bin/sh\n")
GROUP = "root:x:0:\nstaff:x:50:app,root\napp:x:1001:app\ndisk:x:6:app\n4294967296:x:0:\n"
ACCOUNTS = [File("etc/passwd", PASSWD), File("etc/group", GROUP)]
OUT_OF_RANGE = ("2147483648", "4294967295", "4294967296", "-1", "18446744073709551616")
LIMIT_MIB = 100  # What ctr may need whatever the files are; they are of GiBs.


def test_capabilities_are_never_inheritable(rig):
    """CVE-2022-24769, CVE-2022-29162: CapInh is 0 for run and exec, by every client"""
    image = rig.image()
    for client in ("ours", "reference"):
        for flags in ((), ("--privileged",), ("--cap-add", "CAP_SYS_ADMIN"), ("--user", "1000:1000")):
            flags = () if client == "reference" and "--user" in flags else flags
            rig.session.quiet("run", "-d", "--null-io", *flags, image, "box", "sleep", "1000", client=client)
            capabilities = rig.spec("box")["process"]["capabilities"]
            expect("inheritable" not in capabilities and "ambient" not in capabilities, "%s: %s" % (flags, capabilities))
            pid = rig.session.pid_of("box")
            expect(pid, "box does not run: %s %s" % (client, flags))
            check_sets(machine.read("/proc/%d/status" % pid).decode(), flags)
            done = rig.session.quiet("tasks", "exec", "--exec-id", "e", "box", "cat", "/proc/self/status", client=client)
            check_sets(done.out, flags)
            rig.clear()


def check_sets(status, flags):
    sets = dict(line.split() for line in status.splitlines() if line.startswith("Cap"))
    expect(int(sets["CapInh:"], 16) == 0, "CapInh %s with %s" % (sets["CapInh:"], flags))
    expect(int(sets["CapAmb:"], 16) == 0, "CapAmb %s with %s" % (sets["CapAmb:"], flags))


def test_supplementary_groups(rig):
    """CVE-2023-25173: the primary gid and the memberships are in the list, and id inside agrees"""
    table = {  # user: (uid, gid, all gids) as the user of an image
        "app": (1000, 1001, {1001, 50, 6}), "app:staff": (1000, 50, {50, 6}), "1000": (1000, 1001, {1001, 50, 6}),
        "1000:50": (1000, 50, {50, 6}), "app:7": (1000, 7, {7, 50, 6}), "1000:staff": (1000, 50, {50, 6}),
        "4711": (4711, 0, {0}), "": (0, 0, {0, 50}),
    }
    for user, (uid, gid, gids) in table.items():
        image = rig.image(ACCOUNTS, User=user)
        done = rig.run("--rm", image, "box", "sh", "-c", "id -u; id -g; id -G")
        seen = done.out.split()
        expect(done.code == 0 and len(seen) > 2, "%s: %s" % (user, done.err))
        expect((int(seen[0]), int(seen[1]), set(map(int, seen[2:]))) == (uid, gid, gids), "%s: %s" % (user, seen))
    image = rig.image(ACCOUNTS)
    for user, gids in {"app": {1001, 50, 6}, "app:staff": {50}, "1000": {1001}, "1000:50": {50}}.items():
        done = rig.run("--rm", "--user", user, image, "box", "id", "-G")
        expect(set(map(int, done.out.split())) == gids, "--user %s: %s %s" % (user, done.out, done.err))


def test_numbers_out_of_range(rig):
    """CVE-2024-40635, CVE-2026-46680: an id that does not fit is an error, neither root nor a name"""
    for number in OUT_OF_RANGE:
        refused(rig, rig.image(ACCOUNTS, User=number), (), "uid out of range")
    for number in ("4294967296", "-1"):
        refused(rig, rig.image(ACCOUNTS, User="1:" + number), (), "gid out of range")
        refused(rig, rig.image(ACCOUNTS, User="app:" + number), (), "gid out of range")
    image = rig.image(ACCOUNTS)
    for number in OUT_OF_RANGE:
        refused(rig, image, ("--user", number), "uid out of range")
        refused(rig, image, ("--user", number + ":0"), "uid out of range")
        refused(rig, image, ("--user", "0:" + number), "gid out of range")
    rig.start(image, "box", "sleep", "1000")
    for number in OUT_OF_RANGE:
        done = rig.execute("box", "id", flags=("--user", number))
        expect(done.code == 1 and "uid out of range" in done.err, "exec --user %s: %s%s" % (number, done.out, done.err))


def refused(rig, image, flags, why):
    done = rig.run("--rm", *flags, image, "box", "id")
    expect(done.code == 1 and why in done.err, "%s: %s%s" % (flags, done.out, done.err))
    expect(rig.ctr("containers", "ls", "-q").out == "", "a refused container is recorded")


def test_account_files_are_read_with_bounds(rig):
    """CVE-2026-47262: passwd and group of any size and kind cost no memory and no time"""
    kinds = {
        "sparse": "rm -f F; dd if=/dev/zero of=F bs=1 count=1 seek=4294967296 2>/dev/null",
        "fifo": "rm -f F; /bin/busybox mkfifo F",
        "device": "rm -f F; /bin/busybox mknod F c 1 5",
        "link to a device": "rm -f F; /bin/busybox mknod /zero c 1 5; ln -s /zero F",
        "link out": "rm -f F; ln -s ../../../../../../etc/F-of-host F",
        "loop": "rm -f F; ln -s F F",
        "folder": "rm -f F; mkdir F",
    }
    image = rig.image(ACCOUNTS)
    for name, script in kinds.items():
        for file, user in (("/etc/passwd", "app"), ("/etc/group", "1000:staff")):
            rig.start(image, "box", "sh", "-c", script.replace("F", file) + "; sleep 1000")
            rig.session.wait_for_status("box", "RUNNING")
            wait_for_change(rig)
            code, peak, text = rig.memory_of("tasks", "exec", "--exec-id", "e", "--user", user, "box", "id", timeout=20)
            expect(code == "1", "%s %s: %s %s" % (name, file, code, text))
            expect(peak < LIMIT_MIB, "%s %s: ctr took %d MiB" % (name, file, peak))
            rig.clear()


def wait_for_change(rig):
    """Until the container's first process is done with its script."""
    pid = rig.session.pid_of("box")
    machine.wait_until("the script to end", lambda: b"sleep" in machine.read("/proc/%d/cmdline" % pid) or
                       any(b"sleep" in machine.read("/proc/%d/cmdline" % child) for child in children(pid)))


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as handle:
            return [int(word) for word in handle.read().split()]
    except OSError:
        return []


def test_account_files_of_a_directory(rig):
    """CVE-2026-47262, with --rootfs: the same bounds where the directory is given"""
    root = os.path.join(rig.folder, "root")
    os.makedirs(os.path.join(root, "etc"))
    with open(os.path.join(root, "etc/group"), "wb") as handle:
        handle.truncate(4 << 30)
    with open(os.path.join(root, "etc/passwd"), "w", encoding="ascii") as handle:
        handle.write(PASSWD)
    code, peak, text = rig.memory_of("run", "--rm", "--rootfs", "--user", "app", root, "box", "/bin/true")
    expect(code == "1" and '"etc/group" exceeds 10485760 bytes' in text, "%s %s" % (code, text))
    expect(peak < LIMIT_MIB, "ctr took %d MiB" % peak)
    os.unlink(os.path.join(root, "etc/passwd"))
    os.symlink("/etc/passwd", os.path.join(root, "etc/passwd"))  # The directory's own, which is this link.
    code, _, text = rig.memory_of("run", "--rm", "--rootfs", "--user", "root", root, "box", "/bin/true")
    expect(code == "1", "a link to the host's passwd is not followed there: %s %s" % (code, text))


def test_power_counters_are_masked(rig):
    """GHSA-7ww5-4wqc-m92c: the power counters of the processor cannot be read"""
    image = rig.image()
    rig.start(image, "box", "sleep", "1000")
    expect("/sys/devices/virtual/powercap" in rig.spec("box")["linux"]["maskedPaths"], "masked in the specification")
    done = rig.execute("box", "sh", "-c", "ls /sys/devices/virtual/powercap /sys/firmware /proc/acpi /proc/scsi 2>/dev/null "
                       "| grep -v : | grep .; cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | head -c 1 | wc -c")
    expect(done.out.strip() == "0", "masked paths show %r" % done.out)


def test_labels_of_images_are_not_obeyed(rig):
    """CVE-2026-53488: reserved labels of an image reach no container; those of the caller do"""
    proof = os.path.join(rig.folder, "proof")
    evil = {"containerd.io/restart.policy": "always", "containerd.io/restart.status": "running",
            "containerd.io/restart.loguri": "binary:///bin/sh?-c=" + shlex.quote("touch " + proof),
            "containerd.io/gc.root": "1", "io.cri-containerd.kind": "sandbox", "io.cri-containerd.image": "managed",
            "org.example.fine": "yes", "too.long": "x" * 5000}
    image = rig.image(Labels=evil)
    done = rig.ctr("containers", "create", "--label", "containerd.io/restart.explicitly-stopped=true", image, "box")
    expect(done.code == 0, done.err)
    labels = rig.labels("box")
    kept = {key for key in labels if key.startswith(("containerd.io/", "io.cri-containerd"))}
    expect(kept == {"containerd.io/restart.explicitly-stopped"}, "reserved labels: %s" % kept)
    expect(labels.get("org.example.fine") == "yes" and "too.long" not in labels, "other labels: %s" % labels)
    expect("containerd.io/restart.policy" in done.err, "a warning names what was dropped: %s" % done.err)
    annotations = rig.spec("box").get("annotations", {})
    expect(list(annotations) == ["containerd.io/restart.explicitly-stopped"], "annotations: %s" % annotations)
    expect(not os.path.exists(proof), "a command of the image ran on the host")


def test_environment_and_arguments_stay_inside(rig):
    """An image's environment is the container's alone: no client, shim or runtime obeys it"""
    proof = os.path.join(rig.folder, "proof-env")
    image = rig.image(Env=["PATH=/bin", "CONTAINERD_ADDRESS=/evil", "LD_PRELOAD=" + proof, "NOTIFY_SOCKET=/evil",
                           "_LIBCONTAINER_LOGPIPE=3", "containerd.io/restart.status=running"],
                      Entrypoint=["/bin/sh", "-c", "env"])
    done = rig.run("--rm", image, "box")
    expect(done.code == 0 and "CONTAINERD_ADDRESS=/evil" in done.out, done.err)
    expect("_LIBCONTAINER_INITPIPE" not in done.out, "the runtime's variables are not the container's: " + done.out)


VALID_FLAGS = [
    ("--env", "A=b"), ("--read-only",), ("--net-host",), ("--privileged",), ("--privileged", "--privileged-without-host-devices"),
    ("--cap-add", "CAP_SYS_ADMIN"), ("--cap-drop", "CAP_CHOWN"), ("--cap-drop", "CAP_KILL"), ("--seccomp",),
    ("--allow-new-privs",), ("--user", "1000:1000"), ("--user", "app"), ("--cwd", "/tmp"), ("--memory-limit", "67108864"),
    ("--cpus", "0.5"), ("--cpu-shares", "256"), ("--cpuset-cpus", "0"), ("--device", "/dev/null"), ("--device", "/dev/full"),
    ("--hostname", "h"), ("--rlimit-nofile", "64:128"), ("--annotation", "a=b"), ("--label", "c=d"), ("--no-pivot",),
    ("--mount", "type=tmpfs,src=tmpfs,dst=/mnt,options=size=1m"), ("--mount", "type=tmpfs,src=tmpfs,dst=/run,options=rw"),
    ("--with-ns", "network:/proc/self/ns/net"), ("--with-ns", "ipc:"), ("--with-ns", "cgroup:"),
    ("--rootfs-propagation", "rslave"),
]


def test_any_flags_make_a_valid_specification(rig):
    """Flags in any combination are refused by us, or make a specification that runc takes"""
    source, image = random.Random(3), rig.image(ACCOUNTS)
    for _ in range(25):
        flags = [word for chosen in source.sample(VALID_FLAGS, source.randint(2, 7)) for word in chosen]
        done = rig.run(*flags, image, "box", "/bin/true")
        if done.code == 0:
            process = rig.spec("box")["process"]
            expect("inheritable" not in process["capabilities"], "%s: %s" % (flags, process["capabilities"]))
        else:
            expect("OCI runtime" not in done.err and rig.ctr("containers", "ls", "-q").out == "",
                   "%s: %s %s" % (flags, done.code, done.err))
        rig.clear()
