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
    print(manner, words[-1], file=calls)
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
    if manner == "hangs-up":
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
            program = os.path.join(folder, manner)
            with open(program, "w", encoding="utf-8") as handle:
                handle.write(SHIM.replace("@FOLDER@", folder))
            os.chmod(program, 0o755)
            one(s, folder, manner, program)
    finally:
        for pid in machine.read(os.path.join(folder, "servers")).split():
            machine.end(int(pid))
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def one(s, folder, manner, program):
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
    gone = lambda: not os.path.exists(os.path.join(s.daemon.state, "io.containerd.runtime.v2.task", s.namespace, "sick"))  # noqa: E731
    machine.wait_until("%s: the bundle to be gone" % manner, gone)
    calls = machine.read(os.path.join(folder, "calls")).decode()
    s.expect(manner + " delete" in calls, "the shim was asked to clean up: %s" % calls)
    s.quiet("containers", "rm", "sick")
    s.nothing_left("after a shim that " + manner, but=HELD)
    again = s.quiet("run", "--rm", *s.runtime_flags, IMAGE, "sick", "echo", "again")
    s.expect(again.out == "again\n", "%s: the id is free: %s" % (manner, again))
