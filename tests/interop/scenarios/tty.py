# SPDX-License-Identifier: Apache-2.0
"""Terminals and standard input: run -t and exec -t on a pty, resized, and run with input from a pipe that stays open."""

import os
import select
import subprocess

from harness import images
from harness.session import Result
from harness.terminal import Terminal

IMAGE = "local.test/small:1"
# The 1.6 client loses what a process wrote right before its end, hence the pauses.
# The client sends the size after the start; until then stty knows none.
WAIT = 'until [ -n "$(stty size 2>/dev/null)" ]; do sleep 0.05; done; '
TALK = WAIT + "tty; stty size; read line; echo got $line; sleep 0.5; exit "
RESIZED = WAIT + "trap 'stty size; sleep 0.5; exit 5' WINCH; echo ready; while :; do sleep 0.05; done"


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), "local.test/small:1")


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    run = ("run", *s.runtime_flags, "--rm", "-t", IMAGE)
    talk(s, "run on a terminal", *run, "t1", "sh", "-c", TALK + "6", typed=b"typed words\n")
    resize(s, "run on a terminal that is resized", *run, "t2", "sh", "-c", RESIZED)
    s.run("-d", IMAGE, "box", "sleep", "100")
    execute = ("tasks", "exec", "-t", "--exec-id")
    talk(s, "exec on a terminal", *execute, "e", "box", "sh", "-c", TALK + "4", typed=b"other words\n")
    resize(s, "exec on a terminal that is resized", *execute, "e2", "box", "sh", "-c", RESIZED)
    through_pipe(s, "run from a pipe", "run", *s.runtime_flags, "--rm", IMAGE, "p1", "sh", "-c",
                 "echo ready; cat; echo end; exit 2", sent=b"line one\nline two\n")
    through_pipe(s, "exec from a pipe", "tasks", "exec", "--exec-id", "p", "box", "sh", "-c",
                 "echo ready; cat; echo end; exit 2", sent=b"line one\nline two\n")
    s.ctr("tasks", "rm", "-f", "box")
    s.ctr("containers", "rm", "box")
    s.ctr("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def talk(s, name, *arguments, typed):
    """Types once the size was shown."""
    terminal = Terminal(s.command(*arguments))
    if terminal.wait_for(b"33 77"):
        terminal.type(typed)
    s.record(name, " ".join(arguments), terminal.finish())


def resize(s, name, *arguments):
    terminal = Terminal(s.command(*arguments))
    if terminal.wait_for(b"ready"):
        terminal.resize(41, 99)
    s.record(name, " ".join(arguments), terminal.finish())


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
