# SPDX-License-Identifier: Apache-2.0
"""Every method of the task service in every state of a task, called directly: codes, messages, effects."""

import os

from harness import api, images, machine

IMAGE = "local.test/small:1"
LOOP = "trap 'exit 3' TERM; while :; do sleep 0.05; done"
MEMORY = 64 << 20


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), IMAGE)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    nobody(s)
    container(s, "box", "sh", "-c", LOOP)
    every_call(s, "no task")
    create(s, "box", name="create")
    create(s, "box", name="create again")
    created(s)
    running(s)
    paused(s)
    stopped(s)
    s.quiet("containers", "rm", "box")
    deleted_when_created(s)
    kill_all(s)
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def container(s, name, *arguments):
    made = s.quiet("containers", "create", *s.runtime_flags, "--", IMAGE, name, *arguments)
    s.expect(made.code == 0, "containers create: %s" % made)


def create(s, container_id, name, **more):
    """Tasks.Create with the mounts of the container's snapshot; returns the pid."""
    rootfs = api.quiet(s, "Snapshots/Mounts", snapshotter="overlayfs", key=container_id).out
    result = api.call(s, "Tasks/Create", name, rootfs.replace("mounts {", "rootfs {"), container_id=container_id, **more)
    return int(api.field(result, "pid") or 0)


def nobody(s):
    for method in ("Get", "Start", "Delete", "Pause", "Kill", "ListPids", "Update", "Wait"):
        api.call(s, "Tasks/" + method, "%s of nobody" % method, container_id="nobody")
    api.call(s, "Tasks/Exec", "Exec in nobody", container_id="nobody", exec_id="e", spec=api.process("true"))
    api.call(s, "Tasks/Metrics", "Metrics of nobody", filters=["id==nobody"])
    api.call(s, "Tasks/Metrics", "Metrics of a bad filter", filters=["id=="])
    api.call(s, "Tasks/List", "List of none")


def every_call(s, state, but=()):
    """What each method says in this state; those in `but` would change it."""
    for method, fields in (
            ("Get", {}), ("Kill", {"signal": 0}), ("ListPids", {}), ("Start", {}), ("Pause", {}), ("Resume", {}),
            ("Exec", {"exec_id": "x-" + state.replace(" ", "-"), "spec": api.process("true")}),
            ("ResizePty", {"width": 80, "height": 25}), ("CloseIO", {"stdin": True}),
            ("Update", {"resources": api.any_json("LinuxResources", {"memory": {"limit": MEMORY}})}),
            ("Checkpoint", {}), ("Delete", {})):
        if method not in but:
            # Which pids there are while a shell loops is a matter of luck.
            api.call(s, "Tasks/" + method, "%s, %s" % (method, state), container_id="box", **fields,
                     compare="code" if method == "ListPids" else "text")
    for method, fields in (("Get", {}), ("Start", {}), ("Kill", {"signal": 9}), ("Wait", {}), ("DeleteProcess", {}),
                           ("ResizePty", {}), ("CloseIO", {"stdin": True})):
        api.call(s, "Tasks/" + method, "%s of no exec, %s" % (method, state), container_id="box", exec_id="none", **fields)


def created(s):
    s.waiting = [api.start(s, "Tasks/Wait", container_id="box") for _ in range(2)]
    every_call(s, "created", but=("Start", "Delete"))
    pid = int(api.field(api.quiet(s, "Tasks/Get", container_id="box"), "pid"))
    pids = api.quiet(s, "Tasks/ListPids", container_id="box").out
    s.expect("pid: %d" % pid in pids, "a created task lists its process: %s" % pids)
    s.expect(memory_limit(pid) == MEMORY, "Update of a created task works: %s" % memory_limit(pid))
    api.call(s, "Tasks/DeleteProcess", "delete an exec that never ran", container_id="box", exec_id="x-created")
    start_exec(s, "e-created", "sleep", "100", name="exec in a created task")
    api.call(s, "Tasks/Kill", "kill an exec in a created task", container_id="box", exec_id="e-created", signal=9)
    api.call(s, "Tasks/Wait", "wait for an exec in a created task", container_id="box", exec_id="e-created")
    api.call(s, "Tasks/DeleteProcess", "delete an exec in a created task", container_id="box", exec_id="e-created")
    started = api.call(s, "Tasks/Start", "start", container_id="box")
    s.expect(api.field(started, "pid") == str(pid), "the pid is the same from Create on")
    got = api.quiet(s, "Tasks/Get", container_id="box").out
    s.expect("status: RUNNING" in got and "pid: %d" % pid in got, "a started task says RUNNING: %s" % got)


