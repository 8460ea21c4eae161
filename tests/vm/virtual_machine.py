# SPDX-License-Identifier: Apache-2.0
"""A virtual machine for one command: Debian's kernel, the host's root below a layer of memory.

The host's root is shared read-only (virtiofs): what the command writes is gone with the machine. It has
cgroups of version 2 alone, AppArmor or SELinux, and no network but its own. What the command says comes
back through a virtio port, with its exit status as the last line.
"""

import dataclasses
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time

import cpio

QEMU = "qemu-system-x86_64"
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
BUSYBOX = "/bin/busybox"
# For the root; and what tests use that nobody would load on demand from inside a network namespace.
MODULES = ["virtio_pci", "virtio_console", "virtiofs", "overlay", "veth", "unix_diag", "tcp_diag", "udp_diag",
           "netlink_diag", "af_packet_diag"]
# Emulated, both processors share one thread: with one each, QEMU 7.2 now and then goes on running a breakpoint that the
# kernel had put into its own code for a moment, and the machine stands still for ever.
ACCELERATORS = {"kvm": ["kvm", "-cpu", "host"], "tcg": ["tcg,thread=single", "-cpu", "max"]}
# On the kernel's command line. Debian's kernel has both, and one at a time. SELinux allows everything until it has a policy.
SECURITY = {"apparmor": "security=apparmor apparmor=1", "selinux": "security=selinux enforcing=1"}
UP = "up\n"  # What inside.sh says first.
SECONDS_TO_COME_UP = 60
HERE = os.path.dirname(os.path.abspath(__file__))


def has_kvm():
    """Whether the processor runs the machine. Where KVM is there without that, it emulates the kernel, too, and more
    slowly than QEMU does."""
    processor = any(os.path.exists("/sys/module/" + module) for module in ("kvm_intel", "kvm_amd"))
    return processor and os.access("/dev/kvm", os.R_OK | os.W_OK)


def missing():
    """Why there can be no machine here, or None."""
    for program, package in ((QEMU, "qemu-system-x86"), (VIRTIOFSD, "qemu-system-common"), (BUSYBOX, "busybox-static")):
        if not shutil.which(program):
            return "%s is not there (package %s)" % (program, package)
    return None


@dataclasses.dataclass
class Outcome:
    status: object  # The exit status; None if the machine did not come to an end of its own.
    came_up: bool   # Whether it came as far as the command.
    output: str
    console: str


class VirtualMachine:
    def __init__(self, kernel, megabytes=2048, security="apparmor"):
        self.kernel, self.megabytes, self.security = kernel, megabytes, security

    def run(self, command, seconds, emulate=True):
        """Runs `command` (a list of words) as root inside. Returns an Outcome, or None when no machine came up.
        emulate: also where the processor does not help."""
        accelerators = (["kvm"] if has_kvm() else []) + (["tcg"] if emulate else [])
        deadline = time.monotonic() + seconds
        for accelerator in accelerators:
            outcome = self._attempt(accelerator, command, deadline - time.monotonic())
            if outcome.came_up or accelerator == "tcg":
                return outcome
        return None

    def _attempt(self, accelerator, command, seconds):
        with tempfile.TemporaryDirectory(prefix="ctrd-vm-") as folder:
            paths = {name: os.path.join(folder, name) for name in ("initramfs", "fs", "report", "console", "qemu")}
            with open(paths["initramfs"], "wb") as out:
                out.write(self._initramfs(command))
            filesystem = _share_root(paths["fs"])
            try:
                self._boot(accelerator, paths, seconds)
            finally:
                filesystem.kill()
                filesystem.wait()
            report, console = _text(paths["report"]), _text(paths["console"]) + _text(paths["qemu"])
        ended = re.search(r"^exit status (\d+)\n\Z", report, re.M)
        return Outcome(status=int(ended[1]) if ended else None, came_up=report.startswith(UP),
                       output=report[len(UP):ended.start() if ended else None], console=console)

    def _initramfs(self, command):
        archive = cpio.Archive()
        for path in ("dev", "proc", "sys"):
            archive.add_folder(path)
        archive.add_character_device("dev/console", 5, 1)
        with open(BUSYBOX, "rb") as program:
            archive.add_file("bin/busybox", program.read(), 0o755)
        with open(os.path.join(HERE, "init.sh"), "rb") as script:
            archive.add_file("init", script.read(), 0o755)
        with open(os.path.join(HERE, "inside.sh"), encoding="utf-8") as script:
            archive.add_file("inside.sh", script.read().replace("@COMMAND@", shlex.join(command)).encode())
        order = []
        for path in self.kernel.files_for(MODULES):
            name = "modules/" + os.path.basename(path)
            with open(path, "rb") as module:
                archive.add_file(name, module.read())
            order.append("/" + name)
        archive.add_file("modules/order", ("\n".join(order) + "\n").encode())
        archive.add_file("modules/folder", self.kernel.modules.encode())
        return archive.data()

    def _boot(self, accelerator, paths, seconds):
        """Returns when the machine is off, or was late: with all of it, or with coming up."""
        arguments = [
            "setpriv", "--pdeathsig", "KILL",  # It does not outlive us.
            QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
            "-accel", *ACCELERATORS[accelerator], "-smp", "2", "-m", str(self.megabytes),
            "-object", "memory-backend-memfd,id=memory,share=on,size=%dM" % self.megabytes, "-numa", "node,memdev=memory",
            "-kernel", self.kernel.image, "-initrd", paths["initramfs"],
            "-append", "console=ttyS0 quiet panic=-1 " + SECURITY[self.security],
            "-chardev", "file,id=console,path=" + paths["console"], "-serial", "chardev:console",
            "-chardev", "file,id=report,path=" + paths["report"], "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=report,name=report",
            "-chardev", "socket,id=fs,path=" + paths["fs"], "-device", "vhost-user-fs-pci,chardev=fs,tag=host",
        ]
        with open(paths["qemu"], "wb") as log:
            machine = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            machine.wait(min(seconds, SECONDS_TO_COME_UP))
        except subprocess.TimeoutExpired:
            if _text(paths["report"]).startswith(UP):
                try:
                    machine.wait(seconds - SECONDS_TO_COME_UP)
                except subprocess.TimeoutExpired:
                    pass
        finally:
            machine.kill()
            machine.wait()


def _share_root(path):
    """A server of the host's root at the socket `path`, to which even a machine gone wild cannot write."""
    script = 'mount --make-rprivate / && mount -o remount,bind,ro / && exec "$0" "$@"'
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script, VIRTIOFSD, "-f", "--fd=%d" % listener.fileno(), "-o", "source=/",
             "-o", "cache=always", "-o", "sandbox=chroot"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[listener.fileno()])


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""
