#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scrapes Debian's daemon and ours, each with a container running: every family and every series that Debian's
tells must be told by ours, with the same type and labels. What is the Go runtime's or CRI's stays out.

usage: metrics.py --bin-dir DIR
"""

import argparse
import gzip
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import images, machine  # noqa: E402
from harness.daemon import Daemon  # noqa: E402
from harness.session import REFERENCE_BIN, SYSTEM_PATH  # noqa: E402

IMAGE = "local.test/small:1"
NOT_OURS = re.compile(r"^go_|^containerd_cri_|grpc_service=\"runtime\.v1|^containerd_build_info")
SAMPLE = re.compile(r"^([a-z_]+(?:\{.*\})?) (\S+)$")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Scraped:
    """One daemon, one running container and what it said of it."""

    def __init__(self, kind, program, shim, folder, archive):
        self.port = free_port()
        self.namespace = "it-metrics-%s-%s" % (kind, os.path.basename(os.path.dirname(folder))[-8:].replace("_", "x"))
        daemon = Daemon(kind, program, folder, "%s:%s" % (shim, SYSTEM_PATH))
        with open(os.path.join(folder, "config.toml"), "a", encoding="utf-8") as handle:
            handle.write('[metrics]\n  address = "127.0.0.1:%d"\n  grpc_histogram = true\n' % self.port)
        self.ctr_command = [os.path.join(REFERENCE_BIN, "ctr"), "--address", daemon.address, "-n", self.namespace]
        try:
            daemon.start()
            self.ctr("images", "import", archive)
            self.ctr("run", "-d", IMAGE, "one", "sh", "-c", "while :; do sleep 0.1; done")
            self.text = self.get("/v1/metrics").decode().replace(self.namespace, "NS")
            self.zipped = gzip.decompress(self.get("/v1/metrics", {"Accept-Encoding": "gzip"})).decode()
            try:
                self.elsewhere = self.get("/metrics")
            except urllib.error.HTTPError as error:
                self.elsewhere = error.code
            self.ctr("tasks", "kill", "-s", "SIGKILL", "one")
            machine.wait_until("the container to stop", lambda: "STOPPED" in self.ctr("tasks", "ls"))
            self.ctr("tasks", "rm", "one", check=False)  # Tells the status of the container.
            self.after_delete = self.get("/v1/metrics").decode()
            self.ctr("containers", "rm", "one")
        finally:
            daemon.stop()
            for pid in machine.shims([self.namespace, folder]) + machine.in_cgroups(self.namespace):
                machine.end(pid)
            daemon.remove()
            machine.remove_cgroups(self.namespace)
            shutil.rmtree(os.path.join("/run/containerd/runc", self.namespace), ignore_errors=True)

    def ctr(self, *arguments, check=True):
        return subprocess.run([*self.ctr_command, *arguments], capture_output=True, text=True, check=check,
                              timeout=60).stdout

    def get(self, path, headers=None):
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), headers=headers or {})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()

    def types(self):
        return {line.split()[2]: line.split()[3] for line in self.text.splitlines() if line.startswith("# TYPE ")}

    def series(self):
        found = (SAMPLE.match(line) for line in self.text.splitlines())
        return {match.group(1): float(match.group(2)) for match in found if match}


def compare(reference, ours):
    problems = []
    types = ours.types()
    for name, kind in reference.types().items():
        if not NOT_OURS.search(name) and types.get(name) != kind:
            problems.append("family %s is %s and not %s" % (name, types.get(name), kind))
    series = ours.series()
    for name in reference.series():
        if not NOT_OURS.search(name) and name not in series:
            problems.append("series is missing: " + name)
    malformed = [line for line in ours.text.splitlines() if not line.startswith("# ") and not SAMPLE.match(line)]
    problems += ["malformed line: " + line for line in malformed]
    labels = 'container_id="one",namespace="NS",runtime="io.containerd.runc.v2"'
    if not [name for name in series if labels in name]:
        problems.append("nothing is told of the container")
    started = 'grpc_server_handled_total{grpc_code="OK",grpc_method="Start",' \
              'grpc_service="containerd.services.tasks.v1.Tasks",grpc_type="unary"}'
    if series.get(started) != 1:
        problems.append("one start of a task is counted as %s" % series.get(started))
    if "container_id" in ours.after_delete:
        problems.append("a deleted task is told of")
    if "\ncontainerd_build_info_total{" not in ours.zipped:
        problems.append("the compressed answer is another one")
    if ours.elsewhere != reference.elsewhere or ours.elsewhere != 404:
        problems.append("another path answers %s" % ours.elsewhere)
    return problems, len(series)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", required=True)
    options = parser.parse_args()
    if os.geteuid() != 0 or not os.access(os.path.join(REFERENCE_BIN, "containerd"), os.X_OK):
        print("skipped: needs root, and Debian's containerd")
        return 77
    folder = tempfile.mkdtemp(prefix="ctrd-it-")
    try:
        archive = os.path.join(folder, "small.tar")
        images.small().write_archive(archive, IMAGE)
        reference = Scraped("reference", os.path.join(REFERENCE_BIN, "containerd"), REFERENCE_BIN,
                            os.path.join(folder, "r"), archive)
        ours = Scraped("ours", os.path.join(options.bin_dir, "containerd"), options.bin_dir,
                       os.path.join(folder, "o"), archive)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    problems, count = compare(reference, ours)
    for problem in problems:
        print(problem)
    print("%d series of ours, %d problems" % (count, len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