def start_exec(s, exec_id, *arguments, name, **more):
    api.call(s, "Tasks/Exec", name, container_id="box", exec_id=exec_id, spec=api.process(*arguments), **more)
    result = api.call(s, "Tasks/Start", name + ": start", container_id="box", exec_id=exec_id)
    return int(api.field(result, "pid") or 0)


def running(s):
    every_call(s, "running", but=("Pause", "Checkpoint"))
    api.call(s, "Tasks/Get", "get of an exec that never ran", container_id="box", exec_id="x-running")
    api.call(s, "Tasks/Kill", "kill of an exec that never ran", container_id="box", exec_id="x-running", signal=9)
    for exec_id in ("", "a/b", "-x", "y" * 100):
        api.call(s, "Tasks/Exec", "exec with id '%s'" % exec_id[:5], container_id="box", exec_id=exec_id, spec=api.process("true"))
    api.call(s, "Tasks/Exec", "exec with an id in use", container_id="box", exec_id="x-running", spec=api.process("true"))
    api.call(s, "Tasks/Exec", "exec of no JSON", container_id="box", exec_id="bad", spec=api.any_json("Process", "{oops"))
    api.call(s, "Tasks/DeleteProcess", "delete it", container_id="box", exec_id="x-running")
    start_exec(s, "missing", "/no/such/program", name="exec of nothing")
    api.call(s, "Tasks/Get", "get of an exec that did not start", container_id="box", exec_id="missing")
    api.call(s, "Tasks/DeleteProcess", "delete an exec that did not start", container_id="box", exec_id="missing")

    pid = start_exec(s, "e1", "sleep", "100", name="exec")
    api.call(s, "Tasks/Get", "get of a running exec", container_id="box", exec_id="e1")
    pids = api.quiet(s, "Tasks/ListPids", container_id="box").out
    s.expect("pid: %d\n  info" % pid in pids and "\\n\\002e1" in pids, "ListPids names the exec: %s" % pids)
    api.call(s, "Tasks/DeleteProcess", "delete a running exec", container_id="box", exec_id="e1")
    api.call(s, "Tasks/Kill", "probe of an exec", container_id="box", exec_id="e1", signal=0)
    waiting = api.start(s, "Tasks/Wait", container_id="box", exec_id="e1")
    api.call(s, "Tasks/Kill", "kill an exec", container_id="box", exec_id="e1", signal=15)
    api.record(s, "wait for the exec", "Wait", api.finish(waiting))
    api.call(s, "Tasks/Wait", "wait for the exec that has ended", container_id="box", exec_id="e1")
    api.call(s, "Tasks/Kill", "kill an exec that has ended", container_id="box", exec_id="e1", signal=9)
    api.call(s, "Tasks/ResizePty", "resize an exec that has ended", container_id="box", exec_id="e1", width=1, height=1)
    api.call(s, "Tasks/DeleteProcess", "delete the exec", container_id="box", exec_id="e1")
    api.call(s, "Tasks/DeleteProcess", "delete the exec again", container_id="box", exec_id="e1")

    api.call(s, "Tasks/Update", "update pids and shares", container_id="box",
             resources=api.any_json("LinuxResources", {"pids": {"limit": 77}, "cpu": {"shares": 512}}))
    init = int(api.field(api.quiet(s, "Tasks/Get", container_id="box"), "pid"))
    s.expect(cgroup_file(init, "pids", "pids.max") == "77", "Update sets the limit of pids")
    s.expect(cgroup_file(init, "cpu", "cpu.shares", "cpu.weight") in ("512", "20"), "Update sets the shares")
    api.call(s, "Tasks/Update", "update of no JSON", container_id="box", resources=api.any_json("LinuxResources", "{oops"))
    api.call(s, "Tasks/Update", "update to the impossible", container_id="box", compare="code",
             resources=api.any_json("LinuxResources", {"memory": {"limit": 4096}}))
    metrics = api.quiet(s, "Tasks/Metrics", filters=["id==box"])
    s.expect("io.containerd.cgroups.v" in metrics.out and 'id: "box"' in metrics.out, "metrics: %s" % metrics)
    shown = s.quiet("tasks", "metrics", "box", client="reference")
    s.expect(shown.code == 0 and "memory.usage_in_bytes" in shown.out or "memory.usage" in shown.out,
             "ctr tasks metrics: %s" % shown)
    s.record("names of the metrics", "tasks metrics", type(shown)(shown.code, names_of(shown.out), shown.err))
    api.call(s, "Tasks/Kill", "kill with a signal that is none", container_id="box", signal=999)


