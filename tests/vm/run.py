#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a test in a virtual machine with Debian's kernel, pure cgroups of version 2, and AppArmor or SELinux.

usage: run.py --kernel-dir DIR --bin-dir DIR SUBJECT [WORD…]
       run.py --kernel-dir DIR --bin-dir DIR --command WORD…

SUBJECT is a script of tests/vm/subjects, called with --bin-dir and the words; --command is any command.
--security: apparmor (else), or selinux, which enforces as soon as the subject has loaded a policy.
--only-fast: where the processor does not run the machine, skip what takes too long to emulate.

Exit status: that of the test; 77: there can be no virtual machine here.
"""

import argparse
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import kernel  # noqa: E402
import virtual_machine  # noqa: E402


def why_not(options):
    if os.geteuid() != 0:
        return "needs root"
    missing = virtual_machine.missing()
    if missing:
        return missing
    if options.only_fast and not virtual_machine.has_kvm():
        return "no KVM, or one without the processor's help: it would take too long"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel-dir", required=True)
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--seconds", type=int, default=580, help="after these the machine is switched off")
    parser.add_argument("--security", choices=sorted(virtual_machine.SECURITY), default="apparmor")
    parser.add_argument("--only-fast", action="store_true")
    parser.add_argument("--command", action="store_true")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    reason = why_not(options)
    found = kernel.find(os.path.abspath(options.kernel_dir))
    if not reason and not found:
        reason = "no kernel in %s (packaging/fetch-vm-kernel.sh gets one)" % options.kernel_dir
    if reason:
        print("skipped: " + reason)
        return 77
    words = options.words
    if not options.command:
        script = os.path.join(HERE, "subjects", words[0] + ".py")
        words = ["/usr/bin/python3", script, "--bin-dir", os.path.abspath(options.bin_dir), *words[1:]]
    machine = virtual_machine.VirtualMachine(found, security=options.security)
    outcome = machine.run(words, options.seconds, emulate=not options.only_fast)
    if not outcome:
        print("skipped: no machine comes up with this KVM, and without it would take too long")
        return 77
    print(outcome.output, end="")
    if outcome.status is None:
        print("FAILED: the machine did not come to an end; its console ends:\n" + outcome.console[-3000:])
        return 1
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
