# SPDX-License-Identifier: Apache-2.0
"""Much of everything: output, input, arguments and execs; loggers; and clients that go away."""

import concurrent.futures
import hashlib
import os
import signal
import subprocess

from harness import api, images, machine
from harness.session import Result
from harness.terminal import Terminal

IMAGE = "local.test/small:1"
LINES = 300000
MUCH = "".join("%d\n" % number for number in range(1, LINES + 1))  # 2 MB, what seq prints.
EXECS = 16


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), IMAGE)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    s.run("-d", IMAGE, "box", "sleep", "1000")
    output(s)
    terminals(s)
    standard_input(s)
    arguments(s)
    many_execs(s)
    s.ctr("tasks", "rm", "-f", "box")
    s.quiet("containers", "rm", "box")
    loggers(s)
    client_that_dies(s)
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def output(s):
    """The 1.6 client drops what comes right before the end of an exec, hence the pauses."""
    script = "seq 1 %d > /much; cat /much; cat /much >&2; sleep 0.5; exit 4" % LINES
    for result in (s.quiet("run", *s.runtime_flags, "--rm", IMAGE, "out", "sh", "-c", script),
                   s.quiet("tasks", "exec", "--exec-id", "out", "box", "sh", "-c", script)):
        s.expect(result.code == 4 and result.out == MUCH, "all of standard output comes: %d bytes" % len(result.out))
        s.expect(result.err.startswith(MUCH), "all of standard error comes: %d bytes" % len(result.err))


def terminals(s):
    script = "seq 1 %d > /much; cat /much; sleep 0.5; exit 4" % LINES
    for words in (("run", *s.runtime_flags, "--rm", "-t", IMAGE, "out", "sh", "-c", script),
                  ("tasks", "exec", "-t", "--exec-id", "tty", "box", "sh", "-c", script)):
        result = Terminal(s.command(*words)).finish()
        s.expect(result.code == 4 and result.out == MUCH,
                 "%s: all comes through a terminal: %s, %d bytes" % (words[0], result.code, len(result.out)))


def standard_input(s):
    data = MUCH.encode() * 2
    want = hashlib.md5(data).hexdigest()
    for result in (s.quiet("run", *s.runtime_flags, "--rm", IMAGE, "in", "sh", "-c", "md5sum; sleep 0.3", stdin=data),
                   s.quiet("tasks", "exec", "--exec-id", "in", "box", "sh", "-c", "md5sum; sleep 0.3", stdin=data)):
        s.expect(result.code == 0 and result.out.split()[:1] == [want], "all of standard input arrives: %s" % result)


def arguments(s):
    """A megabyte of them, and more than one message may hold."""
    words = ["%05d" % number * 20000 for number in range(10)]
    s.ctr("tasks", "exec", "--exec-id", "long", "box", "sh", "-c", 'echo $# $0 ${#1} ${#10}; sleep 0.2', *words[0:1], *words,
          name="exec with a megabyte of arguments")
    s.steps[-1].command, s.steps[-1].out = "tasks exec", s.steps[-1].out.replace(words[0], "WORD")
    environment = ["V%d=%s" % (number, "v" * 100000) for number in range(10)]
    api.quiet(s, "Tasks/Exec", container_id="box", exec_id="env",
              spec=api.process("sh", "-c", "exit ${#V9} || exit 1", env=environment + ["PATH=/bin"]))
    api.call(s, "Tasks/Start", "exec with a megabyte of environment", container_id="box", exec_id="env")
    api.call(s, "Tasks/Wait", "wait for it", container_id="box", exec_id="env")
    api.call(s, "Tasks/DeleteProcess", "delete it", container_id="box", exec_id="env")
    huge = api.quiet(s, "Tasks/Exec", container_id="box", exec_id="huge", spec=api.process("true", *words * 5))
    s.expect(huge.code != 0 and "exceed maximum message size of 4194304" in huge.err, "five megabytes are refused: %s" % huge)
    api.call(s, "Tasks/Get", "the task after that", container_id="box")


def many_execs(s):
    def one(number):
        return s.quiet("tasks", "exec", "--exec-id", "many-%d" % number, "box", "sh", "-c",
                       "echo %d; sleep 0.5; exit %d" % (number, number))
    with concurrent.futures.ThreadPoolExecutor(EXECS) as pool:
        results = list(pool.map(one, range(EXECS)))
    for number, result in enumerate(results):
        s.record("exec %d of many" % number, "tasks exec", result)


