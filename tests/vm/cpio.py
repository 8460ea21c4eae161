# SPDX-License-Identifier: Apache-2.0
"""Writes the archive format that the kernel unpacks as its first root: cpio, "newc"."""

import stat


class Archive:
    def __init__(self):
        self._parts, self._number, self._folders = [], 0, set()

    def add_file(self, path, data, mode=0o644):
        """A file, and the folders above it."""
        above = path.split("/")[:-1]
        for depth in range(1, len(above) + 1):
            self.add_folder("/".join(above[:depth]))
        self._add(path, stat.S_IFREG | mode, data)

    def add_folder(self, path):
        if path not in self._folders:
            self._folders.add(path)
            self._add(path, stat.S_IFDIR | 0o755, b"")

    def add_character_device(self, path, major, minor):
        self._add(path, stat.S_IFCHR | 0o600, b"", (major, minor))

    def data(self):
        """The archive, with its end."""
        return b"".join(self._parts) + _entry(0, "TRAILER!!!", 0, b"", (0, 0))

    def _add(self, path, mode, data, device=(0, 0)):
        self._number += 1
        self._parts.append(_entry(self._number, path, mode, data, device))


def _entry(number, path, mode, data, device):
    name = path.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
