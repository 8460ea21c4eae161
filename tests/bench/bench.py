#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's containerd and ours side by side, in one run: the same client against both, rounds taken in
turn, medians, and ratios beside the budgets of the design.

usage: bench.py --bin-dir DIR [--rounds N] [--containers N] [--only WORD]
"""

import argparse
import concurrent.futures
import os
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "interop")]
from harness import images, machine  # noqa: E402
from harness.registry import Registry  # noqa: E402
from harness.session import COMBINATIONS, Session  # noqa: E402
from measure import Samples, call, pss, seconds  # noqa: E402

SMALL = "local.test/small:1"
SIDES = {"reference": "reference", "ours": "stock-client"}
# name, unit, budget for the ratio, what it is
ROWS = [
    ("run", "ms", 0.5, "ctr run --rm true, whole command"),
    ("run net", "ms", 0.5, "the same without the client's own start"),
    ("exec", "ms", None, "ctr tasks exec true, whole command"),
    ("detached", "s", 0.5, "start %d detached containers, 4 at a time"),
    ("shim PSS", "MB", 0.2, "private memory per running container"),
    ("daemon PSS at rest", "MB", 0.4, "after start, nothing running"),
    ("daemon PSS loaded", "MB", None, "with these containers running"),
    ("restart answer", "s", None, "kill -9, start: first answer"),
    ("restart adopted", "s", 0.3, "kill -9, start: all tasks listed as running"),
    ("pull by client", "s", None, "6 layers, local registry: Go ctr pulls by itself on both"),
    ("pull", "s", 0.4, "the same: Go ctr on its daemon, our ctr through Transfer on ours"),
    ("metadata", "op/s", 4.0, "create and delete records, 16 clients, durable"),
]


def say(text):
    print(text, file=sys.stderr, flush=True)


def runs(session, samples, side, count):
    """Containers one after the other; what the client alone costs is measured beside."""
    for number in range(count):
        whole = seconds(call, session.command("run", "--rm", SMALL, "r%d" % number, "true")) * 1000
        client = seconds(call, session.command("version")) * 1000
        samples.add("run", side, whole)
        samples.add("run net", side, whole - client)


def execs(session, samples, side, count):
    call(session.command("run", "-d", SMALL, "box", "sleep", "1000"))
    for number in range(count):
        samples.add("exec", side, seconds(call, session.command("tasks", "exec", "--exec-id", "e%d" % number, "box",
                                                                "true")) * 1000)
    remove(session, ["box"])


def remove(session, names):
    def one(name):
        session.quiet("tasks", "rm", "-f", name)
        session.quiet("containers", "rm", name)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(one, names))


def detached(session, samples, side, count):
    """Many containers: the time to start them, what they weigh, and how a new daemon finds them."""
    names = ["d%d" % number for number in range(count)]

    def start():
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: call(session.command("run", "-d", SMALL, name, "sleep", "1000")), names))
    samples.add("detached", side, seconds(start))
    weights = [pss(pid) for pid in machine.shims([session.namespace])]
    samples.add("shim PSS", side, sum(weights) / count)
    samples.add("daemon PSS loaded", side, pss(session.daemon.pid))

    session.daemon.kill()
    started = time.perf_counter()
    session.daemon.start(120)
    machine.wait_until("an answer", lambda: session.quiet("version").code == 0, 120)
    samples.add("restart answer", side, time.perf_counter() - started)
    machine.wait_until("all to be adopted",
                       lambda: session.quiet("tasks", "ls").out.count("RUNNING") == count, 120)
    samples.add("restart adopted", side, time.perf_counter() - started)
    remove(session, names)


def pulls(session, samples, side, reference):
    def pull(client, *flags):
        taken = seconds(call, session.command("images", "pull", "--plain-http", *flags, reference, client=client))
        call(session.command("images", "rm", "--sync", reference))
        return taken
    samples.add("pull by client", side, pull("reference"))
    samples.add("pull", side, pull("ours") if side == "ours" else pull("reference"))


def metadata(session, samples, side, program):
    samples.add("metadata", side, float(call([program, session.daemon.address, session.namespace, "16", "2"])))


def bench(options, registry, archives):
    samples = Samples()
    bin_dir = os.path.abspath(options.bin_dir)
    reference = registry.push(images.large(), "bench/large:1")
    load = os.path.join(bin_dir, "metadata_load")
    parts = [
        ("run", lambda session, side: runs(session, samples, side, 10)),
        ("exec", lambda session, side: execs(session, samples, side, 10)),
        ("detached", lambda session, side: detached(session, samples, side, options.containers)),
        ("pull", lambda session, side: pulls(session, samples, side, reference)),
    ]
    if os.path.exists(load):
        parts.append(("metadata", lambda session, side: metadata(session, samples, side, load)))
    for number in range(options.rounds):
        sessions = {}
        try:
            for side, combination in SIDES.items():
                sessions[side] = Session(COMBINATIONS[combination], bin_dir, registry, archives).__enter__()
                call(sessions[side].command("version"))
            time.sleep(1)  # At rest.
            for side, session in sessions.items():
                samples.add("daemon PSS at rest", side, pss(session.daemon.pid))
                call(session.command("images", "import", os.path.join(archives, "small.tar"), client="reference"))
                call(session.command("run", "--rm", SMALL, "warm", "true"))
            for name, part in parts:
                if options.only and options.only not in name:
                    continue
                order = list(sessions) if number % 2 == 0 else list(reversed(sessions))
                for side in order:
                    say("round %d of %d: %s, %s" % (number + 1, options.rounds, name, side))
                    part(sessions[side], side)
        finally:
            for session in sessions.values():
                session.__exit__(None, None, None)
    return samples


def report(samples, options):
    print("\n%-20s %12s %12s %8s %8s  %s" % ("what", "Debian's", "ours", "ratio", "budget", ""))
    missed = []
    for name, unit, budget, sentence in ROWS:
        if name not in samples.values:
            continue
        ratio = samples.ratio(name)
        more_is_better = unit == "op/s"
        good = budget is None or (ratio >= budget if more_is_better else ratio <= budget)
        if not good:
            missed.append(name)
        limit = "" if budget is None else "%s %.1f" % (">=" if more_is_better else "<=", budget)
        sentence = sentence % options.containers if "%d" in sentence else sentence
        print("%-20s %12s %12s %8.2f %8s  %s%s" % (
            name, "%.4g %s" % (samples.median(name, "reference"), unit), "%.4g %s" % (samples.median(name, "ours"), unit),
            ratio, limit, "" if good else "MISSED: ", sentence))
    print("\n%d rounds, medians; %s." % (options.rounds, "all budgets met" if not missed
                                         else "budgets missed: " + ", ".join(missed)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--containers", type=int, default=40)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("make bench needs root", file=sys.stderr)
        return 1
    folder = tempfile.mkdtemp(prefix="ctrd-bench-")
    registry = Registry(os.path.join(folder, "registry"))
    try:
        archives = os.path.join(folder, "archives")
        os.makedirs(archives)
        images.small().write_archive(os.path.join(archives, "small.tar"), SMALL)
        report(bench(options, registry, archives), options)
    finally:
        registry.stop()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
