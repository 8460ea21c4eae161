# SPDX-License-Identifier: Apache-2.0
"""What the tests of this folder stand on: a daemon of its own with an image, the load client of
tests/bench, and an audit of everything a container may leave behind."""

import argparse
import contextlib
import glob
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "interop")]
from harness import audit, images, machine  # noqa: E402
from harness.session import COMBINATIONS, Session  # noqa: E402

FAILURES = []  # Of this program; what it ends with.
SMALL = "local.test/small:1"
SKIPPED = 77
NEEDED = ["/usr/bin/ctr", "runc", "strace"]


class NoRegistry:
    host = "registry.invalid"


def say(text):
    print(text, flush=True)


class Field:
    """A session with an image unpacked, at rest. side: "ours" or "reference"."""

    def __init__(self, bin_dir, side="ours"):
        self.bin_dir = os.path.abspath(bin_dir)
        self.session = Session(COMBINATIONS["stock-client" if side == "ours" else "reference"], self.bin_dir,
                               NoRegistry, "")
        self.session.failures = self.failures = FAILURES
        self.temporary = os.path.join(self.session.folder, "tmp")  # TMPDIR of daemons and shims.
        os.makedirs(self.temporary)
        self.session.daemon.environment["TMPDIR"] = self.temporary

    def __enter__(self):
        self.session.__enter__()
        try:
            archive = os.path.join(self.session.folder, "small.tar")
            images.small().write_archive(archive, SMALL)
            self._must("images", "import", archive)
            self._must("run", "--rm", SMALL, "warm", "true")
            self.parent = self._top_snapshot()
            self.session.collect()
            self.accept()
        except BaseException:
            self.session.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        self.session.__exit__(None, None, None)

    def _must(self, *arguments):
        result = self.session.quiet(*arguments, client="reference")
        if result.code != 0:
            raise RuntimeError("ctr %s: %s" % (" ".join(arguments), result.err))

    def _top_snapshot(self):
        rows = [line.split() for line in self.session.quiet("snapshots", "ls").out.splitlines()[1:]]
        parents = {row[1] for row in rows if len(row) == 3}
        tops = [row[0] for row in rows if row[-1] == "Committed" and row[0] not in parents]
        if len(tops) != 1:
            raise RuntimeError("which snapshot is the image's? %s" % rows)
        return tops[0]

    # ------------------------------------------------------------ load

    def load_command(self, mode, **options):
        command = [os.path.join(self.bin_dir, "task_load"), mode, "--address", self.session.daemon.address,
                   "--namespace", self.session.namespace, "--parent", self.parent]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        return command

    def load(self, mode, **options):
        done = subprocess.run(self.load_command(mode, **options), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError("task_load %s: %s" % (mode, done.stderr.strip() or done.returncode))
        return json.loads(done.stdout)

    def restart(self, kill=True):
        if kill:
            self.session.daemon.kill()
        else:
            self.session.daemon.stop()
        self.session.daemon.start(60)

    # ------------------------------------------------------------ the audit

    def accept(self, ids=()):
        """Takes what is there now for what may be there."""
        self.before = dict(self.holdings(), sockets=self.sockets_of(ids))

    def holdings(self):
        """kind -> what there is; what a test may not change."""
        session = self.session
        found = audit.leftovers(session)
        found["cgroups"] = [entry for top in machine.cgroup_folders(session.namespace)
                            for entry in glob.glob(top + "/*/")]
        found["strays"] = [pid for pid in machine.processes() if self._is_stray(pid)]
        found["files"] = self._files(session.daemon.state)
        return found

    def temporary_files(self):
        """What daemons and shims have left in their TMPDIR."""
        return self._files(self.temporary)

    def _is_stray(self, pid):
        """A process of this session that is neither the daemon, nor one of its threads, nor us."""
        line = machine.command_line(pid)
        daemon = self.session.daemon.process
        if not line or pid in (os.getpid(), daemon.pid if daemon else 0) or "task_load" in line:
            return False
        return self.session.namespace in line.split() or self.session.folder in line.replace("/c.sock", "")

    @staticmethod
    def _files(top):
        """Everything below a directory."""
        return sorted(os.path.relpath(os.path.join(folder, name), top)
                      for folder, folders, names in os.walk(top) for name in folders + names)

    def sockets_of(self, ids):
        """Socket files of the shims of these containers: their names are made from the id."""
        left = []
        for container in ids:
            text = "/".join([self.session.daemon.address, self.session.namespace, container])
            path = "/run/containerd/s/" + hashlib.sha256(text.encode()).hexdigest()
            if os.path.exists(path):
                left.append(container)
        return left

    def check_clean(self, when, ids=(), seconds=20):
        """Fails the test when anything is there that was not there at the beginning."""
        left = {}

        def clean():
            left.clear()
            self.session.collect()
            now = self.holdings()
            now["sockets"] = self.sockets_of(ids)
            for kind, values in now.items():
                more = [value for value in values if value not in self.before.get(kind, [])]
                if more:
                    left[kind] = more
            return not left

        try:
            machine.wait_until("everything to be gone", clean, seconds)
        except machine.TimedOut:
            self.failures += ["%s: left behind: %s: %s" % (when, kind, found) for kind, found in left.items()]
            for pid in left.get("strays", []):
                say("process %d: %s" % (pid, self._describe(pid)))
            return False
        return True

    def _describe(self, pid):
        """What a process that should be gone is, and what the daemon's log says of its container."""
        words = machine.command_line(pid).split()
        where = os.path.realpath("/proc/%d/cwd" % pid)
        children = machine.read("/proc/%d/task/%d/children" % (pid, pid)).decode().split()
        lines = ["%s in %s, state %s, children %s" % (" ".join(words), where, machine.read(
            "/proc/%d/stat" % pid).decode().rpartition(") ")[2][:1], children)]
        for thread in os.listdir("/proc/%d/task" % pid):
            lines.append("thread %s waits in %s" % (thread, machine.read("/proc/%d/task/%s/wchan" % (pid, thread)).decode()))
        if "-id" in words:
            mark = "id=%s " % words[words.index("-id") + 1]
            log = machine.read(self.session.daemon.log_path).decode(errors="replace").splitlines()
            lines += [line for line in log if mark in line + " "][-20:]
        return "\n  ".join(lines)

    def expect(self, truth, sentence):
        if not truth:
            self.failures.append(sentence)


def descriptors(pid):
    try:
        return len(os.listdir("/proc/%d/fd" % pid))
    except OSError:
        return 0


def status_number(pid, name):
    for line in machine.read("/proc/%d/status" % pid).decode().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


@contextlib.contextmanager
def watchdog(seconds):
    """Ends the test a little before ctest would, so that it can clean up."""
    def late(*_):
        raise TimeoutError("this takes too long")
    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGTERM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def main(name, test, seconds, options=()):
    """Runs test(arguments) as a program: 0, 1 when there are FAILURES, or 77 when it cannot run here."""
    parser = argparse.ArgumentParser(description=name)
    parser.add_argument("--bin-dir", required=True)
    for flag, kind, default in options:
        parser.add_argument(flag, type=kind, default=default)
    parser.add_argument("--limit", type=int, default=seconds, help="seconds")
    arguments = parser.parse_args()
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if os.geteuid() != 0 or missing:
        say("%s: skipped: needs root%s" % (name, "".join(", " + program for program in missing)))
        return SKIPPED
    started = time.monotonic()
    try:
        with watchdog(arguments.limit):
            test(arguments)
    except Exception:
        FAILURES.append(traceback.format_exc())
    for failure in FAILURES:
        say("FAILED: %s" % failure)
    say("%s: %s in %.0f s" % (name, "%d failures" % len(FAILURES) if FAILURES else "passed",
                              time.monotonic() - started))
    return 1 if FAILURES else 0
