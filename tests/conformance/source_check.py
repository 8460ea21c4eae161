#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What every source file of the project keeps:

- the first or second line (after a #!) is the licence line;
- no path of the machine it was written on, and no host of a package registry;
- a document named in a comment (docs/….md), or linked from a document, is there;
- no source file is longer than 600 lines.

usage: source_check.py SOURCE_DIR
"""

import os
import re
import sys

CODE = (".cc", ".h", ".py", ".sh", ".proto", ".cmake", ".yml", ".service")
CODE_NAMES = {"CMakeLists.txt", "Makefile", "run", "dependencies.txt"}
SKIPPED = {".git", "build", "__pycache__"}
LICENCE = "SPDX-License-Identifier: Apache-2.0"
# Put together here so that this file does not name what it forbids.
MACHINE = re.compile(r"(^|[^A-Za-z0-9_.])/(%s)/[A-Za-z]|%s" % (
    "|".join(("wo" + "rk", "fa" + "rm", "ro" + "ot")),
    "|".join(re.escape(host) for host in ("deb." + "debian.org", "security." + "debian.org",
                                          "registry." + "npmjs", "../sha" + "red"))))
APPENDED = re.compile(r'\+ "/\w+/')  # Not a path from the top: the rest of one.
CITED = re.compile(r"(?<![\w/.-])(docs/[\w./-]+\.md)")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def files(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(set(names) - SKIPPED):
            yield os.path.relpath(os.path.join(folder, name), root)


def problems_of(root, path):
    try:
        with open(os.path.join(root, path), encoding="utf-8") as handle:
            lines = handle.read().splitlines()
    except UnicodeDecodeError:
        return
    name = os.path.basename(path)
    is_code = name.endswith(CODE) or name in CODE_NAMES
    if is_code and not any(LICENCE in line for line in lines[:2]):
        yield "%s: the licence line is missing" % path
    if is_code and len(lines) > 600:
        yield "%s: %d lines; is there a second noun in it?" % (path, len(lines))
    for number, line in enumerate(lines, 1):
        if MACHINE.search(APPENDED.sub("", line)):
            yield "%s:%d: names this machine or a registry: %s" % (path, number, line.strip()[:80])
        for cited in CITED.findall(line):
            if not os.path.exists(os.path.join(root, cited)):
                yield "%s:%d: there is no %s" % (path, number, cited)
        if name.endswith(".md"):
            for target in LINK.findall(line):
                if not os.path.exists(os.path.join(root, os.path.dirname(path), target)):
                    yield "%s:%d: the link leads nowhere: %s" % (path, number, target)


def main():
    root, problems, count = sys.argv[1], 0, 0
    for path in files(root):
        if path == "LICENSE":
            continue
        count += 1
        for problem in problems_of(root, path):
            problems += 1
            print(problem)
    print("%d files, %d problems" % (count, problems))
    return 1 if problems or not count else 0


if __name__ == "__main__":
    sys.exit(main())
