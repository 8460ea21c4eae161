#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What our restart monitor has and Debian's has not: policies, also across a restart of the daemon, and that an
image cannot restart its containers or name a logger, whatever an older client copies from it.

usage: restart_policies.py --bin-dir DIR
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import images, machine  # noqa: E402
from harness.daemon import Daemon  # noqa: E402
from harness.session import REFERENCE_BIN, SYSTEM_PATH  # noqa: E402

PREFIX = "containerd.io/restart."
IMAGE, EVIL = "local.test/small:1", "local.test/evil:1"


class Scene:
    def __init__(self, daemon, namespace):
        self.daemon = daemon
        self.command = [os.path.join(REFERENCE_BIN, "ctr"), "--address", daemon.address, "-n", namespace]
        self.problems = []

    def ctr(self, *arguments):
        return subprocess.run([*self.command, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout

    def run(self, name, image, script, **labels):
        flags = [word for key, value in labels.items()
                 for word in ("--label", "%s%s=%s" % (PREFIX, key.replace("_", "-"), value))]
        self.ctr("run", "-d", "--null-io", *flags, image, name, "sh", "-c", script)

    def status(self, name):
        rows = [line.split() for line in self.ctr("tasks", "ls").splitlines()]
        return next((row[2] for row in rows if row[0] == name), None)

    def labels(self, name):
        for line in self.ctr("containers", "info", name).splitlines():
            words = line.strip().rstrip(",").split('": "')
            if len(words) == 2:
                yield words[0].strip('"'), words[1].rstrip('"')

    def count(self, name):
        return int(dict(self.labels(name)).get(PREFIX + "count", "0"))

    def expect(self, truth, sentence):
        if not truth:
            self.problems.append(sentence)


def play(s, marker):
    details = s.ctr("plugins", "ls", "-d", "id==restart")
    s.expect(all(policy in details for policy in ("always", "on-failure", "unless-stopped")), "clients see the policies")
    s.run("twice", IMAGE, "exit 3", status="running", policy="on-failure:2")
    s.run("fine", IMAGE, "exit 0", status="running", policy="on-failure")
    s.run("stopped", IMAGE, "exit 1", status="running", policy="unless-stopped", explicitly_stopped="true")
    s.run("never", IMAGE, "exit 1", status="running", policy="no")
    s.run("unclear", IMAGE, "exit 1", status="running", policy="sometimes")
    # An older ctr copies the labels of the image.
    s.run("evil", EVIL, "exit 1")
    s.expect(dict(s.labels("evil")).get(PREFIX + "status") == "running", "Debian's ctr copies the labels of images")
    s.run("always", IMAGE, "exit 0", status="running", policy="always")
    machine.wait_until("the policy to be used up", lambda: s.count("twice") == 2)
    # Passes that went by.
    seen = s.count("always")
    machine.wait_until("further passes", lambda: s.count("always") >= seen + 3)
    for name in ("fine", "stopped", "never", "unclear", "evil"):
        s.expect(s.count(name) == 0, "%s is not restarted" % name)
    s.expect(s.count("twice") == 2, "on-failure:2 restarts twice")
    s.expect(not os.path.exists(marker), "a logger named by an image is not run")

    # A failure that no daemon saw.
    s.run("unseen", IMAGE, "while :; do sleep 0.1; done", status="running", policy="on-failure")
    machine.wait_until("it to run", lambda: s.status("unseen") == "RUNNING")
    pid = next(int(line.split()[1]) for line in s.ctr("tasks", "ls").splitlines() if line.startswith("unseen "))
    s.daemon.kill()
    os.kill(pid, 9)
    machine.wait_until("it to end", lambda: not machine.alive(pid))
    s.daemon.start()
    machine.wait_until("it to come back", lambda: s.count("unseen") == 1 and s.status("unseen") == "RUNNING")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", required=True)
    options = parser.parse_args()
    if os.geteuid() != 0 or not os.access(os.path.join(REFERENCE_BIN, "ctr"), os.X_OK):
        print("skipped: needs root, and Debian's ctr")
        return 77
    folder = tempfile.mkdtemp(prefix="ctrd-it-")
    namespace = "it-restart-" + folder[-8:].replace("_", "x").lower()
    marker = os.path.join(folder, "logger-was-run")
    daemon = Daemon("ours", os.path.join(options.bin_dir, "containerd"), os.path.join(folder, "d"),
                    "%s:%s" % (options.bin_dir, SYSTEM_PATH))
    scene = Scene(daemon, namespace)
    try:
        archive, evil = os.path.join(folder, "small.tar"), os.path.join(folder, "evil.tar")
        images.small().write_archive(archive, IMAGE)
        labels = {PREFIX + "status": "running", PREFIX + "policy": "always",
                  PREFIX + "loguri": "binary:///bin/touch?" + marker}
        images.small({"Labels": labels}).write_archive(evil, EVIL)
        daemon.start()
        for path in (archive, evil):
            scene.ctr("images", "import", path)
        play(scene, marker)
    finally:
        daemon.stop()
        for pid in machine.shims([namespace, folder]) + machine.in_cgroups(namespace):
            machine.end(pid)
        daemon.remove()
        machine.remove_cgroups(namespace)
        shutil.rmtree(os.path.join("/run/containerd/runc", namespace), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    for problem in scene.problems:
        print("not so: " + problem)
    print("%d problems" % len(scene.problems))
    return 1 if scene.problems else 0


if __name__ == "__main__":
    sys.exit(main())
