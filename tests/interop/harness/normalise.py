# SPDX-License-Identifier: Apache-2.0
"""Makes the outputs of two runs comparable: times, durations, ids and the order of labels."""

import re

RULES = [(re.compile(pattern, re.M), replacement) for pattern, replacement in [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|[+-]\d\d:?\d\d))?( UTC)?( m=\+[\d.]+)?", "TIME"),
    (r"^(sha256:[0-9a-f]{64}\t\S+ ?\S+\t)[^\t\n]+\t+", r"\1AGE\t"),
    (r"^DIGEST\t+SIZE\tAGE\t+LABELS", "DIGEST\tSIZE\tAGE\tLABELS"),  # As wide as the ages below.
    (r"^(\S+ +\S+ +)(?:Less than a second|\d+ seconds?|About a minute) *$", r"\1AGE"),
    (r'"NS/\d+/', '"NS/N/'),  # A snapshot's name in the back end: the number is free.
    (r"extract-\d+-\S{4} sha256", "extract-KEY sha256"),
    (r"(?<![\w-])\d+(\.\d+)?(ns|µs|ms|m\d|s)\b", "DURATION"),
    (r"/run/containerd/fifo/\w+/", "FIFOS/"),
    (r"(import|export)-\d{4}-\d\d-\d\d", r"\1-DATE"),
]]
# Frames of a progress display, and what a look-up that the end of the pull cut off complains of.
FRAME = re.compile(r"\x1b\[|elapsed: |(active check failed|failed to get content info).*context canceled|"
                   r"^\S+:\s+(resolving|resolved|waiting|committing|done|downloading|uploading|exists)\b")
LABELS = re.compile(r"(?:^|(?<=[\t ]))[\w.:/-]+=[^\s,]*(?:,[\w.:/-]+=[^\s,]*)+", re.M)


def text(output, names):
    """names: what this run calls things -> what every run calls them."""
    for name in sorted(names, key=len, reverse=True):
        output = output.replace(name, names[name])
    for pattern, replacement in RULES:
        output = pattern.sub(replacement, output)
    return LABELS.sub(lambda match: ",".join(sorted(match[0].split(","))), output)


def without_progress(output):
    """The lines that stay when the frames of a progress display are gone."""
    lines = [line for line in re.split(r"[\r\n]+", output) if line and not FRAME.search(line)]
    return "\n".join(lines) + "\n"


def sorted_rows(output):
    """The reference lists tasks in the order of a hash table: the header, then the rows by name."""
    header, *rows = table(output).splitlines() or [""]
    return "\n".join([header] + sorted(rows)) + "\n"


def table(output):
    """Column widths depend on what was masked: one blank is enough."""
    return "\n".join(re.sub(r"[ \t]+", " ", line).rstrip() for line in output.splitlines()) + "\n"