LOGGER = """#!/bin/sh
# Called as the shim calls loggers: 3 and 4 are the streams, 5 says that it is ready.
echo "$CONTAINER_ID $CONTAINER_NAMESPACE $(env | wc -l) $(pwd | sed 's,.*/,,')" > {folder}/environment
for word in "$@"; do echo "$word"; done > {folder}/arguments
cat <&4 > {folder}/err 3<&- 5>&- &
trap "" TERM  # It comes with Delete; the streams end by themselves.
exec 5>&-
cat <&3 > {folder}/out
wait
echo done > {folder}/done
"""


def loggers(s):
    script = "seq 1 20000; seq 1 20000 >&2; exit 3"
    log = os.path.join(s.folder, "logs", "of", "the.log")
    s.run("-d", "--log-uri", "file://" + log, IMAGE, "logged", "sh", "-c", script, name="run with a log file")
    s.wait_for_status("logged", "STOPPED")
    s.ctr("tasks", "rm", "logged", name="rm of one with a log file")
    s.quiet("containers", "rm", "logged")
    lines = machine.read(log).decode().split()
    # Debian's shim closes the file with the stream that ends first, and may lose the rest of the other.
    whole = sorted(lines) == sorted(MUCH.split()[:20000] * 2) if s.combination.shim == "ours" else len(lines) >= 20000
    s.expect(whole, "the log file has all of both streams: %d lines" % len(lines))
    folder = os.path.join(s.folder, "logger")
    os.makedirs(folder)
    program = os.path.join(folder, "logger")
    with open(program, "w", encoding="utf-8") as handle:
        handle.write(LOGGER.format(folder=folder))
    os.chmod(program, 0o755)
    s.run("-d", "--log-uri", "binary://%s?color=red" % program, IMAGE, "piped", "sh", "-c", script, name="run with a logger")
    s.wait_for_status("piped", "STOPPED")
    s.ctr("tasks", "rm", "piped", name="rm of one with a logger")
    s.quiet("containers", "rm", "piped")
    machine.wait_until("the logger's end", lambda: os.path.exists(os.path.join(folder, "done")), 15)
    for name in ("environment", "arguments"):
        s.record("the logger's " + name, "cat", Result(0, machine.read(os.path.join(folder, name)).decode(), ""))
    for name in ("out", "err"):
        got = machine.read(os.path.join(folder, name)).decode()
        s.expect(got.split() == MUCH.split()[:20000], "the logger gets all of std%s: %d bytes" % (name, len(got)))
    s.run("-d", "--log-uri", "binary:///no/such/logger", IMAGE, "unlogged", "true", name="run with a logger that is not there")
    s.quiet("containers", "rm", "unlogged")
    s.run("-d", "--log-uri", "carrier-pigeon:///x", IMAGE, "unlogged", "true", name="run with an unknown scheme")
    s.quiet("containers", "rm", "unlogged")


def client_that_dies(s):
    """The container neither ends nor stops when its client is killed, and another client takes over."""
    client = subprocess.Popen(s.command("run", *s.runtime_flags, IMAGE, "orphan", "sh", "-c",
                                        "while :; do echo tick; sleep 0.02; done"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    s.expect(client.stdout.readline() == b"tick\n", "the first client sees output")
    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    pid = s.pid_of("orphan")
    second = subprocess.Popen(s.command("tasks", "attach", "orphan"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    s.expect(second.stdout.readline() == b"tick\n", "the second client sees output")
    s.expect(machine.alive(pid) and s.status_of("orphan") == "RUNNING", "the container does not mind")
    s.ctr("tasks", "kill", "-s", "SIGKILL", "orphan", name="kill of the orphan")
    rest = second.communicate(timeout=20)[0]
    s.expect(set(rest.split()) <= {b"tick"}, "nothing but output comes: %s" % rest[-100:])
    s.record("attach ends with the status", "tasks attach", Result(second.returncode, "", ""))
    s.quiet("tasks", "rm", "orphan")  # attach may have done that
    s.quiet("containers", "rm", "orphan")
