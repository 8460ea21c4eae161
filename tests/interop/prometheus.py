#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes our daemon: one target on loopback, and its API is asked for the series of one call that
was made before.

usage: prometheus.py --bin-dir DIR
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import machine  # noqa: E402
from harness.daemon import Daemon  # noqa: E402
from harness.session import SYSTEM_PATH  # noqa: E402
from metrics import free_port  # noqa: E402

CONFIGURATION = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: containerd
    metrics_path: /v1/metrics
    static_configs: [{targets: ["127.0.0.1:%d"]}]
"""
CALLED = 'grpc_server_handled_total{grpc_service="containerd.services.version.v1.Version",grpc_code="OK"}'


class Prometheus:
    def __init__(self, program, folder, target):
        self.port = free_port()
        configuration = os.path.join(folder, "prometheus.yml")
        with open(configuration, "w", encoding="utf-8") as handle:
            handle.write(CONFIGURATION % target)
        self.log_path = os.path.join(folder, "prometheus.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, "--config.file", configuration, "--storage.tsdb.path", os.path.join(folder, "series"),
                 "--web.listen-address", "127.0.0.1:%d" % self.port], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def get(self, path, **query):
        url = "http://127.0.0.1:%d/api/v1/%s?%s" % (self.port, path, urllib.parse.urlencode(query))
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]
        except (urllib.error.URLError, ConnectionError):
            return None  # Not there yet.

    def value(self, expression):
        data = self.get("query", query=expression)
        return float(data["result"][0]["value"][1]) if data and data["result"] else None

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def problems_of(prometheus):
    machine.wait_until("Prometheus to have scraped the daemon", lambda: prometheus.value("up") == 1, 30)
    problems = []
    target = prometheus.get("targets")["activeTargets"][0]
    if target["health"] != "up" or target["lastError"]:
        problems.append("the target is %s: %s" % (target["health"], target["lastError"]))
    if prometheus.value(CALLED) != 1:
        problems.append("one call is counted as %s" % prometheus.value(CALLED))
    kinds = {name: metadata[0]["type"] for name, metadata in prometheus.get("metadata").items()}
    for name, kind in (("grpc_server_handled_total", "counter"), ("process_resident_memory_bytes", "gauge"),
                       ("containerd_gc_gc_seconds", "histogram")):
        if kinds.get(name) != kind:
            problems.append("%s is %s and not %s" % (name, kinds.get(name), kind))
    return problems, int(prometheus.value("scrape_samples_scraped"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", required=True)
    options = parser.parse_args()
    program = shutil.which("prometheus")
    if os.geteuid() != 0 or program is None:
        print("skipped: needs root, and prometheus")
        return 77
    folder = tempfile.mkdtemp(prefix="ctrd-it-")
    port = free_port()
    daemon = Daemon("ours", os.path.join(options.bin_dir, "containerd"), os.path.join(folder, "d"),
                    "%s:%s" % (options.bin_dir, SYSTEM_PATH))
    with open(os.path.join(folder, "d", "config.toml"), "a", encoding="utf-8") as handle:
        handle.write('[metrics]\n  address = "127.0.0.1:%d"\n' % port)
    prometheus = None
    try:
        daemon.start()
        subprocess.run([os.path.join(options.bin_dir, "ctr"), "--address", daemon.address, "version"], check=True,
                       stdout=subprocess.DEVNULL, timeout=60)
        prometheus = Prometheus(program, folder, port)
        problems, samples = problems_of(prometheus)
    finally:
        if prometheus is not None:
            prometheus.stop()
        daemon.stop()
        daemon.remove()
        shutil.rmtree(folder, ignore_errors=True)
    for problem in problems:
        print(problem)
    print("%d samples in a scrape, %d problems" % (samples, len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
