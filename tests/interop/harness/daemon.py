# SPDX-License-Identifier: Apache-2.0
"""Daemons under test: ours and Debian's, each with its own root, state and socket."""

import os
import shutil
import signal
import socket
import subprocess
import time

from harness import machine

REFERENCE_CONFIG = """version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[plugins."io.containerd.internal.v1.opt"]
  path = "%s/opt"
[plugins."io.containerd.internal.v1.restart"]
  interval = "500ms"
"""
OUR_CONFIG = """version = 2
[plugins."io.containerd.internal.v1.opt"]
  path = "%s/opt"
[plugins."io.containerd.internal.v1.restart"]
  interval = "500ms"
"""


class Daemon:
    """One daemon in `folder`. kind: "ours" or "reference". path: PATH of the daemon."""

    def __init__(self, kind, program, folder, path):
        self.kind, self.program, self.folder, self.path = kind, program, folder, path
        self.address = os.path.join(folder, "c.sock")
        self.root, self.state = os.path.join(folder, "root"), os.path.join(folder, "state")
        self.log_path = os.path.join(folder, "log")
        self.process, self.started = None, 0
        self.environment = {}  # More variables, for the daemon and whom it starts.
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "config.toml"), "w", encoding="utf-8") as handle:
            handle.write((REFERENCE_CONFIG if kind == "reference" else OUR_CONFIG) % folder)

    def start(self, seconds=20):
        """Starts it and returns when the socket accepts connections."""
        if os.path.exists(self.address):
            os.unlink(self.address)
        arguments = [self.program, "--config", os.path.join(self.folder, "config.toml"), "--address", self.address,
                     "--root", self.root, "--state", self.state, "--log-level", "debug"]
        with open(self.log_path, "ab") as log:
            self.started = time.monotonic()
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=dict(os.environ, PATH=self.path, **self.environment))
        machine.wait_until("the socket of %s" % self.program, self._accepts, seconds)

    def _accepts(self):
        if self.process.poll() is not None:
            raise RuntimeError("the daemon ended with %s:\n%s" % (self.process.returncode, self.log()[-3000:]))
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.address) == 0

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        """As a power cut sees it: SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=15):
        """SIGTERM; returns the exit status. Kills it when it does not go."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return "killed: it did not stop within %d s" % seconds

    def log(self):
        return machine.read(self.log_path).decode(errors="replace")

    def remove(self):
        """Unmounts what is left below the folder, and below a state that is elsewhere, and removes both."""
        left = [path for path in machine.mounts() if path.startswith((self.folder + "/", self.state + "/"))]
        for path in reversed(left):
            subprocess.run(["umount", "-l", path], check=False, capture_output=True)
        for folder in (self.folder, self.state):
            shutil.rmtree(folder, ignore_errors=True)
