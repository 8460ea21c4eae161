# SPDX-License-Identifier: Apache-2.0
"""For tests of one daemon on its own: images made on the spot, containers run, facts asked for."""

import json
import os
import subprocess

from harness import machine
from harness.images import Image, busybox_entries


class Skipped(Exception):
    """Cannot be tried on this machine; the text says why."""


class Rig:
    def __init__(self, session, folder):
        self.session, self.folder, self.made = session, folder, 0

    def image(self, entries=(), **config):
        """The name of an image of busybox and `entries` (which win over busybox's), imported."""
        self.made += 1
        name = "local.test/made%d:1" % self.made
        replaced = {entry.info.name for entry in entries}
        kept = [entry for entry in busybox_entries()
                if entry.info.name not in replaced and entry.info.name.split("/")[0] not in replaced & {"dev", "proc"}]
        image = Image(dict({"Cmd": ["/bin/true"]}, **config)).add_layer(kept + list(entries))
        path = os.path.join(self.folder, "made%d.tar" % self.made)
        image.write_archive(path, name)
        done = self.session.quiet("images", "import", path, client="reference")
        expect(done.code == 0, "import: " + done.err)
        return name

    def run(self, *arguments, client=None, timeout=30):
        return self.session.quiet("run", *arguments, client=client, timeout=timeout)

    def ctr(self, *arguments, client=None, timeout=30):
        return self.session.quiet(*arguments, client=client, timeout=timeout)

    def start(self, *arguments):
        """A container that stays: `run -d`, its last words being image, id and command."""
        done = self.run("-d", "--null-io", *arguments)
        expect(done.code == 0, "run -d: " + done.err)

    def execute(self, container, *command, flags=(), name="e"):
        return self.ctr("tasks", "exec", "--exec-id", name, *flags, container, *command)

    def wait_for_file(self, container, path):
        """Until the container's first process sees it."""
        pid = self.session.pid_of(container)
        machine.wait_until(path + " in " + container, lambda: os.path.exists("/proc/%d/root%s" % (pid, path)))

    def spec(self, container):
        shown = self.ctr("containers", "info", "--spec", container, client="reference")
        expect(shown.code == 0, shown.err)
        return json.loads(shown.out)

    def labels(self, container):
        return self.session.info("containers", container)["Labels"] or {}

    def memory_of(self, *arguments, timeout=60):
        """(result, peak memory in MiB) of one command of our ctr."""
        command = self.session.command(*arguments)
        code = ("import resource,subprocess,sys\n"
                "try: c=subprocess.run(sys.argv[1:],timeout=%d).returncode\n"
                "except subprocess.TimeoutExpired: c='late'\n"
                "print('\\nPEAK',c,resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss//1024)" % timeout)
        done = subprocess.run(["python3", "-c", code, *command], capture_output=True, text=True, check=True)
        _, status, peak = done.stdout.splitlines()[-1].split()
        return status, int(peak), done.stderr

    def clear(self):
        """Removes all containers, running or not."""
        for container in self.ctr("containers", "ls", "-q").out.split():
            self.ctr("tasks", "rm", "-f", container)
            self.ctr("containers", "rm", container)


def expect(truth, sentence):
    if not truth:
        raise AssertionError(sentence)
