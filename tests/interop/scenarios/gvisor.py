# SPDX-License-Identifier: Apache-2.0
"""A runtime `io.containerd.runsc.v1`: a shim of another name and an older generation, around gVisor's runsc.

Debian has runsc, but gVisor's own shim is in none of its packages. What starts under that shim's name here is
Debian's shim of 1.6, for which `runc` is runsc: it answers with a plain address, writes `address` and speaks
version 2 of the task service, as gVisor's did then. Its container is a sandbox with a kernel of its own."""

import os

from harness import api, images, machine
from harness.terminal import Terminal

NEEDED = ["runsc", "/usr/bin/containerd-shim-runc-v2"]
NAME = "io.containerd.runsc.v1"
IMAGE = "local.test/small:1"
LOOP = "trap 'exit 7' TERM; while :; do sleep 0.05; done"
SHIM = """#!/bin/sh
PATH={folder}/oci:$PATH exec /usr/bin/containerd-shim-runc-v2 "$@"
"""
# As on a machine where it may neither make virtual machines nor write cgroups.
RUNTIME = """#!/bin/sh
exec runsc --platform=ptrace --network=none --ignore-cgroups "$@"
"""
OF_IMAGE = ("images", "content", "snapshots", "snapshot folders")
OF_CONTAINER = OF_IMAGE + ("containers",)


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), IMAGE)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    shim = install(s)
    try:
        life(s, "by name", NAME)
        life(s, "by path", shim)
        restart(s)
        dead_shim(s)
        options(s)
    finally:
        for pid in sandboxes(s):  # In no cgroup of ours: nobody else would find them.
            machine.end(pid)
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def install(s):
    """Puts the shim where the daemon looks for it from now on."""
    folder = os.path.join(s.folder, "shims")
    os.makedirs(os.path.join(folder, "oci"))
    shim = os.path.join(folder, "containerd-shim-runsc-v1")
    for path, text in ((shim, SHIM), (os.path.join(folder, "oci", "runc"), RUNTIME)):
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(text.format(folder=folder))
        os.chmod(path, 0o755)
    s.daemon.stop()
    s.daemon.path = "%s:%s" % (folder, s.daemon.path)
    s.daemon.start()
    return shim


def sandboxes(s):
    """Processes of runsc that belong to this session."""
    lines = {pid: machine.command_line(pid) for pid in machine.processes()}
    return [pid for pid, line in lines.items() if line.startswith("runsc") and s.namespace in line]


def start(s, name, runtime=NAME, label=None):
    done = s.ctr("run", "-d", "--runtime", runtime, IMAGE, name, "sh", "-c", LOOP, name=label or "run " + s.names[name])
    s.expect(done.code == 0, "run of %s: %s" % (name, done))
    return s.pid_of(name)


def life(s, how, runtime):
    box, run = s.own("box"), ("run", "--rm", "--runtime", runtime)
    # The 1.6 client loses what a process wrote right before its end, hence the pauses.
    s.ctr(*run, IMAGE, s.own("once"), "sh", "-c", "echo out; echo err >&2; sleep 0.3; exit 5", name=how + ": run")
    shown = s.ctr(*run, IMAGE, s.own("kernel"), "sh", "-c", "cat /proc/version; sleep 0.3", name=how + ": version of the kernel")
    s.expect("Linux version 4.4.0" in shown.out, "gVisor's own kernel answers: %s" % shown)
    # This runsc does not hear of the end of a pipe, with Debian's daemon neither.
    fed = s.ctr(*run, IMAGE, s.own("fed"), "sh", "-c", "head -c 50000; sleep 0.2", stdin=b"line\n" * 10000, compare="code",
                name=how + ": run from a pipe")
    s.expect(fed.out == "line\n" * 10000, "all of standard input comes back: %d bytes" % len(fed.out))
    terminal(s, how + ": run on a terminal", *run, "-t", IMAGE, s.own("tty"))

    pid = start(s, box, runtime, how + ": run -d")
    s.expect("runsc" in machine.command_line(pid), "the task is a sandbox: %s" % machine.command_line(pid))
    record = s.info("containers", box)["Runtime"]
    s.expect(record.get("Name") == runtime and not record.get("Options"), "no options of another runtime: %s" % record)
    s.ctr("tasks", "exec", "--exec-id", "e", box, "sh", "-c", "echo inside; sleep 0.3; exit 4", name=how + ": exec")
    s.ctr("tasks", "exec", "--exec-id", "f", box, "/no/such/program", compare="code", name=how + ": exec of nothing")
    terminal(s, how + ": exec on a terminal", "tasks", "exec", "-t", "--exec-id", "t", box)
    s.ctr("tasks", "ps", box, compare="code", name=how + ": ps")
    shown = s.ctr("tasks", "metrics", box, compare="code", name=how + ": metrics")
    s.expect("memory.usage" in shown.out, "metrics: %s" % shown)
    s.ctr("tasks", "pause", box, name=how + ": pause")
    s.expect(s.status_of(box) == "PAUSED", "it pauses")
    s.ctr("tasks", "resume", box, name=how + ": resume")
    s.expect(s.status_of(box) == "RUNNING", "it goes on")
    s.ctr("tasks", "rm", box, name=how + ": rm while it runs")
    waiting = api.start(s, "Tasks/Wait", container_id=box)
    s.ctr("tasks", "kill", box, name=how + ": kill")
    api.record(s, how + ": wait", "Tasks/Wait", api.finish(waiting))
    s.wait_for_status(box, "STOPPED")
    api.call(s, "Tasks/Get", how + ": the stopped", container_id=box)
    s.ctr("tasks", "rm", box, name=how + ": rm")
    s.ctr("tasks", "start", "-d", box, name=how + ": start again")
    s.ctr("tasks", "rm", "-f", box, name=how + ": rm -f")
    s.ctr("containers", "rm", box, name=how + ": containers rm")
    s.nothing_left("after a life " + how, but=OF_IMAGE)


