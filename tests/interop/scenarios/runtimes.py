# SPDX-License-Identifier: Apache-2.0
"""Runtimes other than plain runc: a wrapper that writes down its calls, crun, gVisor's runsc, another root for
runc, an older shim; and names that mean no shim."""

import json
import os
import re
import shutil
import subprocess

from harness import api, images, machine
from harness.session import Result

IMAGE = "local.test/small:1"
LOOP = "trap 'exit 7' TERM; while :; do sleep 0.05; done"
WRAPPER = """#!/bin/sh
echo "$@" >> {folder}/calls
exec runc "$@"
"""
# crun refuses a machine that has both versions of cgroups: this one shows it version 2 alone.
CRUN = """#!/bin/sh
exec unshare --mount --propagation slave sh -c \\
  'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec crun "$@"' crun "$@"
"""
# As on a machine where it may neither make virtual machines nor write cgroups.
RUNSC = """#!/bin/sh
exec runsc --platform=ptrace --network=none --ignore-cgroups "$@"
"""
SICK_SHIMS = {"fails": "echo it failed >&2; exit 3", "is-silent": "exit 0", "babbles": "echo this is no address",
              "points-nowhere": "echo unix:///no/such/socket"}


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), IMAGE)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    wrapper(s)
    crun(s)
    runsc(s)
    other_root(s)
    older_shim(s)
    names(s)
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def program(s, name, text):
    path = os.path.join(s.folder, name)
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(text.format(folder=s.folder) if "{folder}" in text else text)
    os.chmod(path, 0o755)
    return path


def life(s, name, flags, image):
    """Run, exec, pause, resume, kill, delete, with `name` in the names of the steps. image: what follows the flags."""
    # The 1.6 client loses what a process wrote right before its end, hence the pauses.
    once = "echo out; echo err >&2; sleep 0.3; exit 5"
    s.run("--rm", *flags(once), *image, s.own("once"), *command(image, once), name=name + ": run")
    box = s.own("life")
    s.run("-d", *flags(LOOP), *image, box, *command(image, LOOP), name=name + ": run -d")
    s.ctr("tasks", "exec", "--exec-id", "e", box, "sh", "-c", "echo inside; sleep 0.3; exit 4", name=name + ": exec")
    s.ctr("tasks", "exec", "--exec-id", "f", box, "/no/such/program", compare="code", name=name + ": exec of nothing")
    s.ctr("tasks", "ps", box, compare="code", name=name + ": ps")
    s.ctr("tasks", "pause", box, name=name + ": pause")
    s.expect(s.status_of(box) == "PAUSED", name + " pauses")
    s.ctr("tasks", "resume", box, name=name + ": resume")
    s.ctr("tasks", "kill", box, name=name + ": kill")
    s.wait_for_status(box, "STOPPED")
    s.ctr("tasks", "rm", box, name=name + ": rm")
    s.quiet("containers", "rm", box)
    s.nothing_left("after %s's life" % name, but=("images", "content", "snapshots", "snapshot folders"))


def command(image, script):
    return ["sh", "-c", script] if image else []


def wrapper(s):
    """What the runtime is called with, word by word."""
    path = program(s, "wrapper", WRAPPER)
    life(s, "wrapper", lambda _: ["--runc-binary", path], [IMAGE])
    s.run("-d", "--runc-binary", path, IMAGE, "more", "sh", "-c", LOOP, name="wrapper: run for more")
    api.quiet(s, "Tasks/Update", container_id="more", resources=api.any_json("LinuxResources", {"cpu": {"shares": 99}}))
    s.quiet("tasks", "kill", "--all", "-s", "SIGKILL", "more")
    s.wait_for_status("more", "STOPPED")
    s.quiet("tasks", "rm", "more")
    s.quiet("containers", "rm", "more")
    calls = machine.read(os.path.join(s.folder, "calls")).decode()
    calls = re.sub(r"--process \S+", "--process FILE", calls)
    s.record("calls of the runtime", "cat calls", Result(0, calls, ""))


