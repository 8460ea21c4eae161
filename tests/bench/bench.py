#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's containerd and ours side by side, in one run: the same client against both, rounds taken in
turn, medians, and ratios beside the budgets of the design. What runs from /run where a daemon is at home is
in memory here, too: the daemons' state with the bundles, runc's state, sockets and pipes; roots are on the disk.

usage: bench.py --bin-dir DIR [--rounds N] [--containers N] [--only WORD]

Parts: ctr, calls, rate, scale (N containers that stay, 300), pull, metadata; --only takes those whose name has
WORD in it. Every round plays all of them, on Debian's daemon and ours in turn, the first one of a round being
the last one of the next.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "interop")]
from harness import images, machine  # noqa: E402
from harness.registry import Registry  # noqa: E402
from harness.session import COMBINATIONS, Session  # noqa: E402
import private_run  # noqa: E402
from bare import BareRunc  # noqa: E402
from measure import Samples, call, median, pss, seconds  # noqa: E402

SMALL = "local.test/small:1"
STATES = "/run/ctrd-bench"  # In memory; each daemon's state in a folder of it.
SIDES = {"reference": "reference", "ours": "stock-client"}
# name, unit, budget for the ratio, what it is
ROWS = [
    ("run", "ms", 0.5, "ctr run --rm true, whole command"),
    ("run net", "ms", 0.5, "the same without the client's own start"),
    ("exec by ctr", "ms", None, "ctr tasks exec true, whole command"),
    ("create", "ms", None, "Tasks.Create"),
    ("start", "ms", None, "Tasks.Start"),
    ("wait", "ms", None, "Tasks.Wait, for `true`"),
    ("delete", "ms", None, "Tasks.Delete"),
    ("life", "ms", 0.5, "create, start, wait and delete of a task"),
    ("exec", "ms", None, "Exec, Start, Wait, DeleteProcess of `true`"),
    ("starts, 4 clients", "/s", None, "containers that run `true`, with records and snapshots, from start to end"),
    ("starts, 16 clients", "/s", None, "the same"),
    ("hold", "s", 0.5, "start %d containers that stay, 4 at a time"),
    ("shim PSS", "MB", 0.2, "private memory per running container, of %d"),
    ("daemon PSS at rest", "MB", 0.4, "after start, nothing running"),
    ("daemon PSS loaded", "MB", None, "with %d containers running"),
    ("restart answer", "ms", None, "from the start after kill -9 to the first answer of the API"),
    ("restart adopted", "ms", 0.3, "the same, until all %d tasks are listed as running"),
    ("restart above empty", "ms", None, "the same, above a restart with nothing running"),
    ("remove", "s", None, "kill and remove those, 4 at a time"),
    ("pull by client", "s", None, "6 layers, local registry: Go ctr pulls by itself on both"),
    ("pull", "s", 0.4, "the same: Go ctr on its daemon, our ctr through Transfer on ours"),
    ("metadata", "op/s", 4.0, "create and delete records, 16 clients, durable"),
]
MORE_IS_BETTER = ("/s", "op/s")
LIFE_OVER_RUNC = 10  # ms: the budget for a life above what the same calls of bare runc cost.
SHIM_MB = 2  # The budget of a shim's PSS.
RESTARTS = 3  # In each round.
ROUND_SECONDS = 1200  # More than a round takes on any machine: then something hangs.
HOLDERS = 4  # Clients that start containers that stay.


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
        samples.add("exec by ctr", side, seconds(call, session.command("tasks", "exec", "--exec-id", "e%d" % number,
                                                                       "box", "true")) * 1000)
    session.quiet("tasks", "rm", "-f", "box")
    session.quiet("containers", "rm", "box")


def load_command(session, mode, **options):
    command = [session.load, mode, "--address", session.daemon.address, "--namespace", session.namespace,
               "--parent", session.parent]
    for name, value in options.items():
        command += ["--" + name, str(value)]
    return command


def load(session, mode, **options):
    """The client that has no start-up to speak of: its report."""
    return json.loads(call(load_command(session, mode, **options)))


def calls(session, samples, side, count):
    for name, values in load(session, "latency", count=count, prefix="c").items():
        samples.add(name, side, *values)


def rates(session, samples, side, count):
    for clients in (4, 16):
        samples.add("starts, %d clients" % clients, side,
                    load(session, "rate", clients=clients, count=count, prefix="s")["rate"])


def restart(session, count):
    """A daemon that is killed and started: milliseconds from its start."""
    session.daemon.kill()
    os.unlink(session.daemon.address)
    # The client is there before the daemon: what it sees is not rounded by our waiting.
    client = subprocess.Popen(load_command(session, "adoption", count=count, since=0), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE)
    session.daemon.start(120)
    output, _ = client.communicate(timeout=120)
    return {name: at - session.daemon.started * 1000 for name, at in json.loads(output).items()}


def scale(session, samples, side, count):
    """Many containers: the time to start them, what they weigh, and how a new daemon finds them."""
    many = {"clients": HOLDERS, "count": count, "prefix": "h"}
    samples.add("hold", side, load(session, "hold", **many)["seconds"])
    samples.add("shim PSS", side, sum(pss(pid) for pid in machine.shims([session.namespace])) / count)
    samples.add("daemon PSS loaded", side, pss(session.daemon.pid))
    restarts = [restart(session, count) for _ in range(RESTARTS)]
    samples.add("remove", side, load(session, "remove", **many)["seconds"])
    empty = median([restart(session, 0)["adopted"] for _ in range(RESTARTS)])
    for times in restarts:
        samples.add("restart answer", side, times["answered"])
        samples.add("restart adopted", side, times["adopted"])
        samples.add("restart above empty", side, times["adopted"] - empty)


