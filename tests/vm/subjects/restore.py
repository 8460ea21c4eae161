#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of containers into images, and restores under another name, with CRIU itself."""

import counter
import inside
from harness.rig import expect


def save_and_restore(rig, saver, restorer):
    counter.start(rig, rig.image())
    name = "local.test/saved:1"
    done = rig.ctr("containers", "checkpoint", "--rw", "--image", "--task", "box", name, client=saver, timeout=60)
    expect(done.code == 0, "%s" % done)
    counter.remove(rig, "box")
    done = rig.ctr("containers", "restore", "--rw", "--live", "back", name, client=restorer, timeout=60)
    expect(done.code == 0, "%s" % done)
    rig.session.wait_for_status("back", "RUNNING")
    counter.goes_on(rig, "back", 5)
    done = rig.execute("back", "sh", "-c", "echo inside; exit 4")
    expect((done.code, done.out) == (4, "inside\n"), "exec in what was restored: %s" % done)
    for command, status in (("pause", "PAUSED"), ("resume", "RUNNING")):
        done = rig.ctr("tasks", command, "back")
        expect(done.code == 0 and rig.session.status_of("back") == status, "%s: %s" % (command, done))
    expect("memory.usage" in rig.ctr("tasks", "metrics", "back").out, "metrics of what was restored")
    expect(rig.ctr("tasks", "kill", "-s", "SIGKILL", "back").code == 0, "kill")
    rig.session.wait_for_status("back", "STOPPED")
    counter.remove(rig, "back")
    rig.ctr("images", "rm", "--sync", name)


def test_restore_by_debians_client(rig):
    """what our client saved, Debian's restores: the process counts on, and is a task like any other"""
    save_and_restore(rig, "ours", "reference")


def test_restore_by_our_client(rig):
    """what Debian's client saved, ours restores"""
    save_and_restore(rig, "reference", "ours")


if __name__ == "__main__":
    inside.main("criu")
