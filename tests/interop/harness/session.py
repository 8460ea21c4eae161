# SPDX-License-Identifier: Apache-2.0
"""One run of a scenario: a daemon, a client, a namespace, and the transcript of what was said."""

import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
import time

from harness import audit, machine, normalise
from harness.daemon import Daemon

REFERENCE_BIN = "/usr/bin"
DEFAULT_RUNTIME = "io.containerd.runc.v2"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(frozen=True)
class Combination:
    """Who plays: "ours" or "reference". shim_by: how the daemon learns of the shim, "path" or "absolute".
    runtime: its name; those of another than runc.v2 are compared to Debian's daemon with the same."""
    name: str
    client: str = "reference"
    daemon: str = "reference"
    shim: str = "reference"
    shim_by: str = "path"
    runtime: str = DEFAULT_RUNTIME

    @property
    def shim_program(self):
        return "containerd-shim-" + "-".join(self.runtime.split(".")[-2:])

    @property
    def beside(self):
        return Combination("reference", runtime=self.runtime)


COMBINATIONS = {combination.name: combination for combination in [
    Combination("reference"),
    Combination("stock-client", daemon="ours", shim="ours"),
    Combination("our-client", client="ours", daemon="ours", shim="ours"),
    Combination("our-client-on-reference", client="ours"),
    Combination("our-shim-by-path", shim="ours"),
    Combination("our-shim-absolute", shim="ours", shim_by="absolute"),
    Combination("stock-shim-by-path", daemon="ours"),
    Combination("stock-shim-absolute", daemon="ours", shim_by="absolute"),
    Combination("older-shim-by-path", daemon="ours", runtime="io.containerd.runc.v1"),
    Combination("older-shim-absolute", daemon="ours", shim_by="absolute", runtime="io.containerd.runc.v1"),
]}


@dataclasses.dataclass
class Step:
    name: str
    command: str
    code: object
    out: str
    err: str
    compare: str
    at: float = dataclasses.field(default=0, compare=False)  # Seconds since the run began.


@dataclasses.dataclass
class Result:
    code: object
    out: str
    err: str


