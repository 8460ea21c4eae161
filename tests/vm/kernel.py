# SPDX-License-Identifier: Apache-2.0
"""The kernel that packaging/fetch-vm-kernel.sh unpacked, and the modules of it that a root needs."""

import glob
import os


class Kernel:
    def __init__(self, folder, release):
        self.release = release
        self.image = os.path.join(folder, "boot", "vmlinuz-" + release)
        self.modules = os.path.join(folder, "lib", "modules", release)
        self._needs = {}
        with open(os.path.join(self.modules, "modules.dep"), encoding="utf-8") as lines:
            for line in lines:
                path, _, needs = line.partition(":")
                self._needs[path] = needs.split()
        self._paths = {os.path.basename(path).split(".")[0].replace("-", "_"): path for path in self._needs}

    def files_for(self, names):
        """Paths of the modules `names` and of what they need, in the order in which they load."""
        ordered = []

        def add(path):
            for need in self._needs[path]:
                add(need)
            if path not in ordered:
                ordered.append(path)

        for name in names:
            if name in self._paths:  # Else it is built in.
                add(self._paths[name])
        return [os.path.join(self.modules, path) for path in ordered]


def find(folder):
    """The kernel in `folder`, or None."""
    for image in sorted(glob.glob(os.path.join(folder, "boot", "vmlinuz-*"))):
        release = os.path.basename(image)[len("vmlinuz-"):]
        if os.path.exists(os.path.join(folder, "lib", "modules", release, "modules.dep")):
            return Kernel(folder, release)
    return None
