#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tests with a daemon and a shim that are compiled with sanitizers, and finds every report of them: shims
outlive the daemon and tell their log to nobody, so each process writes its report into a file of its own.

usage: sanitized.py --build-dir DIR --clients DIR [--all] [--only NAME]…

DIR is build/asan or build/tsan (`make test` or `make sanitize` build what is needed). The clients, which are not
what is tested, are the release's. Exit status 0: all tests passed and nobody reported anything; 1: not; 77: cannot
run here.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
INTEROP, FAULT = os.path.join(HERE, "..", "interop"), os.path.join(HERE, "..", "fault")
SUPPRESSIONS = os.path.join(HERE, "..", "..", "packaging", "sanitizers")
PROGRAMS = ["containerd", "containerd-shim-runc-v2"]
CLIENTS = ["ctr", "call", "call.protoset", "task_load"]
NEEDED = ["/usr/bin/containerd", "/usr/bin/ctr", "docker-registry", "skopeo", "runc", "strace"]
# The kinds of faults, and the runtime that sees them: a program of that kind has the name in it.
# Each fault is an argument of a probe. What races by way of gRPC must be the one thing that is reported.
SANITIZER, GRPC, RACING = "sanitizer_probe", "grpc_probe", "in Unguarded"
KINDS = {
    "asan": (b"__asan_init", [(SANITIZER, "read-after-free", ""), (SANITIZER, "leak", ""), (SANITIZER, "overflow", "")]),
    "tsan": (b"__tsan_init", [(SANITIZER, "race", ""), (GRPC, "thread", RACING), (GRPC, "handlers", RACING)]),
}
# Who is killed while it looks for leaks: no finding.
NOISE = re.compile(r"^==\d+==Unable to get registers from thread \d+\.\n", re.M)
LONGEST_REPORT = 120  # Lines.


def say(text):
    print(text, flush=True)


def sanitizer_options(report):
    """The environment that has every process write its reports to files that begin with `report`."""
    common = "log_path=%s:handle_abort=1" % report
    return {
        # An object of a thread's stack that is used when its function has returned is found, too.
        "ASAN_OPTIONS": common + ":detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1",
        "UBSAN_OPTIONS": "log_path=%s" % report,  # packaging/sanitizers/ubsan_reports.cc
        "LSAN_OPTIONS": "print_suppressions=0:suppressions=%s/lsan.supp" % SUPPRESSIONS,
        # Longer stacks of what was before; no second in which others might still race at each end.
        "TSAN_OPTIONS": common + ":history_size=4:atexit_sleep_ms=0:die_after_fork=0:second_deadlock_stack=1:print_suppressions=0"
                        ":suppressions=%s/tsan.supp" % SUPPRESSIONS,
    }


def prefix(kind):
    """ThreadSanitizer's shadow leaves less room for random addresses than newer kernels take."""
    with open("/proc/sys/vm/mmap_rnd_bits", encoding="ascii") as handle:
        return ["setarch", "-R"] if kind == "tsan" and int(handle.read()) > 28 else []