def top_snapshot(session):
    """The snapshot of the image's last layer: committed, and nobody's parent."""
    rows = [line.split() for line in session.quiet("snapshots", "ls").out.splitlines()[1:]]
    parents = {row[1] for row in rows if len(row) == 3}
    return [row[0] for row in rows if row[-1] == "Committed" and row[0] not in parents][0]


def pulls(session, samples, side, reference):
    def pull(client, *flags):
        taken = seconds(call, session.command("images", "pull", "--plain-http", *flags, reference, client=client))
        call(session.command("images", "rm", "--sync", reference))
        return taken
    samples.add("pull by client", side, pull("reference"))
    samples.add("pull", side, pull("ours") if side == "ours" else pull("reference"))


def metadata(session, samples, side, program):
    samples.add("metadata", side, float(call([program, session.daemon.address, session.namespace, "16", "2"])))


def start_sessions(sessions, samples, bin_dir, registry, archives):
    """Both daemons, each with the image and at rest; those that started are in `sessions`."""
    for side, combination in SIDES.items():
        session = Session(COMBINATIONS[combination], bin_dir, registry, archives)
        session.daemon.state = os.path.join(STATES, session.namespace)
        sessions[side] = session.__enter__()
        call(session.command("version"))
    time.sleep(1)  # At rest.
    for side, session in sessions.items():
        samples.add("daemon PSS at rest", side, pss(session.daemon.pid))
        call(session.command("images", "import", os.path.join(archives, "small.tar"), client="reference"))
        call(session.command("run", "--rm", SMALL, "warm", "true"))
        session.load, session.parent = os.path.join(bin_dir, "task_load"), top_snapshot(session)


def bench(options, registry, archives):
    samples = Samples()
    bin_dir = os.path.abspath(options.bin_dir)
    reference = registry.push(images.large(), "bench/large:1")
    metadata_load = os.path.join(bin_dir, "metadata_load")
    # Its name, what it does on a daemon, and the same with bare runc.
    parts = [
        ("ctr run", lambda session, side: runs(session, samples, side, 10), None),
        ("ctr exec", lambda session, side: execs(session, samples, side, 10), None),
        ("calls", lambda session, side: calls(session, samples, side, 30), lambda bare: bare.lives(samples, 30)),
        ("rate", lambda session, side: rates(session, samples, side, 100), None),
        ("scale", lambda session, side: scale(session, samples, side, options.containers),
         lambda bare: bare.hold(samples, options.containers, HOLDERS)),
        ("pull", lambda session, side: pulls(session, samples, side, reference), None),
        ("metadata", lambda session, side: metadata(session, samples, side, metadata_load), None),
    ]
    for number in range(options.rounds):
        sessions = {}
        try:
            start_sessions(sessions, samples, bin_dir, registry, archives)
            for name, part, without_daemon in parts:
                if options.only not in name:
                    continue
                order = [*sessions, *(["bare runc"] if without_daemon else [])]
                for side in order if number % 2 == 0 else reversed(order):
                    say("%4.0f s: round %d of %d: %s, %s" % (time.monotonic() - options.began, number + 1, options.rounds,
                                                            name, side))
                    if side in sessions:
                        part(sessions[side], side)
                        continue
                    with BareRunc(sessions["ours"], STATES, SMALL) as bare:
                        without_daemon(bare)
        finally:
            for session in sessions.values():
                session.__exit__(None, None, None)
    return samples


def report(samples, options):
    print("\n%-20s %11s %11s %11s %7s %8s  %s" % ("what", "bare runc", "Debian's", "ours", "ratio", "budget", ""))
    missed = []

    def row(name, bare, reference, ours, ratio, budget, good, sentence):
        if not good:
            missed.append(name)
        print("%-20s %11s %11s %11s %7s %8s  %s%s" % (name, bare, reference, ours, ratio, budget,
                                                     "" if good else "MISSED: ", sentence))

    for name, unit, budget, sentence in ROWS:
        if name not in samples.values:
            continue
        ratio = samples.ratio(name)
        more = unit in MORE_IS_BETTER
        good = budget is None or (ratio >= budget if more else ratio <= budget)
        limit = "" if budget is None else "%s %.1f" % (">=" if more else "<=", budget)
        cells = ["%.4g %s" % (samples.median(name, side), unit) if side in samples.values[name] else ""
                 for side in ("bare", "reference", "ours")]
        row(name, *cells, "%.2f" % ratio, limit, good,
            sentence % options.containers if "%d" in sentence else sentence)
    if "bare" in samples.values.get("life", {}):
        over = [samples.median("life", side) - samples.median("life", "bare") for side in ("reference", "ours")]
        row("life over runc", "", "%.4g ms" % over[0], "%.4g ms" % over[1], "", "<= %d ms" % LIFE_OVER_RUNC,
            over[1] <= LIFE_OVER_RUNC, "a life above the same calls of bare runc")
    if "shim PSS" in samples.values:
        weight = samples.median("shim PSS", "ours")
        row("shim PSS itself", "", "", "%.4g MB" % weight, "", "<= %d MB" % SHIM_MB, weight <= SHIM_MB, "")
    print("\n%d rounds in %.0f s, medians; %s." % (options.rounds, time.monotonic() - options.began, "all budgets met"
                                                  if not missed else "budgets missed: " + ", ".join(missed)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--containers", type=int, default=300)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("make bench needs root", file=sys.stderr)
        return 1
    options.began = time.monotonic()
    machine.end_in_time(options.rounds * ROUND_SECONDS)
    private_run.enter()
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
