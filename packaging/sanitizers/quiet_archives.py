#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Copies static libraries that ThreadSanitizer's compiler has not seen so that it does not see them at work, either.

usage: quiet_archives.py --nm NM --objcopy OBJCOPY --calls FILE --out DIR ARCHIVE…

What such a library orders by its atomic operations looks unordered. It would be seen nevertheless, where it calls what
ThreadSanitizer intercepts (memory is freed, copied, sent), and where it calls functions of headers that our code has,
too: the linker keeps one of each, ours, which is instrumented. In the copies the calls that FILE lists go to
ctrd_quiet_NAME (tsan_quiet.cc, tsan_grpc.cc), and functions of headers have names of their own.
"""

import argparse
import os
import re
import subprocess
import sys

# Weak functions that keep their names. Who counts the owners of what we share with the library is seen on both sides:
# the last one destroys it. And of templates that headers declare `extern` the library has the only copy.
SHARED = re.compile("^_ZNSt(16_Sp_counted_base|1[24]__shared_count)")
EXTERN = re.compile("4Cord(C[125]|6Append|7Prepend)|11BigUnsigned|12CordRepBtree10AddCordRep|10ParseFloat|10RandenPool"
                    "|19find_first_non_full")


def symbols(nm, archives):
    """Names of the functions that archives define: (weak ones, others)."""
    weak, strong = set(), set()
    output = subprocess.run([nm, "--defined-only", *archives], check=True, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True).stdout
    for line in output.splitlines():
        fields = line.split()
        if len(fields) == 3:
            # A constructor's section is known by the name C5, which no function has.
            is_group = fields[1] == "n" and ("C5" in fields[2] or "D5" in fields[2])
            (weak if fields[1] == "W" or is_group else strong).add(fields[2])
    return weak, strong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--nm", "--objcopy", "--calls", "--out"):
        parser.add_argument(option, required=True)
    parser.add_argument("archives", nargs="+", metavar="ARCHIVE")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    weak, strong = symbols(options.nm, options.archives)
    # What is no C++ name is no header's function, but one that another may replace.
    renamed = sorted(name for name in weak - strong
                     if name.startswith("_Z") and not SHARED.search(name) and not EXTERN.search(name))
    with open(options.calls, encoding="ascii") as handle:
        calls = [line.strip() for line in handle if line.strip() and not line.startswith("#")]
    names = os.path.join(options.out, "names")
    with open(names, "w", encoding="ascii") as handle:
        handle.writelines("%s ctrd_quiet_%s\n" % (name, name) for name in renamed + calls)
    for archive in options.archives:
        copy = os.path.join(options.out, os.path.basename(archive))
        subprocess.run([options.objcopy, "--redefine-syms=" + names, archive, copy], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