def names_of(table):
    return "\n".join(line.split()[0] for line in table.splitlines()[3:] if line.strip()) + "\n"


def paused(s):
    api.call(s, "Tasks/Pause", "pause", container_id="box")
    every_call(s, "paused", but=("Resume", "Checkpoint"))
    start_exec(s, "in-paused", "true", name="exec in a paused task")
    api.call(s, "Tasks/Resume", "resume", container_id="box")
    api.call(s, "Tasks/Get", "get after resume", container_id="box")


def stopped(s):
    api.call(s, "Tasks/Kill", "kill", container_id="box", signal=15)
    for number, waiting in enumerate(s.waiting):
        api.record(s, "the wait since creation %d" % number, "Wait", api.finish(waiting))
    api.call(s, "Tasks/Wait", "wait after the end", container_id="box")
    every_call(s, "stopped", but=("Delete",))
    api.call(s, "Tasks/Kill", "kill all of a stopped task", container_id="box", signal=9, all=True)
    api.call(s, "Tasks/List", "list")
    api.call(s, "Tasks/Delete", "delete", container_id="box")
    api.call(s, "Tasks/Delete", "delete again", container_id="box")
    every_call(s, "deleted")


def deleted_when_created(s):
    """Delete of a task that never started ends its process."""
    container(s, "new", "sleep", "100")
    pid = create(s, "new", "create without start")
    api.call(s, "Tasks/Delete", "delete a created task", container_id="new")
    machine.wait_until("the process to be gone", lambda: not machine.alive(pid))
    pid = create(s, "new", "create after delete")
    api.call(s, "Tasks/Kill", "kill a created task", container_id="new", signal=9)
    api.call(s, "Tasks/Wait", "wait for a created task", container_id="new")
    api.call(s, "Tasks/Get", "get of a killed created task", container_id="new")
    api.call(s, "Tasks/Delete", "delete a killed created task", container_id="new")
    s.quiet("containers", "rm", "new")


def kill_all(s):
    """Kill with `all` reaches every process of the container."""
    s.run("-d", IMAGE, "many", "sh", "-c", "for i in 1 2 3 4; do setsid sleep 100 & done; sleep 100")
    pids = machine.wait_until("five processes", lambda: at_least(machine.in_cgroups(s.namespace), 5))
    s.ctr("tasks", "kill", "--all", "-s", "SIGKILL", "many", name="kill --all")
    s.wait_for_status("many", "STOPPED")
    machine.wait_until("all to be gone", lambda: not any(machine.alive(pid) for pid in pids), 5)
    s.ctr("tasks", "rm", "many")
    s.quiet("containers", "rm", "many")


def at_least(items, number):
    return items if len(items) >= number else None


def cgroup_file(pid, controller, *names):
    """The first of `names` in the cgroup of a process: version 1 with its controller, or version 2."""
    for line in machine.read("/proc/%d/cgroup" % pid).decode().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") or not controllers:
            top = "/sys/fs/cgroup/" + controller if controllers else "/sys/fs/cgroup"
            for name in names:
                data = machine.read("%s%s/%s" % (top, path, name))
                if data:
                    return data.decode().strip()
    return None


def memory_limit(pid):
    value = cgroup_file(pid, "memory", "memory.limit_in_bytes", "memory.max")
    return int(value) if value and value.isdigit() else value