class Session:
    def __init__(self, combination, bin_dir, registry, archives):
        self.combination, self.bin_dir, self.registry, self.archives = combination, bin_dir, registry, archives
        self.folder = tempfile.mkdtemp(prefix="ctrd-it-")
        self.namespace = "it-" + os.path.basename(self.folder)[len("ctrd-it-"):].replace("_", "x").lower()
        self.names = {self.folder: "DIR", self.namespace: "NS", registry.host: "REGISTRY"}
        self.steps, self.failures, self.names_used = [], [], {}
        self.runtime_flags, self.last_log, self.began = [], "", time.monotonic()
        self.daemon = Daemon(combination.daemon, self._daemon_program(), os.path.join(self.folder, "d"), self._path())
        self.names[self.daemon.folder] = "DAEMON"

    def __enter__(self):
        try:
            self.daemon.start()
            # The collector's first run comes 100 ms after the start and takes what no lease holds: what a quick
            # client had put there by then. Had now, it comes before anything is there.
            self.collect()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(self, *_):
        self._clean_up()

    # ------------------------------------------------------------ programs

    def _bin(self, kind):
        return self.bin_dir if kind == "ours" else REFERENCE_BIN

    def _daemon_program(self):
        program = os.path.join(self._bin(self.combination.daemon), "containerd")
        if self.combination.daemon == "ours" and self.combination.shim != "ours":
            # Away from our shim, which it would find beside itself.
            copy = os.path.join(self.folder, "bin", "containerd")
            os.makedirs(os.path.dirname(copy))
            shutil.copy(program, copy)
            return copy
        return program

    def _path(self):
        shim = os.path.join(self._bin(self.combination.shim), self.combination.shim_program)
        if self.combination.runtime != DEFAULT_RUNTIME:
            self.runtime_flags = ["--runtime", self.combination.runtime]
        if self.combination.shim_by == "absolute":
            self.runtime_flags = ["--runtime", shim]
            self.names[shim] = self.combination.runtime
            empty = os.path.join(self.folder, "without-shim")
            os.makedirs(empty)
            for program in ("runc", "mount", "umount", "modprobe"):
                found = shutil.which(program, path=SYSTEM_PATH)
                if found:
                    os.symlink(found, os.path.join(empty, program))
            return empty
        return "%s:%s" % (os.path.dirname(shim), SYSTEM_PATH)

    # ------------------------------------------------------------ commands

    def command(self, *arguments, client=None):
        program = os.path.join(self._bin(client or self.combination.client), "ctr")
        return [program, "--address", self.daemon.address, "--namespace", self.namespace, *arguments]

    def quiet(self, *arguments, client=None, stdin=subprocess.DEVNULL, timeout=60):
        """Runs ctr without writing it into the transcript."""
        extra = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
        try:
            done = subprocess.run(self.command(*arguments, client=client), capture_output=True, timeout=timeout,
                                  check=False, **extra)
        except subprocess.TimeoutExpired as late:
            return Result("timeout after %d s" % timeout, (late.stdout or b"").decode(errors="replace"),
                          (late.stderr or b"").decode(errors="replace"))
        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def ctr(self, *arguments, compare="text", name=None, client=None, stdin=subprocess.DEVNULL, timeout=60):
        """Runs ctr and keeps what it said. compare: text, table (one blank for many), rows (a table in
        any order), progress (without frames), code (the exit code only)."""
        result = self.quiet(*arguments, client=client, stdin=stdin, timeout=timeout)
        self.record(name or self._step_name(arguments), " ".join(arguments), result, compare)
        return result

    def _step_name(self, arguments):
        return " ".join(word for word in arguments[:2] if not word.startswith("-"))

    def transfer_client(self):
        """Who may send what 2.x sends through the Transfer service. Debian's daemon has not got it: there the
        Go client does that."""
        lacks_transfer = self.combination.client == "ours" and self.combination.daemon == "reference"
        return "reference" if lacks_transfer else None

    def transfer_ctr(self, *arguments, compare="progress", **options):
        return self.ctr(*arguments, compare=compare, client=self.transfer_client(), **options)

    def own(self, name):
        """The id of a container that no other run has, `name` in the transcript. gVisor's sandboxes listen on a
        socket that is called after the id alone, on the whole machine: also those of a run that was killed."""
        unique = "%s-%s" % (name, self.namespace)
        self.names[unique] = name
        return unique

    def run(self, *arguments, **options):
        """ctr run, with the runtime of this combination."""
        return self.ctr("run", *self.runtime_flags, *arguments, **options)

    def record(self, name, command, result, compare="text"):
        count = self.names_used[name] = self.names_used.get(name, 0) + 1
        label = name if count == 1 else "%s #%d" % (name, count)
        out, err = (normalise.text(stream, self.names) for stream in (result.out, result.err))
        if compare == "progress":
            out, err = normalise.without_progress(out), normalise.without_progress(err)
        elif compare == "table":
            out = normalise.table(out)
        elif compare == "rows":
            out = normalise.sorted_rows(out)
        self.steps.append(Step(label, normalise.text(command, self.names), result.code, out, err, compare,
                               time.monotonic() - self.began))

    def expect(self, truth, sentence):
        """A fact of its own, true in every combination."""
        if not truth:
            self.failures.append(sentence)

    # ------------------------------------------------------------ waiting and looking

    def status_of(self, task):
        for line in self.quiet("tasks", "ls").out.splitlines():
            cells = line.split()
            if cells and cells[0] == task:
                return cells[2]
        return None

    def pid_of(self, task):
        for line in self.quiet("tasks", "ls").out.splitlines():
            cells = line.split()
            if cells and cells[0] == task:
                return int(cells[1])
        return None

    def wait_for_status(self, task, *statuses):
        machine.wait_until("task %s to be %s" % (task, " or ".join(map(str, statuses))),
                           lambda: self.status_of(task) in statuses)

    def info(self, kind, key):
        result = self.quiet(kind, "info", key)
        return json.loads(result.out) if result.code == 0 else None

    def collect(self):
        """Has the garbage collector run, and waits for it."""
        self.quiet("leases", "create", "--id", "collect", client="reference")
        self.quiet("leases", "rm", "--sync", "collect", client="reference")

    def nothing_left(self, when, but=()):
        """Fails the run when a call that failed, or a removal, left something behind."""
        self.collect()
        left = {}

        def clean():
            left.clear()
            left.update((kind, found) for kind, found in audit.leftovers(self).items() if found and kind not in but)
            return not left

        try:
            machine.wait_until("everything to be gone", clean, 3)
        except machine.TimedOut:
            self.failures += ["%s: left behind: %s: %s" % (when, kind, found) for kind, found in left.items()]

    # ------------------------------------------------------------ the end

    def _clean_up(self):
        """Whatever happened: no process, mount, cgroup or file of ours stays."""
        status = self.daemon.stop()
        self.last_log = self.daemon.log()[-4000:]
        if self.daemon.process is not None and status not in (0, -9, None):
            self.failures.append("the daemon ended with %s" % status)
        for pid in machine.shims([self.namespace, self.folder]) + machine.in_cgroups(self.namespace):
            machine.end(pid)
        machine.wait_until("containers to end", lambda: not machine.in_cgroups(self.namespace))
        self.daemon.remove()
        for path in reversed([path for path in machine.mounts() if path.startswith(self.folder + "/")]):
            subprocess.run(["umount", "-l", path], check=False, capture_output=True)
        machine.remove_cgroups(self.namespace)
        shutil.rmtree(os.path.join("/run/containerd/runc", self.namespace), ignore_errors=True)
        if not os.environ.get("CTRD_INTEROP_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)
