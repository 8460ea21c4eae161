#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A failure at every step of a container's life, and an audit after each: nothing is left behind, the name is
free again, the daemon lives.

usage: steps.py --bin-dir DIR --what runtime|shim|disk|power

runtime: the OCI runtime fails, dies, hangs, or its shim is killed, at each of its calls
shim:    the shim's program fails, prints garbage, hangs or dies in each of its actions
disk:    no space left below the root or the state directory
power:   the daemon is killed at each system call by which it changes the disk, and started again
"""

import os
import shutil
import stat
import subprocess
import sys

import field
from field import Field, machine, say

ID = "step0"
# Counts its calls in a file; does what the file `plan` says ("<number> <what>") at that call.
WRAPPER = """#!/bin/sh
folder=%(folder)s
echo "$@" >> $folder/calls
number=$(wc -l < $folder/calls)
read -r at what < $folder/plan
if [ "$number" = "$at" ]; then
  case $what in
    fail) echo "injected failure" >&2; exit 1;;
    die) kill -9 $$;;
    hang) exec sleep 1000;;
    shim-dies) kill -9 $PPID; exit 1;;
    after-fail) %(program)s "$@"; exit 1;;
    after-die) %(program)s "$@"; kill -9 $$;;
    after-shim-dies) %(program)s "$@"; kill -9 $PPID; exit 0;;
  esac
fi
exec %(program)s "$@"
"""
RUNTIME_FAULTS = ["fail", "die", "hang", "shim-dies", "after-fail", "after-die", "after-shim-dies"]
# The shim's program: $action is its last word.
SHIM_WRAPPER = """#!/bin/sh
folder=%(folder)s
read -r on what < $folder/plan
for action in "$@"; do :; done
if [ "$action" = "$on" ]; then
  case $what in
    fail) echo "injected failure" >&2; exit 1;;
    die) kill -9 $$;;
    hang) exec sleep 1000;;
    garbage) echo "this is no answer"; exit 0;;
    silence) exit 0;;
    server-dies)
      %(program)s "$@"
      exec 2>/dev/null
      servers=$(grep -Lzx start $(grep -lzx -e %(id)s $(grep -lzx -e %(namespace)s /proc/[0-9]*/cmdline)))
      for server in $servers; do kill -9 $(echo $server | cut -d / -f 3); done
      exit 0;;
  esac
