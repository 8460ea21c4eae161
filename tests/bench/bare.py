# SPDX-License-Identifier: Apache-2.0
"""The same container without a daemon: what runc alone costs."""

import json
import os
import select
import shutil
import subprocess
import time

from measure import call


class BareRunc:
    """A bundle made of a container's specification and of the small image's busybox."""

    def __init__(self, session, image):
        self.folder = os.path.join(session.folder, "bare")
        self.id = session.namespace + "-bare"
        self.root = os.path.join(self.folder, "state")
        rootfs = os.path.join(self.folder, "rootfs")
        os.makedirs(os.path.join(rootfs, "bin"))
        shutil.copy(shutil.which("busybox"), os.path.join(rootfs, "bin", "busybox"))
        os.symlink("busybox", os.path.join(rootfs, "bin", "true"))
        call(session.command("containers", "create", image, "bare", "true", client="reference"))
        spec = json.loads(call(session.command("containers", "info", "bare", client="reference")))["Spec"]
        call(session.command("containers", "rm", "bare", client="reference"))
        spec["root"] = {"path": "rootfs"}
        spec["process"].update(args=["/bin/true"], cwd="/")
        spec["linux"]["cgroupsPath"] = "/%s/bare" % session.namespace
        with open(os.path.join(self.folder, "config.json"), "w", encoding="utf-8") as handle:
            json.dump(spec, handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["runc", "--root", self.root, "delete", "--force", self.id], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _runc(self, *arguments):
        subprocess.run(["runc", "--root", self.root, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True, close_fds=False)

    def lives(self, samples, count):
        pid_file = os.path.join(self.folder, "pid")
        for _ in range(count):
            clock = [time.perf_counter()]
            self._runc("create", "--bundle", self.folder, "--pid-file", pid_file, self.id)
            clock.append(time.perf_counter())
            with open(pid_file, encoding="utf-8") as handle:
                process = os.pidfd_open(int(handle.read()))
            opened = time.perf_counter()
            self._runc("start", self.id)
            clock.append(clock[-1] + time.perf_counter() - opened)
            started = time.perf_counter()
            select.select([process], [], [])
            os.close(process)
            clock.append(clock[-1] + time.perf_counter() - started)
            started = time.perf_counter()
            self._runc("delete", self.id)
            clock.append(clock[-1] + time.perf_counter() - started)
            for name, before, after in zip(("create", "start", "wait", "delete"), clock, clock[1:]):
                samples.add(name, "bare", (after - before) * 1000)
            samples.add("life", "bare", (clock[-1] - clock[0]) * 1000)
