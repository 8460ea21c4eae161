# SPDX-License-Identifier: Apache-2.0
"""One container's life, for pairs of a daemon and a foreign shim: run, exec, kill, delete."""

import os

from harness import images, machine

IMAGE = "local.test/small:1"


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), "local.test/small:1")


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    # The 1.6 client loses what a process wrote right before its end, hence the pauses.
    s.run("--rm", IMAGE, "c1", "sh", "-c", "echo out; echo err >&2; sleep 0.3; exit 7", name="run --rm")
    s.run("--rm", IMAGE, "c2", "/no/such/program", name="run missing program")
    s.run("-d", IMAGE, "box", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done", name="run -d")
    shims = machine.shims([s.namespace])
    s.expect(len(shims) == 1, "one shim runs: %s" % shims)
    if shims and s.bin_dir != "/usr/bin":
        program = os.readlink("/proc/%d/exe" % shims[0])
        ours = os.path.realpath(os.path.join(s.bin_dir, "containerd-shim-runc-v2"))
        s.expect((program == ours) == (s.combination.shim == "ours"), "the right shim runs: %s" % program)
    s.ctr("tasks", "exec", "--exec-id", "e1", "box", "sh", "-c", "echo exec; sleep 0.3; exit 5", name="exec")
    s.ctr("tasks", "exec", "--exec-id", "e2", "box", "/no/such/program", name="exec missing program")
    s.ctr("tasks", "pause", "box")
    s.expect(s.status_of("box") == "PAUSED", "paused")
    s.ctr("tasks", "resume", "box")
    s.ctr("tasks", "kill", "box")
    s.wait_for_status("box", "STOPPED")
    s.ctr("tasks", "rm", "box")
    s.ctr("tasks", "start", "-d", "box", name="start again")
    s.wait_for_status("box", "RUNNING")
    s.daemon.kill()
    s.daemon.start()
    s.wait_for_status("box", "RUNNING")
    s.ctr("tasks", "exec", "--exec-id", "e3", "box", "sh", "-c", "echo after restart; sleep 0.3", name="exec after restart")
    s.ctr("tasks", "kill", "-s", "SIGKILL", "box", name="kill -9")
    s.wait_for_status("box", "STOPPED")
    s.ctr("tasks", "rm", "box", name="rm")
    s.ctr("containers", "rm", "box")
    s.ctr("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")
