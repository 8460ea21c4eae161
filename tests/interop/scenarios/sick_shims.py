# SPDX-License-Identifier: Apache-2.0
"""Shims that accept a connection and then say nothing, nonsense or good-bye: the call ends with an error or with
its client, nothing stays, the id is free again, and nobody else is held up."""

import os
import subprocess

from harness import images, machine

IMAGE = "local.test/small:1"
HELD = ("images", "content", "snapshots", "snapshot folders")
# start: leaves a server behind and prints its address. delete: an empty answer.
SHIM = r'''#!/usr/bin/python3
import os, socket, sys, time
words = sys.argv[1:]
folder, manner = "@FOLDER@", os.path.basename(sys.argv[0])
with open(folder + "/calls", "a") as calls:
    print(manner, words[-1], os.getpid(), file=calls)
if manner == "hangs-in-" + words[-1] and not os.path.exists(folder + "/hung-" + manner):
    with open(folder + "/hung-" + manner, "w"):  # Once.
        time.sleep(1000)
if words[-1] != "start":
    sys.exit(0)
path = folder + "/" + manner + ".sock"
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
if os.fork():
    print("unix://" + path)
    sys.stdout.flush()
    os._exit(0)
os.setsid()
with open(folder + "/servers", "a") as servers:
    print(os.getpid(), file=servers)
nothing = os.open("/dev/null", os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(nothing, fd)
kept = []
while True:
    connection, _ = listener.accept()
    with open(folder + "/accepted-" + manner, "w"):
        pass
    if manner in ("hangs-up", "hangs-in-delete"):
        connection.recv(10)
        connection.close()
    elif manner == "babbles":
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" * 100)
        kept.append(connection)
    elif manner == "promises-much":  # A frame of 4 GiB less one byte.
        connection.sendall(b"\xff\xff\xff\xff" + b"\0\0\0\1" + b"\2\0" + b"x" * 1000)
        kept.append(connection)
    else:
        kept.append(connection)
'''


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), IMAGE)


def scenario(s):
    if s.combination.daemon != "ours":
        return  # The reference waits as long as the client does, and keeps what it made.
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    folder = os.path.join(s.folder, "shims")
    os.makedirs(folder)
    try:
        for manner in ("hangs-up", "babbles", "promises-much", "is-mute"):
            one(s, folder, manner)
        for call in ("start", "delete"):
            ends_with_its_daemon(s, folder, call)
    finally:
        end_servers(folder)
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def shim(folder, manner):
    program = os.path.join(folder, manner)
    with open(program, "w", encoding="utf-8") as handle:
        handle.write(SHIM.replace("@FOLDER@", folder))
    os.chmod(program, 0o755)
    return program


def end_servers(folder):
    servers = os.path.join(folder, "servers")
    for pid in machine.read(servers).split():
        machine.end(int(pid))
    if os.path.exists(servers):
        os.unlink(servers)


def call_of(folder, manner, word):
    """The process that this call of the shim's binary is or was, 0 before it."""
    for line in machine.read(os.path.join(folder, "calls")).decode().splitlines():
        if line.split()[:2] == [manner, word]:
            return int(line.split()[2])
    return 0


def bundle_is_gone(s):
    return not os.path.exists(os.path.join(s.daemon.state, "io.containerd.runtime.v2.task", s.namespace, "sick"))


def one(s, folder, manner):
    program = shim(folder, manner)
    client = subprocess.Popen(s.command("run", "-d", "--runtime", program, IMAGE, "sick", "true"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    machine.wait_until("the daemon to connect", lambda: os.path.exists(os.path.join(folder, "accepted-" + manner)))
    well = s.quiet("run", "--rm", *s.runtime_flags, IMAGE, "well", "echo", "well")
    s.expect(well.out == "well\n", "%s: others run: %s" % (manner, well))
    s.expect(s.quiet("tasks", "ls").code == 0, manner + ": tasks are listed")
    if manner == "is-mute":
        s.expect(client.poll() is None, "the call waits as long as the client does")
        client.kill()
    out, err = client.communicate(timeout=30)
    s.expect(client.returncode != 0, "%s: an error: %s %s" % (manner, out, err))
    machine.wait_until("%s: the bundle to be gone" % manner, lambda: bundle_is_gone(s))
    s.expect(call_of(folder, manner, "delete"), manner + ": the shim was asked to clean up")
    s.quiet("containers", "rm", "sick")
    s.nothing_left("after a shim that " + manner, but=HELD)
    again = s.quiet("run", "--rm", *s.runtime_flags, IMAGE, "sick", "echo", "again")
    s.expect(again.out == "again\n", "%s: the id is free: %s" % (manner, again))


def ends_with_its_daemon(s, folder, call):
    """A call that a dead daemon made would meddle with what its successor does about the same task: a server that
    nobody knows, the end of a new task."""
    manner = "hangs-in-" + call
    client = subprocess.Popen(s.command("run", "-d", "--runtime", shim(folder, manner), IMAGE, "sick", "true"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    machine.wait_until("the call", lambda: call_of(folder, manner, call))
    hanging = call_of(folder, manner, call)
    s.expect(machine.alive(hanging), manner)
    s.daemon.kill()
    machine.wait_until("the %s of a dead daemon to end" % call, lambda: not machine.alive(hanging))
    client.wait(30)
    end_servers(folder)  # What hangs up may yet think better of it, and is kept.
    s.daemon.start()
    machine.wait_until("%s: the bundle to be gone" % manner, lambda: bundle_is_gone(s))
    s.quiet("containers", "rm", "sick")
    s.nothing_left("after a shim that " + manner, but=HELD)
