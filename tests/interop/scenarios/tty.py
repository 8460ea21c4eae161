# SPDX-License-Identifier: Apache-2.0
"""Terminals and standard input: run -t and exec -t on a pty, run with input from a pipe that stays open."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from harness import images, machine
from harness.session import Result

IMAGE = "local.test/small:1"
# The 1.6 client loses what a process wrote right before its end, hence the pauses.
# The client sends the size after the start; until then stty knows none.
WAIT = 'until [ -n "$(stty size 2>/dev/null)" ]; do sleep 0.05; done; '


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), "local.test/small:1")


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    on_terminal(s, "run on a terminal", "run", *s.runtime_flags, "--rm", "-t", IMAGE, "t1", "sh", "-c",
                WAIT + "tty; stty size; read line; echo got $line; sleep 0.5; exit 6", typed=b"typed words\n", prompt=b"33 77")
    s.run("-d", IMAGE, "box", "sleep", "100")
    on_terminal(s, "exec on a terminal", "tasks", "exec", "-t", "--exec-id", "e", "box", "sh", "-c",
                WAIT + "tty; stty size; read line; echo got $line; sleep 0.5; exit 4", typed=b"other words\n", prompt=b"33 77")
    through_pipe(s, "run from a pipe", "run", *s.runtime_flags, "--rm", IMAGE, "p1", "sh", "-c",
                 "echo ready; cat; echo end; exit 2", sent=b"line one\nline two\n")
    through_pipe(s, "exec from a pipe", "tasks", "exec", "--exec-id", "p", "box", "sh", "-c",
                 "echo ready; cat; echo end; exit 2", sent=b"line one\nline two\n")
    s.ctr("tasks", "rm", "-f", "box")
    s.ctr("containers", "rm", "box")
    s.ctr("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def on_terminal(s, name, *arguments, typed, prompt):
    """ctr with a pty of 33 rows and 77 columns; `typed` follows once `prompt` was shown."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    process = subprocess.Popen(s.command(*arguments), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(slave)
    shown, deadline, sent = b"", time.monotonic() + 30, False
    while time.monotonic() < deadline:
        if not select.select([master], [], [], 0.2)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
        if prompt in shown and not sent:
            os.write(master, typed)
            sent = True
    code = finish(process)
    os.close(master)
    # A terminal shows no difference between one carriage return and two.
    s.record(name, " ".join(arguments), Result(code, re.sub(r"\r+\n", "\n", shown.decode(errors="replace")), ""))


def through_pipe(s, name, *arguments, sent):
    """ctr with a pipe as standard input, closed after the process inside says that it is there."""
    process = subprocess.Popen(s.command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    first = process.stdout.readline() if select.select([process.stdout], [], [], 30)[0] else b"(nothing)"
    try:
        out, err = process.communicate(sent, timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    s.record(name, " ".join(arguments), Result(process.returncode, (first + out).decode(), err.decode()))


def finish(process):
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        machine.end(process.pid)
        process.wait()
        return "timeout"
