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