fi
exec %(program)s "$@"
"""
SHIM_FAULTS = [(action, what) for action in ("start", "delete") for what in
               ("fail", "die", "hang", "garbage", "silence", "server-dies") if (action, what) != ("delete", "server-dies")]
# Each group is counted for itself, else the frequent calls hide the others.
DISK_CALLS = ["fsync,fdatasync", "rename,renameat,renameat2", "mkdir,mkdirat,mknodat,symlink,symlinkat",
              "unlink,unlinkat,rmdir", "connect,execve,umount2"]


class Plan:
    """A wrapper around a program, and what it is to do."""

    def __init__(self, folder, text, name, **words):
        os.makedirs(folder)
        self.folder, self.path = folder, os.path.join(folder, name)
        with open(self.path, "w", encoding="utf-8") as handle:
            handle.write(text % dict(words, folder=folder))
        os.chmod(self.path, stat.S_IRWXU)
        self.set("none none")

    def set(self, text):
        for name, content in (("plan", text + "\n"), ("calls", "")):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as handle:
                handle.write(content)

    def calls(self):
        return machine.read(os.path.join(self.folder, "calls")).decode().splitlines()


def verb(call):
    """The runtime's verb: the first word that is no flag and no flag's value."""
    words = iter(call.split())
    for word in words:
        if word in ("--root", "--log", "--log-format"):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return "?"


def live_and_remove(where, **options):
    """One life with short deadlines; then everything is removed. Returns what the life ended with."""
    ended = where.load("cycle", prefix=ID[:-1], timeout=options.pop("timeout", 5), **options)
    try:
        where.load("remove", prefix=ID[:-1], count=1, timeout=20, **options)
    except RuntimeError as error:
        where.failures.append("%s" % error)
    return ended


def check(where, when, ended):
    where.expect(machine.alive(where.session.daemon.pid), "%s: the daemon died" % when)
    clean = where.check_clean(when, [ID])
    told = " ".join(("%(call)s: %(error)s" % ended).split())[:110] if ended["call"] else "nobody noticed"
    say("%-32s %s%s" % (when, told, "" if clean else "   LEFT SOMETHING"))
    if not clean:
        where.accept([ID])  # The next step is judged by what it adds.


def runtime(arguments):
    with Field(arguments.bin_dir) as where:
        plan = Plan(os.path.join(where.session.folder, "oci"), WRAPPER, "runtime", program=shutil.which("runc"))
        ended = live_and_remove(where, oci_runtime=plan.path)
        verbs = [verb(call) for call in plan.calls()]
        say("a whole life calls: %s" % " ".join(verbs))
        where.expect(not ended["call"], "a life without faults fails: %s" % ended)
        for number, name in enumerate(verbs, 1):
            for what in RUNTIME_FAULTS:
                plan.set("%d %s" % (number, what))
                ended = live_and_remove(where, oci_runtime=plan.path)
                where.expect(len(plan.calls()) >= number, "%s %s: the step was not reached" % (name, what))
                check(where, "call %d (%s) %s" % (number, name, what), ended)


def shim(arguments):
    with Field(arguments.bin_dir) as where:
        plan = Plan(os.path.join(where.session.folder, "shim"), SHIM_WRAPPER, "containerd-shim-fault-v2", id=ID,
                    program=os.path.join(where.bin_dir, "containerd-shim-runc-v2"), namespace=where.session.namespace)
        for action, what in SHIM_FAULTS:
            plan.set("%s %s" % (action, what))
            ended = live_and_remove(where, runtime=plan.path)
            check(where, "%s %s" % (action, what), ended)


def fill(folder, pages, inodes):
    """Takes what is left of a small file system but for so many pages and inodes; returns the folder that did."""
    fillers = os.path.join(folder, "filler")
    os.mkdir(fillers)
    path = os.path.join(fillers, "pages")
    with open(path, "wb", buffering=0) as handle:
        try:
            while True:
                handle.write(b"x" * 4096)
        except OSError:
            pass
    os.truncate(path, max(os.path.getsize(path) - pages * 4096, 0))
    number = 0
    try:
        while True:
            os.close(os.open(os.path.join(fillers, str(number)), os.O_CREAT | os.O_WRONLY))
            number += 1
    except OSError:
        pass
    for free in range(inodes):
        os.unlink(os.path.join(fillers, str(number - 1 - free)))
    return fillers


def disk(arguments):
    for name in ("root", "state"):
        where = Field(arguments.bin_dir)
        small = getattr(where.session.daemon, name)
        os.makedirs(small)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,nr_inodes=4k", "none", small], check=True)
        try:
            with where:
                # Full from the beginning, and with room for a little more: each reaches further.
                for pages, inodes in [(0, 0), (0, 64), (64, 0)] + [(room, room) for room in (1, 2, 3, 4, 6, 8, 12, 16, 32)]:
                    fillers = fill(small, pages, inodes)
                    ended = where.load("cycle", prefix=ID[:-1], timeout=10)
                    shutil.rmtree(fillers)
                    where.load("remove", prefix=ID[:-1], count=1, timeout=20)
                    check(where, "%s: room for %d pages, %d files" % (name, pages, inodes), ended)
                where.restart()
                where.check_clean("after a restart", [ID])
                ended = live_and_remove(where)
                where.expect(not ended["call"], "with room again: %s" % ended)
        finally:
            subprocess.run(["umount", "-l", small], check=False, capture_output=True)
            shutil.rmtree(where.session.folder, ignore_errors=True)


def killed_at(where, calls, number):
    """A life during which the daemon is killed as one of its threads makes the call `number` of `calls`. False if no
    thread gets that far."""
    pid = where.session.daemon.pid
    # The threads one by one, not -f: that would follow into shims and runtimes and kill those, too.
    threads = [word for thread in os.listdir("/proc/%d/task" % pid) for word in ("-p", thread)]
    tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", *threads, "-e", "trace=" + calls,
                               "-e", "inject=%s:signal=KILL:when=%d" % (calls, number)],
                              stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        machine.wait_until("strace to be there", lambda: field.status_number(pid, "TracerPid") == tracer.pid)
        for mode in ("cycle", "remove"):
            client = subprocess.Popen(where.load_command(mode, prefix=ID[:-1], timeout=5), stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            machine.wait_until("the client or the daemon to end",
                               lambda: client.poll() is not None or not machine.alive(pid), 60)
            client.kill()
            client.wait()
    finally:
        killed = not machine.alive(pid)
        tracer.terminate()
        try:
            tracer.wait(5)
        except subprocess.TimeoutExpired:  # It may wait for good for a thread that was killed as it stopped.
            tracer.kill()
            tracer.wait()
    if killed:
        where.session.daemon.process.wait()
        where.session.daemon.start(60)
    where.load("remove", prefix=ID[:-1], count=1, timeout=20)
    check(where, "%s %d: %s" % (calls.split(",")[0], number, "killed" if killed else "not reached"),
          {"call": "", "error": ""})
    return killed


def power(arguments):
    with Field(arguments.bin_dir) as where:
        kills = 0
        for calls in DISK_CALLS:
            number = 1
            while number <= arguments.most and killed_at(where, calls, number):
                number += 1
            kills += number - 1
        say("killed at %d calls" % kills)
        where.expect(kills > 5, "the daemon was hardly ever killed")


def steps(arguments):
    {"runtime": runtime, "shim": shim, "disk": disk, "power": power}[arguments.what](arguments)


if __name__ == "__main__":
    sys.exit(field.main("steps", steps, 1100, [("--what", str, "runtime"), ("--most", int, 12)]))
