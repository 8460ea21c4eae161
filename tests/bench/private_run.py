# SPDX-License-Identifier: Apache-2.0
"""A /run of our own, in memory as on a machine in production: only we and what we start see it, and it is gone
with the last of us."""

import ctypes
import os
import tempfile

CLONE_NEWNS = 0x20000
MS_BIND, MS_MOVE, MS_REC, MS_SLAVE = 0x1000, 0x2000, 0x4000, 0x80000
# What daemons, shims, runtimes and mount(8) keep there: of the host's we neither see nor touch it.
NOT_SHOWN = ("containerd", "crun", "docker", "mount", "runc", "runsc")
LIBC = ctypes.CDLL(None, use_errno=True)


def enter():
    """Puts this process into a mount namespace whose /run is a tmpfs. The host's shows through, but for NOT_SHOWN."""
    _check(LIBC.unshare(CLONE_NEWNS), "unshare the mounts")
    # First of all: no mount of ours reaches the host. The host's unmounts reach us, so that we hold nothing of it.
    _mount("none", "/", "", MS_REC | MS_SLAVE)
    top = tempfile.mkdtemp(prefix="ctrd-bench-run-")
    _mount("ctrd-bench", top, "tmpfs", 0, "mode=755")
    for entry in os.scandir("/run"):
        if entry.name not in NOT_SHOWN:
            _show(entry, os.path.join(top, entry.name))
    _mount(top, "/run", "", MS_MOVE)
    os.rmdir(top)


def _show(entry, place):
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), place)
        return
    if entry.is_dir():
        os.mkdir(place)
    else:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
    _mount(entry.path, place, "", MS_BIND | MS_REC)


def _mount(source, target, kind, flags, data=""):
    words = [word.encode() for word in (source, target, kind)]
    _check(LIBC.mount(*words, ctypes.c_ulong(flags), data.encode()), "mount " + target)


def _check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), "%s: %s" % (what, os.strerror(ctypes.get_errno())))
