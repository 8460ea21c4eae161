# SPDX-License-Identifier: Apache-2.0
"""The differences from Debian's containerd 1.6 that are meant, each with its reason.

A row names combinations, steps (a shell pattern of "scenario: step") and a view: a function that
both sides of the step are seen through. What is equal through the view is permitted.
"""

import dataclasses
import fnmatch
import re

from harness.session import Step


def replacing(stream, pattern, replacement):
    """The step with the matching text of one stream replaced."""
    compiled = re.compile(pattern, re.M)
    return lambda step: dataclasses.replace(step, **{stream: compiled.sub(replacement, getattr(step, stream))})


def without(stream, pattern):
    return replacing(stream, pattern, "")


def in_turn(*views):
    def view(step):
        for part in views:
            step = part(step)
        return step
    return view


def sorted_mount_options(step):
    """The options of a mount in an event, in the order of their names."""
    def ordered(match):
        return '"options":[%s]' % ",".join(sorted(match[1].split(",")))
    return dataclasses.replace(step, out=re.sub(r'"options":\[([^]]*)\]', ordered, step.out))


@dataclasses.dataclass
class Permitted:
    combinations: tuple
    steps: str
    view: object
    reason: str


OUR_CLIENT = ("our-client", "our-client-on-reference")

OLDER_SHIM = ("older-shim-by-path", "older-shim-absolute")
OUR_DAEMON = ("stock-client", "our-client", "stock-shim-by-path", "stock-shim-absolute") + OLDER_SHIM
OUR_SHIM = ("stock-client", "our-client", "our-shim-by-path", "our-shim-absolute")
TRANSFER = ("our-client",)  # Our client on our daemon: since 2.0 the daemon pulls, pushes, imports and exports.

# What stands before the cause: the 1.6 client resolves, fetches and unpacks by itself, and says so.
BEFORE_CAUSE = (r"(failed to resolve (reference \"[^\"]*\"|image): |failed commit on ref \"[^\"]*\": commit failed: |"
                r"failed to extract layer sha256:\w+: |failed to ingest \"[^\"]*\": failed to read expected number of bytes: )")

PERMITTED = [
    Permitted(OUR_CLIENT, "*: containers info*", without("out", r'^ *"(ociVersion": .*|/sys/devices/virtual/powercap",)\n'),
              "the specification is 2.3's: a later version, one more masked path"),
    Permitted(OUR_CLIENT, "*", without("err", r": unknown(?=$|\"$)"),
              "clients since 2.0 do not print the class of an error that has none"),
    Permitted(OUR_CLIENT, "tasks: tasks exec without id", without("out", r"(?s).*"),
              "help texts are in our own words"),
    Permitted(OUR_CLIENT, "bad_input: exec with a bad id",
              without("err", r"^ctr: (failed to open stdin fifo: error creating|make) "
                             r"fifo '?FIFOS/a/b-stdin'?: [Nn]o such file or directory$"),
              "the client's own error: call, object and cause in the form that ours have"),

    Permitted(OUR_DAEMON, "events: events /tasks/create", sorted_mount_options,
              "2.x puts index=off last among the options of an overlay, 1.6 first"),
    Permitted(OUR_DAEMON, "events: events /snapshot/remove", without("out", r'^.*"key":"sha256:.*\n'),
              "2.x publishes the snapshots that the collector removes"),
    Permitted(("our-client",), "events: events /snapshot/*", without("out", r',"snapshotter":"\w+"'),
              "events name the snapshotter since 1.7"),

    Permitted(OUR_DAEMON, "task_api: *", without("err", r": unknown$"),
              "servers since 2.0 do not append the class of an error that has none"),
    Permitted(OUR_SHIM, "task_api: exec of no JSON", replacing("err", r"^invalid character.*", "not JSON"),
              "the words of the JSON parser"),
    Permitted(OUR_SHIM, "task_api: update of no JSON",
              replacing("err", r"(?s)\A.*invalid character.*\Z", "not JSON"),
              "our shim hands the document to the runtime as it is: the runtime finds the fault"),

    Permitted(OUR_SHIM, "streams: run with a logger that is not there",
              replacing("err", r"1 error occurred:\n\t\* (.*)\n\n", r"\1"), "one error is not counted in a list"),

    Permitted(OUR_SHIM, "runtimes: calls of the runtime", replacing("out", r"--resources -", "--resources=-"),
              "as 2.x has it"),
    Permitted(OUR_DAEMON + OUR_SHIM, "runtimes: calls of the runtime", without("out", r"^.* delete --force \w+\n"),
              "what was deleted in order is not deleted again by force"),
    Permitted(OUR_DAEMON, "runtimes: run with runtime *", in_turn(replacing("err", r"containerd\.runc\.v1", "containerd.runc.v2"),
                                                                replacing("err", r"start failed: : ", "start failed: ")),
              "an example that still exists; no output is not put before the cause"),

    *[Permitted(TRANSFER, steps, in_turn(without("out", r"(?s).*"), without("err", r"^time=.*level=info.*\n"),
                                         without("err", BEFORE_CAUSE)),
                "Transfer: 2.x has its own progress display, and other words before the cause of a failure")
      for steps in ("*: images pull*", "*: images push*", "*: images import*", "archives: pull *", "archives: import *",
                    "bad_input: pull *", "bad_input: import *")],
    Permitted(TRANSFER, "images: snapshots info*",
              without("out", r' *"Labels": \{\n( *"containerd\.io/snapshot[./](ref|diff-id|parent-chain-id)": .*\n)+ *\},\n'),
              "the daemon's unpacker labels the snapshots of layers, the 1.6 client did not"),
    Permitted(TRANSFER, "bad_input: * wrong diff id", replacing("err", r"wrong diff id .*", "wrong diff id"),
              "2.x names both digests and the layer"),
    Permitted(TRANSFER, "bad_input: import diffid", replacing("err", r"wrong diff id .*", "wrong diff id"),
              "2.x names both digests and the layer"),
    Permitted(TRANSFER, "bad_input: pull no registry",
              replacing("err", r"(failed to do request: )?(HEAD|Head) .*([Cc]onnection refused|Couldn't connect).*", "no connection"),
              "libcurl's words for a connection that was refused"),
    Permitted(TRANSFER, "bad_input: import badjson",
              replacing("err", r"invalid character .*|index is not a JSON object.*", "not JSON"),
              "the words of the JSON parser"),
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
