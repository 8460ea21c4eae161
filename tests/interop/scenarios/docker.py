# SPDX-License-Identifier: Apache-2.0
"""Docker's engine (package docker.io) on the daemon under test, from another vendor's code: containers
run, are fed, paused, limited, killed by the kernel, and outlive the daemon."""

import os
import re
import shutil
import subprocess

from harness import images, machine
from harness.session import Result

NEEDED = ["/usr/sbin/dockerd", "/usr/bin/docker"]  # Debian's: another client may be on PATH.
LOOP = "trap 'exit 3' TERM; while :; do sleep 0.05; done"
# As on a machine where it may neither make virtual machines nor write cgroups.
RUNSC = """#!/bin/sh
exec runsc --platform=ptrace --network=none --ignore-cgroups "$@"
"""


def prepare(registry, archives):
    del archives
    registry.push(images.small(), "it/small:1")


class Engine:
    """dockerd with everything of its own below one folder, and its client."""

    def __init__(self, s):
        self.s, self.folder = s, os.path.join(s.folder, "docker")
        os.makedirs(self.folder)
        self.host = "unix://%s/docker.sock" % self.folder
        path = lambda name: os.path.join(self.folder, name)  # noqa: E731
        with open(path("runsc"), "w", encoding="utf-8") as runsc:
            runsc.write(RUNSC)
        os.chmod(path("runsc"), 0o755)
        with open(path("log"), "wb") as log:
            self.process = subprocess.Popen(
                [NEEDED[0], "--containerd", s.daemon.address, "--data-root", path("data"), "--exec-root", path("exec"),
                 "--pidfile", path("pid"), "-H", self.host, "--bridge", "none", "--iptables=false", "--ip6tables=false",
                 "--containerd-namespace", s.namespace, "--containerd-plugins-namespace", s.namespace + "-p",
                 "--cgroup-parent", "/" + s.namespace, "--add-runtime", "runsc=" + path("runsc")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            machine.wait_until("dockerd", self.answers)
        except BaseException:
            self.stop()
            raise

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError("dockerd ended: %s" % machine.read(os.path.join(self.folder, "log")).decode()[-2000:])
        return self.quiet("version").code == 0

    def quiet(self, *arguments, stdin=b""):
        done = subprocess.run([NEEDED[1], "--config", self.folder, "-H", self.host, *arguments], input=stdin,
                              capture_output=True, timeout=60, check=False)
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def __call__(self, name, *arguments, stdin=b"", compare="text"):
        result = self.quiet(*arguments, stdin=stdin)
        result.out = re.sub(r"^[0-9a-f]{64}$", "ID", result.out, flags=re.M)
        # Docker's client may add this, on either daemon, when the failure is there before its wait.
        result.err = re.sub(r'^.*error waiting for container: context canceled.*\n?', "", result.err, flags=re.M)
        self.s.record(name, "docker " + " ".join(arguments), result, compare)
        return result

    def state(self, name, what):
        return self.quiet("inspect", "-f", "{{.State.%s}}" % what, name).out.strip()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def scenario(s):
    docker = Engine(s)
    try:
        image = s.registry.host + "/it/small:1"
        docker("pull", "pull", "-q", image)
        life(s, docker, ("--network", "none", image))
        limits(docker, ("--network", "none", image))
        build(s, docker, image)
        gvisor(s, docker, ("--network", "none", image))
        restart(s, docker, ("--network", "none", image))
        docker("nothing is left", "ps", "-aq")
    finally:
        for name in docker.quiet("ps", "-aq").out.split():
            docker.quiet("rm", "-f", name)
        docker.stop()
    s.expect(machine.shims([s.namespace]) == [], "no shim is left: %s" % machine.shims([s.namespace]))


def life(s, docker, run):
    docker("run", "run", "--rm", *run, "sh", "-c", "echo out; echo err >&2; exit 7")
    docker("run from a pipe", "run", "--rm", "-i", *run, "sh", "-c", "md5sum", stdin=b"word " * 100000)
    docker("run on a terminal", "run", "--rm", "-t", *run, "tty")
    docker("run of nothing", "run", "--rm", *run, "/no/such/program")
    docker("run as somebody", "run", "--rm", "--user", "12:34", *run, "id")
    docker("run with an init", "run", "--rm", "--env", "A=b", "--workdir", "/old", *run, "sh", "-c", "echo $A; pwd")
    docker("run -d", "run", "-d", "--name", "box", *run, "sh", "-c", LOOP)
    docker("exec", "exec", "box", "sh", "-c", "echo inside; exit 5")
    docker("exec from a pipe", "exec", "-i", "box", "cat", stdin=b"fed\n")
    docker("exec of nothing", "exec", "box", "/no/such/program")
    docker("pause", "pause", "box")
    s.expect(docker.state("box", "Status") == "paused", "the event says paused")
    docker("unpause", "unpause", "box")
    docker("update", "update", "--memory", "64m", "--memory-swap", "64m", "box")
    shown = docker.quiet("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "box").out
    s.expect("/ 64MiB" in shown and shown.split()[-1] != "0", "stats: %s" % shown)
    s.expect("sh -c trap" in docker.quiet("top", "box").out, "top")
    docker("stop", "stop", "box")
    docker("the status of the stopped", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box")
    docker("start again", "start", "box")
    docker("kill", "kill", "box")
    docker("wait", "wait", "box")
    docker("rm", "rm", "box")


def limits(docker, run):
    docker("out of memory", "run", "--name", "fat", "--memory", "16m", "--memory-swap", "16m", *run, "tail", "/dev/zero")
    docker("its status", "inspect", "-f", "{{.State.ExitCode}}", "fat")
    if docker.s.combination.shim == "ours":  # Debian's shim may lose the event when the cgroup goes first.
        machine.wait_until("Docker to know why", lambda: docker.state("fat", "OOMKilled") == "true")
    docker("rm of it", "rm", "fat")
    docker("too many processes", "run", "--rm", "--pids-limit", "4", *run, "sh", "-c",
           "for i in 1 2 3 4 5 6; do sleep 1 & done")


def build(s, docker, image):
    """Each RUN is a container of the builder's."""
    file = "FROM %s\nENV C=d\nRUN echo made > /made && cat /hello\nRUN cat /made; echo $C >> /made\n" % image
    flags = ("-q", "--force-rm", "--network", "none")
    # It names ids.
    built = docker("build", "build", *flags, "-t", "built", "-", stdin=file.encode(), compare="code")
    docker("run what was built", "run", "--rm", "--network", "none", "built", "cat", "/made")
    failed = docker("build that fails", "build", *flags, "-", stdin=file.encode() + b"RUN exit 9\n", compare="code")
    s.expect(built.code == 0 and failed.code != 0 and "returned a non-zero code: 9" in failed.err,
             "builds: %s %s" % (built, failed))


def gvisor(s, docker, run):
    """Another OCI runtime, as the engine's documents have it for gVisor."""
    if not shutil.which("runsc"):
        print("skipped: runsc is not installed")
        return
    run = ("--runtime", "runsc") + run
    shown = docker("run in gVisor", "run", "--rm", *run, "cat", "/proc/version")
    s.expect("Linux version 4.4.0" in shown.out, "gVisor's own kernel answers: %s" % shown)
    docker("run -d in gVisor", "run", "-d", "--name", "sandbox", *run, "sh", "-c", LOOP)
    docker("exec in gVisor", "exec", "sandbox", "sh", "-c", "echo inside; exit 5")
    docker("pause in gVisor", "pause", "sandbox")
    docker("unpause in gVisor", "unpause", "sandbox")
    docker("stop in gVisor", "stop", "sandbox")
    docker("the status of the stopped in gVisor", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "sandbox")
    docker("rm in gVisor", "rm", "sandbox")


def restart(s, docker, run):
    """kill -9 of containerd: the containers go on, and the engine hears of their ends again. (What ends before
    the engine has subscribed again is not told by any containerd; see the scenario restart_tasks for the tasks.)"""
    for name, policy in (("on", "no"), ("again", "always")):
        docker("run " + name, "run", "-d", "--name", name, "--restart", policy, *run, "sh", "-c", LOOP)
    pids = {name: int(docker.state(name, "Pid")) for name in ("on", "again")}
    s.daemon.kill()
    s.daemon.start()
    machine.wait_until("an exec after the restart", lambda: docker.quiet("exec", "on", "true").code == 0)
    docker("exec after the restart", "exec", "on", "echo", "inside")
    s.expect(docker.state("on", "Pid") == str(pids["on"]), "the first goes on")
    machine.wait_until("events to come again", lambda: hears(docker))
    machine.end(pids["again"])
    machine.wait_until("the second to run again", lambda: docker.state("again", "Pid") not in ("0", str(pids["again"])))
    docker("stop of all", "stop", "on", "again")
    docker("rm of all", "rm", "on", "again")


def hears(docker):
    """Whether the engine is told of what happens: a pause shows itself in its state by an event only."""
    docker.quiet("pause", "on")
    heard = docker.state("on", "Status") == "paused"
    docker.quiet("unpause", "on")
    return heard
