# SPDX-License-Identifier: Apache-2.0
"""The same container without a daemon: what runc alone costs."""

import concurrent.futures
import json
import os
import select
import shutil
import subprocess
import time

from measure import call, seconds


class BareRunc:
    """A bundle made of a container's specification and of the small image's busybox. As with a daemon, bundle and
    state are below `states`, and the root is on the disk."""

    def __init__(self, session, states, image):
        self.id = session.namespace + "-bare"
        self.folder = os.path.join(states, self.id)
        self.root = os.path.join(self.folder, "state")
        self.rootfs = rootfs = os.path.join(session.folder, "bare")
        os.makedirs(os.path.join(rootfs, "bin"))
        shutil.copy(shutil.which("busybox"), os.path.join(rootfs, "bin", "busybox"))
        for name in ("true", "sleep"):
            os.symlink("busybox", os.path.join(rootfs, "bin", name))
        call(session.command("containers", "create", image, "bare", "true", client="reference"))
        spec = json.loads(call(session.command("containers", "info", "bare", client="reference")))["Spec"]
        call(session.command("containers", "rm", "bare", client="reference"))
        spec["root"] = {"path": rootfs}
        self.spec, self.cgroup = spec, "/%s/bare" % session.namespace
        self._bundle(self.folder, self.cgroup, "/bin/true")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["runc", "--root", self.root, "delete", "--force", self.id], capture_output=True, check=False)
        for folder in (self.folder, self.rootfs):
            shutil.rmtree(folder, ignore_errors=True)

    def _bundle(self, folder, cgroup, *arguments):
        self.spec["process"].update(args=arguments, cwd="/")
        self.spec["linux"]["cgroupsPath"] = cgroup
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as handle:
            json.dump(self.spec, handle)

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

    def hold(self, samples, count, at_once):
        """Starts so many containers that stay, as task_load does, and takes them away again."""
        names = ["%s-%d" % (self.id, number) for number in range(count)]
        for name in names:
            self._bundle(os.path.join(self.folder, name), "%s/%s" % (self.cgroup, name), "/bin/sleep", "100000")

        def start(name):
            folder = os.path.join(self.folder, name)
            self._runc("create", "--bundle", folder, "--pid-file", os.path.join(folder, "pid"), name)
            self._runc("start", name)

        with concurrent.futures.ThreadPoolExecutor(at_once) as threads:
            try:
                samples.add("hold", "bare", seconds(lambda: list(threads.map(start, names))))
            finally:
                list(threads.map(lambda name: self._runc("delete", "--force", name), names))
