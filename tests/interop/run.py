#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one scenario twice, with Debian's containerd and with a combination of its programs and ours,
and compares step by step: exit code, standard output, standard error.

usage: run.py --scenario NAME --combination NAME --bin-dir DIR [--seconds NUMBER] [--show|--alone]

Exit status 0: the same, but for the rows of harness/differences.py; 1: not; 77: cannot run here.
CTRD_INTEROP_KEEP=1 keeps the logs.
"""

import argparse
import difflib
import importlib
import os
import shutil
import signal
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import differences  # noqa: E402
from harness.registry import Registry  # noqa: E402
from harness.session import COMBINATIONS, Session  # noqa: E402

SECONDS = 280  # A little less than ctest allows: what was started is ended by us.
NEEDED = ["/usr/bin/containerd", "/usr/bin/ctr", "docker-registry", "skopeo", "runc"]


def give_up(number, _):
    raise TimeoutError("signal %d: it took too long, or somebody ended it" % number)


def play(scenario, combination, bin_dir, registry, archives):
    """Runs the scenario; returns (steps, failures)."""
    session = Session(combination, bin_dir, registry, archives)
    try:
        with session:
            scenario.scenario(session)
    except TimeoutError:
        raise
    except Exception:
        session.failures.append(traceback.format_exc())
    if session.failures:
        session.failures.append("the daemon's log ends:\n" + session.last_log)
    return session.steps, session.failures


def compare(scenario_name, combination, reference, other):
    """Prints the differences; returns their number."""
    found = 0
    if [step.name for step in reference] != [step.name for step in other]:
        print("\n".join(difflib.unified_diff([step.name for step in reference], [step.name for step in other],
                                             "steps of reference", "steps of " + combination, lineterm="")))
        found += 1
    others = {step.name: step for step in other}
    for want in reference:
        if want.name not in others:
            continue
        have = others[want.name]
        if want == have:
            continue
        seen_want, _ = differences.through_views(scenario_name, combination, want)
        seen_have, reasons = differences.through_views(scenario_name, combination, have)
        if (seen_want.code, seen_want.out, seen_want.err) == (seen_have.code, seen_have.out, seen_have.err) or (
                want.compare == "code" and seen_want.code == seen_have.code):
            for reason in sorted(set(reasons)):
                print("permitted: %s: %s" % (want.name, reason))
            continue
        found += 1
        print("\nDIFFERENT: %s: ctr %s" % (want.name, have.command))
        for what in ("code", "out", "err"):
            left, right = str(getattr(seen_want, what)), str(getattr(seen_have, what))
            if left != right:
                print("\n".join(difflib.unified_diff(left.splitlines(), right.splitlines(), "reference " + what,
                                                     "%s %s" % (combination, what), lineterm="", n=2)))
    return found


def play_alone(scenario, options, bin_dir, registry, archives):
    steps, failures = play(scenario, COMBINATIONS[options.combination], bin_dir, registry, archives)
    for failure in failures:
        print("FAILED: " + failure)
    print("%d steps played, %d failures" % (len(steps), len(failures)))
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", required=True)
    parser.add_argument("--combination", required=True, choices=sorted(COMBINATIONS))
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="after these it gives up")
    parser.add_argument("--show", action="store_true", help="print the reference's transcript")
    parser.add_argument("--alone", action="store_true",
                        help="play the combination only: for programs that are slow, and whose answers others compare")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("skipped: needs root")
        return 77
    scenario = importlib.import_module("scenarios." + options.scenario)
    for program in NEEDED + getattr(scenario, "NEEDED", []):
        if not shutil.which(program):
            print("skipped: %s is not installed" % program)
            return 77
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, give_up)
    signal.alarm(options.seconds)
    folder = tempfile.mkdtemp(prefix="ctrd-it-registry-")
    registry = Registry(os.path.join(folder, "registry"))
    try:
        archives = os.path.join(folder, "archives")
        os.makedirs(archives)
        scenario.prepare(registry, archives)
        bin_dir = os.path.abspath(options.bin_dir)
        if options.alone:
            return play_alone(scenario, options, bin_dir, registry, archives)
        combination = COMBINATIONS[options.combination]
        play_reference = lambda: play(scenario, combination.beside, bin_dir, registry, archives)  # noqa: E731
        reference, failures = play_reference()
        if failures:
            print("Debian's containerd did not do what the scenario says, playing it again:\n" + "\n".join(failures))
            reference, failures = play_reference()
        if options.show:
            for step in reference:
                print("=== %.1f s: %s: ctr %s -> %s\n%s--- stderr\n%s" % (step.at, step.name, step.command, step.code,
                                                                    step.out, step.err))
        if failures:
            print("Debian's containerd did not do what the scenario says:\n" + "\n".join(failures))
            return 1
        other, failures = play(scenario, combination, bin_dir, registry, archives)
        different = compare(options.scenario, options.combination, reference, other)
        if different and not failures:
            print("\nplaying Debian's containerd again: is it the same as itself?")
            reference, failures = play_reference()
            different = compare(options.scenario, options.combination, reference, other)
    finally:
        registry.stop()
        shutil.rmtree(folder)
    for failure in failures:
        print("FAILED: " + failure)
    print("%d steps compared, %d different, %d failures" % (len(reference), different, len(failures)))
    return 1 if different or failures else 0


if __name__ == "__main__":
    sys.exit(main())
