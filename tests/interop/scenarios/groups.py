# SPDX-License-Identifier: Apache-2.0
"""Several containers in one shim: they live and die apart, until the shim dies. And a container in a user
namespace, whose streams are its own."""

import os
import re
import subprocess

from harness import api, images, machine
from harness.session import Result

IMAGE = "local.test/small:1"
LOOP = "trap 'exit 3' TERM; while :; do sleep 0.05; done"
GROUP = ["--label", "io.containerd.runc.v2.group=pod"]


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), IMAGE)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    apart(s)
    restarted(s)
    together(s)
    user_namespace(s)
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def run(s, name, *flags):
    s.run("-d", *GROUP, *flags, IMAGE, name, "sh", "-c", LOOP, name="run " + name)
    return s.pid_of(name)


def apart(s):
    first = run(s, "a")
    shims = machine.shims([s.namespace])
    # b can see the processes of a: its end takes its own with it, and no others.
    run(s, "b", "--with-ns", "pid:/proc/%d/ns/pid" % first)
    run(s, "c")
    s.expect(len(shims) == 1 and machine.shims([s.namespace]) == shims, "one shim has all: %s" % machine.shims([s.namespace]))
    for name in "abc":
        s.ctr("tasks", "exec", "--exec-id", "same-id", name, "sh", "-c", "echo in %s; exit 4" % name, name="exec in " + name)
    api.quiet(s, "Tasks/Exec", container_id="b", exec_id="left", spec=api.process("sleep", "1000"))
    left = int(api.field(api.quiet(s, "Tasks/Start", container_id="b", exec_id="left"), "pid"))
    s.ctr("tasks", "kill", "b", name="kill b")
    s.wait_for_status("b", "STOPPED")
    machine.wait_until("b's exec to end", lambda: not machine.alive(left), 5)
    s.expect(machine.alive(first), "a lives on")
    s.ctr("tasks", "rm", "b", name="rm b")
    s.ctr("containers", "rm", "b", name="containers rm b")
    s.ctr("tasks", "exec", "--exec-id", "again", "a", "echo", "still here", name="exec in a after that")
    s.expect(machine.shims([s.namespace]) == shims, "the shim stays with the others")
    run(s, "b")
    s.expect(machine.shims([s.namespace]) == shims, "a new one joins it")


def restarted(s):
    pids = {name: s.pid_of(name) for name in "abc"}
    s.daemon.kill()
    machine.end(pids["c"])
    machine.wait_until("c to end", lambda: not machine.alive(pids["c"]))
    s.daemon.start()
    s.wait_for_status("a", "RUNNING")
    s.wait_for_status("b", "RUNNING")
    s.wait_for_status("c", "STOPPED")
    for name in "ab":
        s.ctr("tasks", "exec", "--exec-id", "after", name, "echo", "here", name="exec in %s after the restart" % name)
    api.call(s, "Tasks/Delete", "delete of the one that ended meanwhile", container_id="c")
    s.ctr("containers", "rm", "c", name="containers rm c")


def together(s):
    """The shim is killed: each task ends, and is told to end, once."""
    path = os.path.join(s.folder, "events")
    with open(path, "wb") as out:
        events = subprocess.Popen(s.command("events"), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        def heard():
            s.quiet("namespaces", "label", s.namespace, "probe=x")
            return b"/namespaces/update" in machine.read(path)
        machine.wait_until("the subscription", heard)
        pids = {name: s.pid_of(name) for name in "ab"}
        machine.end(machine.shims([s.namespace])[0])
        machine.wait_until("the containers to end", lambda: not any(machine.alive(pid) for pid in pids.values()))
        machine.wait_until("the last event", lambda: machine.read(path).count(b" /tasks/delete ") >= 2)
    finally:
        events.kill()
        events.wait()
    lines = re.findall(r' (/tasks/\w+) \{"container_id":"(\w)".*?"exit_status":(\d+)', machine.read(path).decode())
    for name in "ab":
        told = "".join("%s %s\n" % (topic, status) for topic, who, status in lines if who == name)
        s.record("events of %s when the shim dies" % name, "events", Result(0, told, ""))
    machine.wait_until("the tasks to be gone", lambda: s.status_of("a") is None and s.status_of("b") is None)
    for name in "ab":
        s.ctr("containers", "rm", name, name="containers rm %s after that" % name)


def user_namespace(s):
    """Its root is somebody else on the host, and can open its own streams again."""
    os.chmod(s.folder, 0o711)  # The tests' own folder lets nobody through.
    flags = ["--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536"]
    s.run("--rm", *flags, IMAGE, "mapped", "sh", "-c",
          "id -u; cat /proc/self/uid_map | tr -s ' '; echo out > /dev/stdout; echo err > /dev/stderr; exit 5",
          name="run in a user namespace")
    s.run("-d", *flags, IMAGE, "mapped", "sh", "-c", LOOP, name="run -d in a user namespace")
    pid = s.pid_of("mapped")
    status = machine.read("/proc/%d/status" % pid).decode() if pid else ""
    s.expect("\nUid:\t100000\t" in status and "\nGid:\t200000\t" in status, "who it is on the host: %s" % status[:200])
    s.ctr("tasks", "exec", "--exec-id", "e", "mapped", "sh", "-c", "id -g; echo err > /dev/stderr", name="exec in a user namespace")
    s.ctr("tasks", "rm", "-f", "mapped", name="rm of the mapped")
    s.ctr("containers", "rm", "mapped", name="containers rm of the mapped")
