# SPDX-License-Identifier: Apache-2.0
"""The life of a container behind a shim of each transport; its daemon and its shim die."""

import json
import os

from harness import machine
from harness.rig import expect

MANNERS = {"grpc": ("grpc", "/"), "hvsock": ("ttrpc", "hvsock:///"), "abstract": ("ttrpc", "/")}


def shim_of(rig, manner):
    """The path of a shim of this manner: the proxy goes by the name it is called by."""
    path = os.path.join(rig.folder, "shim-" + manner)
    if not os.path.lexists(path):
        os.symlink(os.path.join(rig.session.bin_dir, "shim_proxy"), path)
    return path


def bundle(rig, container):
    for top, folders, _ in os.walk(rig.session.daemon.folder):
        if top.endswith("/io.containerd.runtime.v2.task/" + rig.session.namespace) and container in folders:
            if os.path.exists(os.path.join(top, container, "bootstrap.json")):
                return os.path.join(top, container)
    return None


def start(rig, manner, image):
    done = rig.run("-d", "--null-io", "--runtime", shim_of(rig, manner), image, "box", "sleep", "1000", client="reference")
    expect(done.code == 0, done.err)
    with open(os.path.join(bundle(rig, "box"), "bootstrap.json"), encoding="utf-8") as handle:
        endpoint = json.load(handle)
    protocol, address = MANNERS[manner]
    expect(endpoint["protocol"] == protocol and endpoint["address"].startswith(address), str(endpoint))


def proxies(rig, manner):
    return [pid for pid in machine.processes()
            if machine.command_line(pid).split(" ")[0] == shim_of(rig, manner) and machine.alive(pid)]


def nothing_left(rig, manner):
    machine.wait_until("the bundle to go", lambda: bundle(rig, "box") is None)
    machine.wait_until("the shims to go",
                       lambda: not proxies(rig, manner) and not machine.shims([rig.session.namespace]))


def lives(rig, manner):
    image = rig.image()
    done = rig.run("--rm", "--runtime", shim_of(rig, manner), image, "once", "sh", "-c", "echo out; echo err >&2; exit 7",
                   client="reference")
    expect((done.code, done.out, done.err) == (7, "out\n", "err\n"), str(done))
    start(rig, manner, image)
    done = rig.ctr("tasks", "exec", "--exec-id", "e1", "box", "sh", "-c", "echo inside; exit 4", client="reference")
    expect((done.code, done.out) == (4, "inside\n"), str(done))
    done = rig.ctr("tasks", "metrics", "box", client="reference")
    expect(done.code == 0 and "box" in done.out, str(done))
    for action, state in (("pause", "PAUSED"), ("resume", "RUNNING")):
        done = rig.ctr("tasks", action, "box", client="reference")
        expect(done.code == 0 and rig.session.status_of("box") == state, action + done.err)
    # The daemon dies and finds it again.
    pid = rig.session.pid_of("box")
    rig.session.daemon.kill()
    rig.session.daemon.start()
    machine.wait_until("its adoption", lambda: rig.session.status_of("box") == "RUNNING")
    expect(rig.session.pid_of("box") == pid, "it is the same process")
    done = rig.ctr("tasks", "kill", "--signal", "KILL", "box", client="reference")
    expect(done.code == 0, done.err)
    machine.wait_until("its end", lambda: rig.session.status_of("box") == "STOPPED")
    done = rig.ctr("tasks", "rm", "box", client="reference")
    expect(done.code == 137 or done.code == 0, done.err)
    rig.clear()
    nothing_left(rig, manner)


def dies(rig, manner):
    start(rig, manner, rig.image())
    pid = rig.session.pid_of("box")
    for shim in proxies(rig, manner):
        machine.end(shim)
    machine.wait_until("its container to go", lambda: not machine.alive(pid))
    machine.wait_until("its task to go", lambda: rig.session.status_of("box") is None)
    nothing_left(rig, manner)


def test_grpc(rig):
    """a shim over gRPC: run, exec, pause, metrics, adoption, delete"""
    lives(rig, "grpc")


def test_grpc_dies(rig):
    """a shim over gRPC that is killed: its container goes with it"""
    dies(rig, "grpc")


def test_hvsock(rig):
    """a shim behind a hypervisor's socket that hangs up first: run, exec, pause, metrics, adoption, delete"""
    lives(rig, "hvsock")


def test_hvsock_dies(rig):
    """a hypervisor that is killed: its container goes with it"""
    dies(rig, "hvsock")


def test_abstract(rig):
    """a shim in the abstract space, as the oldest were: run, exec, pause, metrics, adoption, delete"""
    lives(rig, "abstract")
