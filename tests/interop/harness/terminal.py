# SPDX-License-Identifier: Apache-2.0
"""A client on a terminal of its own, of which the test holds the other end."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from harness import machine
from harness.session import Result


class Terminal:
    """Runs a command on a pty of `rows` and `columns`."""

    def __init__(self, command, rows=33, columns=77):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.shown = b""

    def resize(self, rows, columns):
        """The kernel tells whoever is on the terminal, by SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, data):
        os.write(self.master, data)

    def _read(self):
        """Reads some; false at the end."""
        if not select.select([self.master], [], [], 0.2)[0]:
            return self.process.poll() is None
        try:
            part = os.read(self.master, 1 << 16)
        except OSError:
            return False
        self.shown += part
        return bool(part)

    def wait_for(self, text, seconds=30):
        """Reads until `text` was shown; false when it was not."""
        deadline = time.monotonic() + seconds
        while text not in self.shown and time.monotonic() < deadline and self._read():
            pass
        return text in self.shown

    def finish(self, seconds=30):
        """Reads to the end; returns the result with lines that end as on a file."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._read():
            pass
        try:
            code = self.process.wait(max(1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            machine.end(self.process.pid)
            self.process.wait()
            code = "timeout"
        os.close(self.master)
        # A terminal shows no difference between one carriage return and two.
        return Result(code, re.sub(r"\r+\n", "\n", self.shown.decode(errors="replace")), "")
