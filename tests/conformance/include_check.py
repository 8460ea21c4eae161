#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds every #include line against the tables of docs/architecture.md ("Arrows").

usage: include_check.py SOURCE_DIR     exit status 1 when a line is not allowed, 2 when the tables are unreadable
"""

import os
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
SOURCES = (".h", ".cc", ".c", ".cpp")


def tables_of(document):
    """The two tables: folder -> set of folders or headers; folder -> set of forbidden prefixes."""
    allowed, forbidden, current = {}, {}, None
    for line in document.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            current = None
        elif cells[0] == "Folder":
            current = {"May include": allowed, "Never includes": forbidden}.get(cells[1])
        elif current is not None and cells[0].startswith("`"):
            words = set(re.findall(r"`([^`]+)`", cells[1]))
            if re.search(r"(^|\s)generated(\s|$)", cells[1]):
                words.add("generated")
            current[cells[0].strip("`")] = words
    return allowed, forbidden


def row_of(table, folder):
    """The row of the longest prefix of `folder`, or None."""
    while folder and folder not in table:
        folder = os.path.dirname(folder)
    return table.get(folder)


def covered(path, words):
    return any(path == word or path.startswith(word + "/") for word in words)


def is_test(path):
    return path.endswith("_test.cc") or "/testing/" in path


def problem_of(path, quoted, angled, allowed, forbidden, top_folders, generated):
    """Why `path` may not include this, or None."""
    included = quoted or angled
    folder = os.path.dirname(path)
    banned = row_of(forbidden, folder) or set()
    if not is_test(path) and covered(included, banned):
        return "%s is kept out of this folder" % included
    words = row_of(allowed, folder)
    if words is None:
        return "folder %s has no row in the table" % folder
    if is_test(path):
        top = path.split("/")[0]
        rows = [row for name, row in allowed.items() if name.split("/")[0] == top]
        words = words.union({top}, *rows)
        # A test of a folder that may use a contract may use an implementation of it.
        words = {word.split("/")[0] if word == "snapshots/snapshotter.h" else word for word in words}
    if re.search(r"\.pb\.h$", included):
        if included.startswith("google/protobuf/") or included in generated or quoted:
            return None if "generated" in words else "generated protobuf (%s) is not allowed here" % included
    if included.split("/")[0] not in top_folders or "/" not in included:
        return None if not quoted or "/" in included else "write the path from the repository's root: %s" % included
    if angled:
        return "our own headers are included with quotes: %s" % included
    if covered(included, words) or included.startswith(folder + "/"):
        return None
    return "%s may not include %s" % (folder, included)


def sources(root, top_folders):
    for top in sorted(top_folders):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith(SOURCES):
                    yield os.path.relpath(os.path.join(folder, name), root)


def generated_headers(root):
    proto = os.path.join(root, "proto")
    return {os.path.relpath(os.path.join(folder, name), proto)[:-len(".proto")] + suffix
            for folder, _, names in os.walk(proto) for name in names if name.endswith(".proto")
            for suffix in (".pb.h", ".grpc.pb.h")}


def main():
    root = sys.argv[1]
    with open(os.path.join(root, "docs", "architecture.md"), encoding="utf-8") as handle:
        allowed, forbidden = tables_of(handle.read())
    top_folders = {folder.split("/")[0] for folder in allowed}
    if "base" not in allowed or "daemon" not in allowed or "runtime/shim" not in forbidden:
        print("docs/architecture.md: the tables of arrows are not there", file=sys.stderr)
        return 2
    generated, lines, problems = generated_headers(root), 0, 0
    for path in sources(root, top_folders):
        with open(os.path.join(root, path), encoding="utf-8") as handle:
            for number, line in enumerate(handle, 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                lines += 1
                problem = problem_of(path, match[1], match[2], allowed, forbidden, top_folders, generated)
                if problem:
                    problems += 1
                    print("%s:%d: %s" % (path, number, problem))
    print("%d include lines, %d not allowed" % (lines, problems))
    return 1 if problems or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
