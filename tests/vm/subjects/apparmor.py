#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The default AppArmor profile: made, loaded, applied and obeyed."""

import os

import inside
from harness import machine
from harness.rig import expect

LOADED = "/sys/kernel/security/apparmor/profiles"
PROFILE = "ctrd-default.apparmor.d"
SCRIPTS = {
    "mount": "mkdir -p /m && mount -t tmpfs none /m",
    "sysrq": "echo h > /proc/sysrq-trigger",
    "core pattern": "echo core > /proc/sys/kernel/core_pattern",
    "write": "echo x > /x && cat /x",
    "program of another": "readlink /proc/1/exe",
    "huge pages": "cat /sys/kernel/mm/transparent_hugepage/enabled",
    "power": "ls /sys/devices/virtual/powercap",
    "security": "ls /sys/kernel/security",
    "kill": "sleep 9 & kill $!; echo killed",
    "own name": "echo x > /proc/self/comm",
}
FORBIDDEN = ["mount"]


def loaded():
    return [line.rsplit(" ", 1)[0] for line in machine.read(LOADED).decode().splitlines()]


def label_of(rig, container):
    return machine.read("/proc/%d/attr/current" % rig.session.pid_of(container)).decode().strip("\n\0")


def confined(rig, image):
    """A container "box" under the default profile, made by our client."""
    done = rig.run("-d", "--null-io", "--apparmor-default-profile", PROFILE, image, "box", "sh", "-c", inside.LOOP,
                   client="ours")
    expect(done.code == 0, "%s" % done)
    rig.wait_for_file("box", "/ready")


def test_default_profile(rig):
    """our client makes and loads the default profile, and the container is confined by it, execs too"""
    image = rig.image()
    expect(PROFILE not in loaded(), "it is there before")
    confined(rig, image)
    expect(PROFILE in loaded(), "it is loaded: %s" % loaded())
    expect(label_of(rig, "box") == PROFILE + " (enforce)", label_of(rig, "box"))
    done = rig.execute("box", "cat", "/proc/self/attr/current")
    expect(done.out.strip("\n\0") == PROFILE + " (enforce)", "an exec: %s" % done)
    expect(rig.spec("box")["process"]["apparmorProfile"] == PROFILE, "the specification has the name")


def test_signals(rig):
    """a confined container can be killed by its own processes and by the runtime, and pauses"""
    confined(rig, rig.image())
    done = rig.execute("box", "sh", "-c", "sleep 1000 & kill -9 $! && wait $!; echo $?")
    expect(done.out == "137\n", "its own process: %s" % done)
    for command in ("pause", "resume"):
        expect(rig.ctr("tasks", command, "box").code == 0, command)
    expect(rig.ctr("tasks", "kill", "box").code == 0, "kill")
    rig.session.wait_for_status("box", "STOPPED")
    done = rig.ctr("tasks", "rm", "box")
    expect("exit code 3" in done.err, "the program had the signal: %s" % done)


def outcomes(rig, image, flags, client):
    """name -> what came of it, of all SCRIPTS in a container that may mount, were it not for a profile."""
    told = "".join("echo '=%s='; ( %s ) 2>&1; echo $?; " % pair for pair in SCRIPTS.items())
    done = rig.run("--rm", "--cap-add", "CAP_SYS_ADMIN", *flags, image, "box", "sh", "-c", told, client=client, timeout=60)
    expect(done.code == 0, "%s" % done)
    parts = done.out.split("=")[1:]
    return dict(zip(parts[::2], parts[1::2]))


def test_what_is_forbidden(rig):
    """the profiles of our client and of Debian's forbid and allow the same"""
    image = rig.image()
    seen = {client: outcomes(rig, image, ["--apparmor-default-profile", PROFILE + "-of-" + client], client)
            for client in ("ours", "reference")}
    expect(sorted(seen["ours"]) == sorted(SCRIPTS), str(seen["ours"]))
    for what in SCRIPTS:
        expect(seen["ours"][what] == seen["reference"][what], "%s: ours %s, Debian's %s" %
               (what, seen["ours"][what], seen["reference"][what]))
    for what in FORBIDDEN:
        expect("ermission denied" in seen["ours"][what], "%s: %s" % (what, seen["ours"][what]))
    without = outcomes(rig, image, [], "ours")
    expect("ermission denied" not in without["mount"], "without the profile a mount is allowed: %s" % without["mount"])


def test_a_profile_that_is_there(rig):
    """--apparmor-profile applies a loaded one, and complains of one that is not"""
    image = rig.image()
    for client in ("ours", "reference"):
        done = rig.run("--rm", "--apparmor-default-profile", PROFILE, image, "one", "true", client=client)
        expect(done.code == 0, "%s" % done)
        done = rig.run("--rm", "--apparmor-profile", PROFILE, image, "two", "cat", "/proc/self/attr/current", client=client)
        expect(done.out.strip("\n\0") == PROFILE + " (enforce)", "%s: %s" % (client, done))
        done = rig.run("--rm", "--apparmor-profile", "no-such-profile", image, "three", "true", client=client)
        expect(done.code == 1 and "apply apparmor profile" in done.err, "%s: %s" % (client, done))


if __name__ == "__main__":
    if not os.path.exists(LOADED):
        raise SystemExit("the kernel has no AppArmor")
    inside.main("apparmor_parser")
