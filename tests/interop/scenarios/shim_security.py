# SPDX-License-Identifier: Apache-2.0
"""What containers and other users must not reach: sockets, descriptors, directories, other processes.
docs/security.md names the advisories."""

import json
import os
import socket
import stat

from harness import api, images, machine

IMAGE = "local.test/small:1"
LOOP = "trap 'exit 3' TERM; while :; do sleep 0.05; done"
# A runtime and a logger that write down which descriptors they are given. Python opens none for its script.
LOOKER = """#!/usr/bin/python3
import os, sys
folder = os.open("/proc/self/fd", os.O_RDONLY)
seen = sorted(int(name) for name in os.listdir(folder) if int(name) != folder and os.path.exists("/proc/self/fd/" + name))
with open("%s", "a") as out:
    print(os.path.basename(sys.argv[0]), *seen, file=out)
os.close(folder)
"""
RUNTIME = LOOKER + 'os.execvp("runc", ["runc"] + sys.argv[1:])\n'


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), IMAGE)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    sockets(s)
    descriptors(s)
    working_directory(s)
    directories(s)
    reused_pids(s)
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def kill_and_remove(s, name):
    s.quiet("tasks", "kill", "-s", "SIGKILL", name)
    s.wait_for_status(name, "STOPPED")
    s.quiet("tasks", "rm", name)
    s.quiet("containers", "rm", name)


# ---------------------------------------------------------------- sockets: CVE-2020-15257

def sockets(s):
    """A container in the host's network finds no way to its shim, and neither does another user of the host."""
    s.run("-d", "--net-host", IMAGE, "hostnet", "sh", "-c", LOOP, name="run in the host's network")
    path = shim_socket(s, "hostnet")
    s.expect(path.startswith("/"), "the shim listens on a path: %r" % path)
    s.expect(stat.S_IMODE(os.stat(path).st_mode) == 0o600, "only its owner may connect to it: %o" % os.stat(path).st_mode)
    mode = stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode)
    s.expect(mode & 0o077 == 0, "only its owner may look into its folder: %o" % mode)
    abstract = [line.split()[-1] for line in machine.read("/proc/net/unix").decode(errors="replace").splitlines()
                if line.split()[-1].startswith("@")]
    s.expect(not [name for name in abstract if s.namespace in name or "containerd" in name or name.endswith(os.path.basename(path))],
             "no abstract socket: %s" % abstract)
    seen = s.quiet("tasks", "exec", "--exec-id", "look", "hostnet", "sh", "-c", "ls -d %s /run/containerd; sleep 0.2" % path)
    s.expect(seen.out == "" and seen.err.count("No such file") == 2, "the container has no such path: %s" % seen)
    s.expect(connects(path, 0), "root connects")
    s.expect(not connects(path, 65534), "nobody does not connect")
    s.expect(not connects(s.daemon.address, 65534), "nor to the daemon")
    s.expect(not connects(s.daemon.address + ".ttrpc", 65534), "nor to where it takes events")
    kill_and_remove(s, "hostnet")


def shim_socket(s, name):
    folder = os.path.join(s.daemon.state, "io.containerd.runtime.v2.task", s.namespace, name)
    record = machine.read(os.path.join(folder, "bootstrap.json"))
    address = json.loads(record)["address"] if record else machine.read(os.path.join(folder, "address")).decode()
    return address.removeprefix("unix://")


def connects(path, user):
    """Whether a process of this user can connect to a socket."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            with socket.socket(socket.AF_UNIX) as probe:
                os._exit(probe.connect_ex(path) != 0)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


# ---------------------------------------------------------------- descriptors: CVE-2024-21626

def open_in(pid):
    return sorted(int(name) for name in os.listdir("/proc/%d/fd" % pid))


def descriptors(s):
    """The runtime, a logger and the container's processes get what is agreed, and nothing else."""
    seen = os.path.join(s.folder, "seen")
    programs = {}
    for name, text in (("runtime", RUNTIME % seen), ("logger", LOOKER % seen + "os.close(5)\nos.read(3, 1)\n")):
        programs[name] = os.path.join(s.folder, name)
        with open(programs[name], "w", encoding="utf-8") as handle:
            handle.write(text)
        os.chmod(programs[name], 0o755)
    flags = ["--runc-binary", programs["runtime"]] if not s.runtime_flags else []
    s.quiet("run", "-d", *s.runtime_flags, *flags, IMAGE, "plain", "sleep", "1000")
    s.quiet("run", "-d", *s.runtime_flags, *flags, "--null-io", IMAGE, "null", "sleep", "1000")
    api.quiet(s, "Tasks/Exec", container_id="plain", exec_id="e", spec=api.process("sleep", "1000"))
    executed = int(api.field(api.quiet(s, "Tasks/Start", container_id="plain", exec_id="e"), "pid"))
    for what, pid in (("a container", s.pid_of("plain")), ("one without streams", s.pid_of("null")), ("an exec", executed)):
        s.expect(open_in(pid) == [0, 1, 2], "%s has %s" % (what, open_in(pid)))
    for verb in ("pause", "resume"):
        s.quiet("tasks", verb, "plain")
    kill_and_remove(s, "plain")
    kill_and_remove(s, "null")
    lines = machine.read(seen).decode().splitlines()
    s.expect(len(lines) >= 8, "the runtime is called: %s" % lines)
    if s.combination.shim == "ours":  # Debian's hands a descriptor of its own to some of the calls.
        s.expect(set(lines) == {"runtime 0 1 2"}, "the runtime is given: %s" % sorted(set(lines)))
    os.unlink(seen)
    s.quiet("run", "-d", *s.runtime_flags, "--log-uri", "binary://" + programs["logger"], IMAGE, "logged", "echo", "x")
    s.wait_for_status("logged", "STOPPED")
    s.quiet("tasks", "rm", "logged")
    s.quiet("containers", "rm", "logged")
    lines = machine.read(seen).decode().splitlines()
    s.expect(lines == ["logger 0 1 2 3 4 5"], "a logger is given: %s" % lines)


