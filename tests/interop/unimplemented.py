#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks the running daemon for every method of its API, and holds the ones that answer Unimplemented
against the list in docs/unimplemented.md: none may be missing there, none may stand there that answers.

usage: unimplemented.py --source-dir DIR --bin-dir DIR
"""

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness.daemon import Daemon  # noqa: E402
from harness.session import SYSTEM_PATH  # noqa: E402

UNIMPLEMENTED = "12"
SERVED = re.compile(r"^(containerd\.services\.(?!events\.ttrpc)|grpc\.health\.)")


def methods(source_dir):
    path = os.path.join(source_dir, "tests", "conformance", "api", "methods.tsv")
    with open(path, encoding="utf-8", newline="") as handle:
        return sorted("%s/%s" % (row["service"], row["method"])
                      for row in csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
                      if SERVED.match(row["service"]) and "grpc" in row["transports"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source-dir", required=True)
    parser.add_argument("--bin-dir", required=True)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("skipped: needs root")
        return 77
    with open(os.path.join(options.source_dir, "docs", "unimplemented.md"), encoding="utf-8") as handle:
        listed = set(re.findall(r"^\| `([\w.]+/\w+)` \|", handle.read(), re.M))
    folder = tempfile.mkdtemp(prefix="ctrd-it-")
    daemon = Daemon("ours", os.path.join(options.bin_dir, "containerd"), folder, SYSTEM_PATH)
    try:
        daemon.start()
        answers = subprocess.run([os.path.join(options.bin_dir, "call_all"), daemon.address, "probe"],
                                 input="\n".join(methods(options.source_dir)) + "\n", stdout=subprocess.PIPE,
                                 text=True, check=True, timeout=120).stdout
        alive = daemon.process.poll() is None
    finally:
        daemon.stop()
        daemon.remove()
    codes = dict(line.split() for line in answers.splitlines())
    found = {method for method, code in codes.items() if code == UNIMPLEMENTED}
    for method in sorted(found - listed):
        print("answers Unimplemented and is not in docs/unimplemented.md: %s" % method)
    for method in sorted(listed - found):
        print("is in docs/unimplemented.md and answers (%s): %s" % (codes.get(method, "unknown method"), method))
    if not alive:
        print("the daemon did not outlive empty requests")
    print("%d methods asked, %d answer Unimplemented" % (len(codes), len(found)))
    return 0 if codes and found == listed and alive else 1


if __name__ == "__main__":
    sys.exit(main())