def terminal(s, name, *arguments):
    """A size comes in, a line is typed, a status goes out."""
    size = "until [ \"$(stty size 2>/dev/null)\" = '33 77' ]; do sleep 0.05; done; stty size; "
    script = size + "read line; echo got $line; sleep 0.5; exit 6"
    client = Terminal(s.command(*arguments, "sh", "-c", script))
    if client.wait_for(b"33 77"):
        client.type(b"typed words\n")
    s.record(name, " ".join(arguments), client.finish())


def restart(s):
    """The daemon is killed, one sandbox ends meanwhile, and the daemon finds what there is."""
    stay, end = s.own("stays"), s.own("ends")
    stays, ends = start(s, stay), start(s, end)
    s.daemon.kill()
    machine.end(ends)
    machine.wait_until("it to end", lambda: not machine.alive(ends))
    s.daemon.start()
    s.wait_for_status(stay, "RUNNING")
    s.expect(s.pid_of(stay) == stays, "it is the one of before")
    s.ctr("tasks", "exec", "--exec-id", "e", stay, "sh", "-c", "echo inside; sleep 0.3", name="exec after the restart")
    waiting = api.start(s, "Tasks/Wait", container_id=stay)
    s.ctr("tasks", "kill", "-s", "SIGKILL", stay, name="kill after the restart")
    api.record(s, "wait after the restart", "Tasks/Wait", api.finish(waiting))
    for name in (stay, end):
        s.quiet("tasks", "rm", name)
        s.ctr("containers", "rm", name, name="containers rm " + s.names[name])
    s.nothing_left("after the restart", but=OF_IMAGE)


def dead_shim(s):
    """Its shim is killed: the sandbox goes with it, and waiters hear of it."""
    orphan, again = s.own("orphan"), s.own("orphan-again")
    pid = start(s, orphan)
    waiting = api.start(s, "Tasks/Wait", container_id=orphan)
    for shim in machine.shims([s.namespace]):
        machine.end(shim)
    machine.wait_until("the task to be gone", lambda: s.status_of(orphan) is None)
    machine.wait_until("the sandbox to end", lambda: not machine.alive(pid))
    answer = api.finish(waiting)
    s.expect(answer.code != 0 and "closed" in answer.err, "a waiter is told: %s" % answer)
    s.nothing_left("after the shim's death", but=OF_CONTAINER)
    start(s, again)
    s.ctr("tasks", "rm", "-f", again, name="rm -f after a shim's death")
    for name in (orphan, again):
        s.ctr("containers", "rm", name, name="containers rm " + s.names[name])


def options(s):
    """The options of a runtime that is not runc's are kept with the container and reach its shim, which does not
    know this kind; runc's flags are refused by the client."""
    made = s.quiet("containers", "create", "--runtime", NAME, "--runtime-config-path", "/etc/containerd/runsc.toml",
                   IMAGE, "configured", "true")
    s.expect(made.code == 0, "containers create: %s" % made)
    s.expect("runtimeoptions.v1.Options" in s.quiet("containers", "info", "configured").out, "the options are kept")
    s.ctr("tasks", "start", "configured", name="start with options that the shim does not know")
    s.nothing_left("after options that the shim does not know", but=OF_CONTAINER)
    s.quiet("containers", "rm", "configured")
    for flag in (("--runc-binary", "runsc"), ("--runc-systemd-cgroup", "--cgroup", "a:b:c")):
        s.ctr("run", "--runtime", NAME, *flag, IMAGE, "refused", "true", name="run with " + flag[0])
        s.quiet("containers", "rm", "refused")