def working_directory(s):
    """A descriptor of the runtime is no way out of the container."""
    for number in (3, 5, 7, 8, 9):
        result = s.quiet("run", "--rm", *s.runtime_flags, "--cwd", "/proc/self/fd/%d" % number, IMAGE, "cwd", "ls", "/proc/1/cwd/")
        s.expect(result.code != 0, "working directory %d: %s" % (number, result))
        s.quiet("containers", "rm", "cwd")


# ---------------------------------------------------------------- directories: CVE-2021-41103, CVE-2024-25621

def directories(s):
    """Others do not get to the files of containers, whatever the mode of the files."""
    s.quiet("run", "-d", *s.runtime_flags, IMAGE, "box", "sleep", "1000")
    bundle = os.path.join(s.daemon.state, "io.containerd.runtime.v2.task", s.namespace, "box")
    s.expect(stat.S_IMODE(os.stat(bundle).st_mode) == 0o700, "a bundle is its owner's alone: %o" % os.stat(bundle).st_mode)
    os.chmod(s.folder, 0o755)  # The tests' own folder is not what keeps them out.
    os.chmod(s.daemon.folder, 0o755)
    for path in (os.path.join(bundle, "rootfs", "bin", "busybox"), os.path.join(bundle, "config.json"),
                 os.path.join(s.daemon.root, "io.containerd.snapshotter.v1.overlayfs", "snapshots", "1", "fs", "bin", "busybox")):
        s.expect(os.path.exists(path), "%s is there" % path)
        s.expect(not opens(path, 65534), "nobody opens %s" % path)
    kill_and_remove(s, "box")


def opens(path, user):
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            os._exit(not os.access(path, os.R_OK))
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


# ---------------------------------------------------------------- process ids that are used again

def reused_pids(s):
    """A process that got the number of one that has ended is not signalled in its place."""
    s.quiet("run", "-d", *s.runtime_flags, IMAGE, "box", "sh", "-c", LOOP)
    api.quiet(s, "Tasks/Exec", container_id="box", exec_id="e", spec=api.process("sleep", "1000"))
    executed = int(api.field(api.quiet(s, "Tasks/Start", container_id="box", exec_id="e"), "pid"))
    init = s.pid_of("box")
    api.quiet(s, "Tasks/Kill", container_id="box", exec_id="e", signal=9)
    api.quiet(s, "Tasks/Wait", container_id="box", exec_id="e")
    check_not_signalled(s, executed, "e")
    api.quiet(s, "Tasks/Kill", container_id="box", signal=9)
    api.quiet(s, "Tasks/Wait", container_id="box")
    check_not_signalled(s, init, "")
    s.quiet("tasks", "rm", "box")
    s.quiet("containers", "rm", "box")


def check_not_signalled(s, pid, exec_id):
    other = process_with_pid(pid)
    if other is None:
        print("skipped: no process would get the number again")
        return
    try:
        for signal in (9, 15, 0):
            killed = api.quiet(s, "Tasks/Kill", container_id="box", exec_id=exec_id, signal=signal)
            s.expect(killed.code == 5, "kill of one that has ended is NotFound: %s" % killed)
        s.expect(machine.alive(pid), "somebody else with its number lives")
    finally:
        machine.end(other)
        os.waitpid(other, 0)


def process_with_pid(pid):
    """A child that sleeps, with this very number; None when somebody else was always quicker."""
    for _ in range(50):
        with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as handle:
            handle.write(str(pid - 1))
        child = os.fork()
        if child == 0:
            os.execv("/bin/sleep", ["sleep", "1000"])
        if child == pid:
            return child
        machine.end(child)
        os.waitpid(child, 0)
    return None
