# SPDX-License-Identifier: Apache-2.0
"""A container whose program counts in its memory: what was saved and restored counts on."""

import inside  # noqa: F401  # It knows where the harness is.
from harness import machine
from harness.rig import expect

# What it counts is in its memory alone; a file tells it, and another how often it began.
COUNT = "echo began >> /begun; i=0; while :; do i=$((i+1)); echo $i > /count.new; mv /count.new /count; sleep 0.05; done"


def start(rig, image):
    rig.start(image, "box", "sh", "-c", COUNT)
    wait_for_count(rig, "box", 5)


def count(rig, container):
    text = machine.read("/proc/%d/root/count" % rig.session.pid_of(container))
    return int(text or 0)


def wait_for_count(rig, container, more_than):
    machine.wait_until("a count over %d" % more_than, lambda: count(rig, container) > more_than)


def goes_on(rig, container, least):
    """It counts on, from more than `least`, and did not begin again."""
    wait_for_count(rig, container, max(least, count(rig, container)))
    done = rig.execute(container, "cat", "/begun", name="begun")
    expect(done.out == "began\n", "it began again: %s" % done)


def remove(rig, container):
    rig.ctr("tasks", "rm", "-f", container)
    done = rig.ctr("containers", "rm", container)
    expect(done.code == 0, "%s" % done)
