#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Has Debian's ctr and ours make the same containers with one daemon of ours, and compares what they
recorded: the runtime specification, the labels, the runtime's options; and what they refused, and how.

usage: specs.py --bin-dir DIR [--only WORD] [--show]

What may differ stands in spec_differences.py, each row with its reason.
Exit status 0: nothing else differs; 1: something does; 77: cannot run here.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from types import SimpleNamespace

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import spec_differences  # noqa: E402
from harness import machine  # noqa: E402
from harness.session import COMBINATIONS, Session  # noqa: E402
from spec_cases import cases, images_in  # noqa: E402

SECONDS = 265  # A little less than ctest allows.
CLIENTS = ("reference", "ours")
KEPT = ("Labels", "Image", "Runtime", "SnapshotKey", "Snapshotter", "Extensions", "Spec")


def differences(left, right, path=""):
    """(path, left, right) of each value that is not the same; lists are compared by position."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(set(left) | set(right)):
            yield from differences(left.get(key), right.get(key), path + "." + key)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (a, b) in enumerate(zip(left, right)):
            yield from differences(a, b, "%s[%d]" % (path, number))
    elif left != right:
        yield path, left, right


def play(session, client, case):
    """One case by one client: what it said, and the record it left (None: none)."""
    said = session.quiet(*case.arguments, client=client, timeout=30)
    shown = session.quiet("containers", "info", "box", client="reference")
    record = {key: json.loads(shown.out).get(key) for key in KEPT} if shown.code == 0 else None
    session.quiet("tasks", "rm", "-f", "box", client="reference")
    session.quiet("containers", "rm", "box", client="reference")
    session.quiet("snapshots", "rm", "box", client="reference")
    return SimpleNamespace(code=said.code, out=said.out, err=said.err, record=record)


def compare(case, reference, ours, permitted):
    """Sentences about what differs and may not."""
    found = []
    seen = [spec_differences.Side(said.code, said.out, said.err, said.record) for said in (reference, ours)]
    for row in spec_differences.PERMITTED:
        if not row.applies(case):
            continue
        through = [row.view(side, is_ours) for side, is_ours in zip(seen, (False, True))]
        if through != seen:
            permitted.add(row.reason)
        seen = through
    for what in ("code", "out", "err"):
        left, right = getattr(seen[0], what), getattr(seen[1], what)
        if left != right:
            found.append("%s: %r, ours %r" % (what, left, right))
    found += ["%s: %s, ours %s" % (path, json.dumps(left), json.dumps(right))
              for path, left, right in differences(seen[0].record, seen[1].record)]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--only", default="", help="cases whose name has this word")
    parser.add_argument("--show", action="store_true", help="print what Debian's client said")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("/usr/bin/ctr") or not shutil.which("runc"):
        print("skipped: needs root, Debian's containerd and runc")
        return 77
    machine.end_in_time(SECONDS)
    folder = tempfile.mkdtemp(prefix="ctrd-it-specs-")
    failed, permitted, played = 0, set(), 0
    try:
        with Session(COMBINATIONS["stock-client"], os.path.abspath(options.bin_dir),
                     SimpleNamespace(host="no-registry"), folder) as session:
            for path, image, name in images_in(folder):
                image.write_archive(path, name)
                session.quiet("images", "import", path, client="reference")
            for case in cases(folder):
                if options.only not in case.name:
                    continue
                played += 1
                said = {client: play(session, client, case) for client in CLIENTS}
                if options.show:
                    print("=== %s: %s\n%s" % (case.name, said["reference"].code, said["reference"].err))
                if found := compare(case, said["reference"], said["ours"], permitted):
                    failed += 1
                    print("\nDIFFERENT: %s: ctr %s" % (case.name, " ".join(case.arguments)))
                    print("\n".join("  " + sentence[:1000] for sentence in found[:20]))
            for failure in session.failures:
                print("FAILED: " + failure)
                failed += 1
    finally:
        shutil.rmtree(folder)
    for reason in sorted(permitted):
        print("permitted: " + reason)
    print("%d cases, %d different" % (played, failed))
    return 1 if failed or not played else 0


if __name__ == "__main__":
    sys.exit(main())