def crun(s):
    if not shutil.which("crun"):
        print("skipped: crun is not installed")
        return
    s.run("--rm", "--runc-binary", "crun", IMAGE, "plain", "true", name="crun as it is")
    s.quiet("tasks", "rm", "-f", "plain")
    s.quiet("containers", "rm", "plain")
    # Without limits, which need a controller of version 2, and so without the client's own specification.
    path = program(s, "crun-v2", CRUN)
    if subprocess.run([path, "--version"], capture_output=True, check=False).returncode != 0:
        print("skipped: no second view of cgroups here")
        return
    root = os.path.join(s.folder, "crun-root")
    for name in ("bin", "proc", "dev"):
        os.makedirs(os.path.join(root, name))
    shutil.copy("/bin/busybox", os.path.join(root, "bin", "busybox"))
    for name in ("sh", "sleep"):
        os.symlink("busybox", os.path.join(root, "bin", name))

    def flags(script):
        spec = {"ociVersion": "1.0.2", "root": {"path": root},
                "process": {"args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
                "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                           {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}],
                "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")],
                          "cgroupsPath": "/%s/crun" % s.namespace}}
        with open(os.path.join(s.folder, "spec.json"), "w", encoding="utf-8") as handle:
            json.dump(spec, handle)
        return ["--runc-binary", path, "--config", os.path.join(s.folder, "spec.json")]
    life(s, "crun", flags, [])


def runsc(s):
    if not shutil.which("runsc"):
        print("skipped: runsc is not installed")
        return
    path = program(s, "runsc-plain", RUNSC)
    life(s, "runsc", lambda _: ["--runc-binary", path], [IMAGE])
    shown = s.quiet("run", *s.runtime_flags, "--rm", "--runc-binary", path, IMAGE, s.own("kernel"), "sh", "-c", "cat /proc/version")
    s.expect("Linux version 4.4.0" in shown.out, "gVisor's own kernel answers: %s" % shown)


def other_root(s):
    root = os.path.join(s.folder, "runc-root")
    s.run("-d", "--runc-root", root, IMAGE, "rooted", "sh", "-c", LOOP, name="run with another root of runc")
    s.expect(os.path.exists(os.path.join(root, s.namespace, "rooted", "state.json")), "runc keeps its state there")
    s.ctr("tasks", "exec", "--exec-id", "e", "rooted", "echo", "inside", name="exec with another root")
    s.ctr("tasks", "rm", "-f", "rooted", name="rm -f with another root")
    s.expect(os.listdir(os.path.join(root, s.namespace)) == [], "runc's state is gone")
    s.quiet("containers", "rm", "rooted")


def older_shim(s):
    """containerd-shim-runc-v1 of Debian's package: the protocol's first generation."""
    flags = ["--runtime", "/usr/bin/containerd-shim-runc-v1"]
    s.ctr("run", "--rm", *flags, IMAGE, "old", "sh", "-c", "echo out; sleep 0.3; exit 5", name="run with a shim of version 1")
    s.ctr("run", "-d", *flags, IMAGE, "old", "sh", "-c", LOOP, name="run -d with a shim of version 1")
    s.ctr("tasks", "exec", "--exec-id", "e", "old", "sh", "-c", "echo inside; sleep 0.3; exit 4", name="exec with a shim of version 1")
    s.ctr("tasks", "kill", "old", name="kill with a shim of version 1")
    s.wait_for_status("old", "STOPPED")
    s.ctr("tasks", "rm", "old", name="rm with a shim of version 1")
    s.quiet("containers", "rm", "old")


def names(s):
    for runtime in ("runc", "a/b", "/no/such/shim", "/bin", "io.containerd.none.v7", "two.parts"):
        s.ctr("run", "--rm", "--runtime", runtime, IMAGE, "named", "true", name="run with runtime " + runtime)
        s.quiet("containers", "rm", "named")
    for name, script in SICK_SHIMS.items():
        path = program(s, "shim-that-" + name, "#!/bin/sh\n" + script + "\n")
        # The words differ, the code and that nothing stays do not.
        s.quiet("containers", "create", "--runtime", path, IMAGE, "sick", "true", client="reference")
        failed = api.call(s, "Tasks/Create", "create with a shim that " + name, container_id="sick", compare="code")
        s.expect(failed.code != 0 and failed.err.startswith("failed to start shim: "), "that is an error: %s" % failed)
        s.quiet("containers", "rm", "sick")
        s.nothing_left("after a shim that " + name, but=("images", "content", "snapshots", "snapshot folders"))
