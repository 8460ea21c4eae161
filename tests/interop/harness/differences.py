# SPDX-License-Identifier: Apache-2.0
"""The differences from Debian's containerd 1.6 that are meant, each with its reason.

A row names combinations, steps (a shell pattern of "scenario: step") and a view: a function that
both sides of the step are seen through. What is equal through the view is permitted.
"""

import dataclasses
import fnmatch
import re

from harness.session import Step


def code_only(step):
    return dataclasses.replace(step, out="", err="")


def without(stream, pattern):
    """The step without the matching text in one stream."""
    compiled = re.compile(pattern, re.M)
    return lambda step: dataclasses.replace(step, **{stream: compiled.sub("", getattr(step, stream))})


@dataclasses.dataclass
class Permitted:
    combinations: tuple
    steps: str
    view: object
    reason: str


OUR_CLIENT = ("our-client", "our-client-on-reference")

PERMITTED = [
    Permitted(OUR_CLIENT, "*: containers info*", without("out", r'^ *"(ociVersion": .*|/sys/devices/virtual/powercap",)\n'),
              "the specification is 2.3's: a later version, one more masked path"),
    Permitted(OUR_CLIENT, "*", without("err", r": unknown(?=$|\"$)"),
              "clients since 2.0 do not print the class of an error that has none"),
    Permitted(OUR_CLIENT, "tasks: tasks exec without id", without("out", r"(?s).*"),
              "help texts are in our own words"),
    Permitted(OUR_CLIENT, "bad_input: exec with a bad id", without("err", r"^ctr: (failed to open stdin fifo: error creating|make) "
                                                                   r"fifo '?FIFOS/a/b-stdin'?: [Nn]o such file or directory$"),
              "the client's own error: call, object and cause in the form that ours have"),
]


def through_views(scenario, combination, step: Step):
    """The step as the table lets it be seen, and the reasons that applied."""
    reasons = []
    for row in PERMITTED:
        if combination in row.combinations and fnmatch.fnmatchcase("%s: %s" % (scenario, step.name), row.steps):
            seen = row.view(step)
            if seen != step:
                reasons.append(row.reason)
            step = seen
    return step, reasons