class Watched:
    """Runs commands one after another; what they reported, and whether they failed."""

    def __init__(self, folder, kind):
        self.prefix = prefix(kind)
        self.reports = os.path.join(folder, "reports")
        os.makedirs(self.reports)
        self.environment = dict(os.environ, **sanitizer_options(os.path.join(self.reports, "report")))
        self.failures = []

    def take_reports(self):
        """Texts of the reports since the last call."""
        texts = []
        for name in sorted(os.listdir(self.reports)):
            path = os.path.join(self.reports, name)
            with open(path, encoding="utf-8", errors="replace") as handle:
                texts.append(NOISE.sub("", handle.read()))
            os.unlink(path)
        return [text for text in texts if text.strip()]

    def run(self, name, *command):
        started = time.monotonic()
        done = subprocess.run([*self.prefix, *command], env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        reports = self.take_reports()
        good = done.returncode == 0 and not reports
        say("%-28s %s, %.1f s" % (name, "passed" if good else "FAILED", time.monotonic() - started))
        if good:
            return
        self.failures.append(name)
        say("exit status %d\n%s" % (done.returncode, done.stdout[-6000:]))
        for text in reports:
            lines = text.splitlines()
            say("--- a report\n" + "\n".join(lines[:LONGEST_REPORT] + ["…"] * (len(lines) > LONGEST_REPORT)))

    def expect_report(self, name, place, *command):
        """A fault that is meant: no report of it would mean that reports get lost."""
        subprocess.run([*self.prefix, *command], env=self.environment, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        reports = self.take_reports()
        summaries = [line for text in reports for line in text.splitlines() if line.startswith("SUMMARY:")]
        if len(reports) != 1 or (place and [place in line for line in summaries] != [True]):
            self.failures.append(name)
            say("%-28s FAILED: not reported, or more than that\n%s" % (name, "\n".join(reports)))


def gather_programs(folder, build_dir, clients):
    """A directory as the other tests want it: the programs under test, and clients."""
    os.makedirs(folder)
    for names, source in ((PROGRAMS, os.path.join(build_dir, "bin")), (CLIENTS, clients)):
        for name in names:
            os.symlink(os.path.join(os.path.abspath(source), name), os.path.join(folder, name))
    return folder


def check_that_reports_are_found(watched, build_dir, kind):
    marker, faults = KINDS[kind]
    for program in PROGRAMS:
        with open(os.path.join(build_dir, "bin", program), "rb") as handle:
            if marker not in handle.read():
                watched.failures.append(program)
                say("FAILED: %s is not a program of this sanitizer" % program)
    for probe, fault, place in faults:
        watched.expect_report("probe " + fault, place, os.path.join(build_dir, "bin", probe), fault)
    if kind == "tsan":
        watched.run("probe ordered", os.path.join(build_dir, "bin", GRPC), "ordered")


def selected(build_dir, everything, only):
    """What the build says is to be run: lines "unit|scenario|fault NAME always|all [ARGUMENT…]"."""
    with open(os.path.join(build_dir, "sanitized.txt"), encoding="utf-8") as handle:
        rows = [line.split() for line in handle if line.strip()]
    return [row for row in rows if (everything or row[2] == "always") and (not only or row[1] in only)]


def run_all(watched, options, bin_dir):
    rows = selected(options.build_dir, options.all, options.only)
    units = [row[1] for row in rows if row[0] == "unit"]
    if units:
        watched.run("unit tests", "ctest", "--test-dir", options.build_dir, "--output-on-failure", "-j2",
                    "-R", "^(%s)$" % "|".join(units))
    for kind, name, _, *arguments in rows:
        if kind == "scenario":
            watched.run("%s %s" % (name, arguments[0]), sys.executable, os.path.join(INTEROP, "run.py"), "--alone",
                        "--scenario", name, "--combination", arguments[0], "--bin-dir", bin_dir)
        elif kind == "fault":
            watched.run(" ".join([name] + arguments), sys.executable, os.path.join(FAULT, name + ".py"),
                        "--bin-dir", bin_dir, *arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", required=True)
    parser.add_argument("--clients", required=True)
    parser.add_argument("--all", action="store_true", help="the larger selection")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="of these, this one")
    options = parser.parse_args()
    missing = [program for program in NEEDED if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        say("skipped: needs root%s" % "".join(", " + program for program in missing))
        return 77
    if not os.path.exists(os.path.join(options.build_dir, "bin", "sanitizer_probe")):
        say("%s is not built: make test does that, and make sanitize" % options.build_dir)
        return 1
    started = time.monotonic()
    folder = tempfile.mkdtemp(prefix="ctrd-sanitized-")
    try:
        kind = os.path.basename(os.path.abspath(options.build_dir))
        watched = Watched(folder, kind)
        check_that_reports_are_found(watched, options.build_dir, kind)
        run_all(watched, options, gather_programs(os.path.join(folder, "bin"), options.build_dir, options.clients))
    finally:
        shutil.rmtree(folder)
    say("%s in %.0f s" % ("FAILED: " + ", ".join(watched.failures) if watched.failures else "passed",
                          time.monotonic() - started))
    return 1 if watched.failures else 0


if __name__ == "__main__":
    sys.exit(main())
