# SPDX-License-Identifier: Apache-2.0
"""The daemon goes away while execs run and end, while a client waits, while containers end, and comes back:
statuses and times are those of the ends, not of the return. And shims that hang or died meanwhile."""

import os
import signal
import subprocess
import time

from harness import api, audit, images, machine

IMAGE = "local.test/small:1"
LOOP = "trap 'exit 3' TERM; while :; do sleep 0.05; done"


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), IMAGE)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    ends_while_away(s)
    if s.combination.daemon == "ours":
        sick_shims(s)
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def run(s, name, script=LOOP):
    made = s.run("-d", IMAGE, name, "sh", "-c", script, name="run " + name)
    s.expect(made.code == 0, "run of %s: %s" % (name, made))
    return s.pid_of(name)


def execute(s, container, exec_id, script):
    api.quiet(s, "Tasks/Exec", container_id=container, exec_id=exec_id, spec=api.process("sh", "-c", script))
    return int(api.field(api.quiet(s, "Tasks/Start", container_id=container, exec_id=exec_id), "pid"))


def ends_while_away(s):
    box, gone = run(s, "box"), run(s, "gone")
    stays = execute(s, "box", "stays", LOOP)
    ends = execute(s, "box", "ends", LOOP)
    of_gone = execute(s, "gone", "of-gone", "sleep 1000")
    attached = subprocess.Popen(s.command("run", *s.runtime_flags, IMAGE, "attached", "sh", "-c", "echo up; " + LOOP),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    attached.stdout.readline()

    s.daemon.kill()
    machine.end(ends, signal.SIGTERM)
    machine.end(gone, signal.SIGKILL)
    machine.wait_until("them to end", lambda: not machine.alive(ends) and not machine.alive(gone))
    after_ends = int(time.time()) + 1
    out, err = attached.communicate(timeout=30)
    s.expect(attached.returncode != 0, "an attached client is told: %s %s %s" % (attached.returncode, out, err))
    # So that a time of the return could be told from that of the end. Not waited for, but made to be so.
    machine.wait_until("two seconds to pass", lambda: time.time() > after_ends + 1)
    s.daemon.start()
    s.wait_for_status("box", "RUNNING")
    s.wait_for_status("gone", "STOPPED")

    check_end(s, "box", "ends", 3, after_ends)
    check_end(s, "gone", "", 137, after_ends)
    if s.combination.daemon == "ours":  # The reference has no exec of a container that it finds stopped.
        check_end(s, "gone", "of-gone", 137, after_ends)
    s.expect(not machine.alive(of_gone), "the container's exec has ended with it")
    state = api.quiet(s, "Tasks/Get", container_id="box", exec_id="stays").out
    s.expect("pid: %d" % stays in state and "status: RUNNING" in state, "the exec goes on: %s" % state)
    api.call(s, "Tasks/DeleteProcess", "delete the exec that ended", container_id="box", exec_id="ends")
    waiting = api.start(s, "Tasks/Wait", container_id="box", exec_id="stays")
    api.call(s, "Tasks/Kill", "kill the exec that went on", container_id="box", exec_id="stays", signal=15)
    api.record(s, "wait for it", "Tasks/Wait", api.finish(waiting))
    s.wait_for_status("attached", "RUNNING")  # A list right after a restart leaves out who is slow to answer.
    api.call(s, "Tasks/Delete", "delete the one that ended", container_id="gone")

    s.expect(s.daemon.stop() == 0, "SIGTERM ends the daemon with 0")
    s.expect(machine.alive(box), "SIGTERM of the daemon leaves containers alone")
    s.daemon.start()
    s.wait_for_status("box", "RUNNING")
    waiting = [api.start(s, "Tasks/Wait", container_id=name) for name in ("box", "attached")]
    for name, process in zip(("box", "attached"), waiting):
        s.ctr("tasks", "kill", name, name="kill " + name)
        api.record(s, "wait for " + name, "Tasks/Wait", api.finish(process))
    for name in ("box", "attached", "gone"):
        s.quiet("tasks", "rm", name)
        s.ctr("containers", "rm", name, name="containers rm " + name)


def check_end(s, container, exec_id, status, latest):
    """Get, Wait and the record agree: the status, and a time before the daemon came back."""
    for method in ("Get", "Wait"):
        answer = api.quiet(s, "Tasks/" + method, container_id=container, exec_id=exec_id)
        s.expect("exit_status: %d" % status in answer.out, "%s of %s %s: %s" % (method, container, exec_id, answer))
        at = int(api.field(answer, "seconds") or 0)
        s.expect(latest - 30 < at <= latest, "%s of %s %s ended at %d, not after %d" % (method, container, exec_id, at, latest))


def sick_shims(s):
    """One shim hangs, one is killed: the rest is there at once, the daemon answers, and all can be removed."""
    pids = {name: run_quiet(s, name) for name in ("well", "hangs", "dies")}
    shims = {name: shim_of(pid) for name, pid in pids.items()}
    s.daemon.kill()
    os.kill(shims["hangs"], signal.SIGSTOP)
    machine.end(shims["dies"])
    try:
        s.daemon.start()
        s.wait_for_status("well", "RUNNING")
        done = s.quiet("tasks", "exec", "--exec-id", "e", "well", "echo", "well", client="reference")
        s.expect(done.out == "well\n", "a healthy task is not held up by a sick one: %s" % done)
        s.expect("hangs" not in (s.quiet("tasks", "ls").out), "what does not answer is left out of the list")
        machine.wait_until("the container of a dead shim to be cleaned away", lambda: not machine.alive(pids["dies"]))
        machine.wait_until("its task to be gone", lambda: s.status_of("dies") is None)
        bundles = audit.leftovers(s)["bundles"]
        s.expect("dies" not in bundles and "hangs" in bundles, "bundles: %s" % bundles)
        s.expect(machine.alive(pids["hangs"]), "the container of a hanging shim is left alone")
        # The same id can be used again, and a hanging shim that wakes is as good as new.
        s.quiet("containers", "rm", "dies")
        s.expect(run_quiet(s, "dies") is not None, "the id is free again")
    finally:
        machine.end(shims["hangs"], signal.SIGCONT)
    s.wait_for_status("hangs", "RUNNING")
    done = s.quiet("tasks", "exec", "--exec-id", "e", "hangs", "echo", "awake", client="reference")
    s.expect(done.out == "awake\n", "the shim that hung works again: %s" % done)
    for name in pids:
        s.quiet("tasks", "kill", "-s", "SIGKILL", name)
        s.wait_for_status(name, "STOPPED")
        s.expect(s.quiet("tasks", "rm", name, client="reference").code == 0, "rm of " + name)
        s.quiet("containers", "rm", name)


def run_quiet(s, name):
    s.quiet("run", "-d", *s.runtime_flags, IMAGE, name, "sh", "-c", LOOP)
    return s.pid_of(name)


def shim_of(pid):
    """The parent of a container's first process."""
    return int(machine.read("/proc/%d/stat" % pid).rsplit(b")", 1)[1].split()[1])
