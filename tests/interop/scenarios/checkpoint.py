# SPDX-License-Identifier: Apache-2.0
"""Checkpoint and restore. criu needs a kernel that suits it, so a runtime stands in for it here that saves and
restores a name: everything around it is real. What the real one says is compared too."""

import json
import os
import re

from harness import images, machine
from harness.session import Result

IMAGE = "local.test/small:1"
SAVED = "local.test/saved:1"
LOOP = "trap 'exit 3' TERM; [ -e /started ] && echo again >> /started || echo once >> /started; while :; do sleep 0.05; done"
RUNTIME = r'''#!/usr/bin/python3
import os, subprocess, sys
folder, words = "@FOLDER@", sys.argv[1:]
verb = next((word for word in words if word in ("checkpoint", "restore")), None)
if verb is None:
    os.execvp("runc", ["runc"] + words)
before, after = words[:words.index(verb)], words[words.index(verb) + 1:]
option = lambda name: after[after.index(name) + 1]
with open(folder + "/calls", "a") as calls:
    print(verb, *after, file=calls)
runc = lambda *more: subprocess.run(["runc"] + before + list(more)).returncode
if verb == "checkpoint":
    for name in ("--work-path", "--image-path"):
        os.makedirs(option(name), exist_ok=True)
    with open(option("--work-path") + "/dump.log", "w") as log:
        log.write("the log of the dump\n")
    if os.path.exists(folder + "/fail"):
        sys.stderr.write("criu failed: type DUMP\nand more\n")
        sys.exit(1)
    with open(option("--image-path") + "/pages-1.img", "w") as image:
        image.write("the memory of " + after[-1])
    sys.exit(0 if "--leave-running" in after else runc("delete", "--force", after[-1]))
with open(option("--image-path") + "/pages-1.img") as image, open(folder + "/restored", "w") as copy:
    copy.write(image.read())
sys.exit(runc("create", "--bundle", option("--bundle"), "--pid-file", option("--pid-file"), after[-1])
         or runc("start", after[-1]))
'''


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), IMAGE)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    with_criu(s)
    stand_in = os.path.join(s.folder, "runtime")
    with open(stand_in, "w", encoding="utf-8") as handle:
        handle.write(RUNTIME.replace("@FOLDER@", s.folder))
    os.chmod(stand_in, 0o755)
    save(s, stand_in)
    restore(s)
    calls = machine.read(os.path.join(s.folder, "calls")).decode()
    s.record("calls of the runtime", "cat calls", Result(0, re.sub(r"/tmp/[\w.-]+(/\w+)?(?= --work)", "IMAGES", calls), ""))
    s.quiet("images", "rm", "--sync", SAVED)
    s.quiet("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def with_criu(s):
    """Whatever criu makes of this machine, both sides tell the same."""
    s.run("-d", IMAGE, "real", "sh", "-c", LOOP, name="run for criu")
    done = s.ctr("tasks", "checkpoint", "--image-path", os.path.join(s.folder, "criu"), "real", name="checkpoint by criu")
    if done.code == 0:
        s.expect(os.path.exists(os.path.join(s.folder, "criu", "inventory.img")), "criu left its files")
    else:
        log = os.path.join(s.daemon.state, "io.containerd.runtime.v2.task", s.namespace, "real", "criu-dump.log")
        s.expect(log in done.err and machine.read(log), "the log of a failure is kept and named: %s" % done.err)
    s.expect(s.status_of("real") == "RUNNING", "the task goes on")
    s.ctr("tasks", "rm", "-f", "real", name="rm -f after checkpoint")
    s.quiet("containers", "rm", "real")


def save(s, stand_in):
    s.run("-d", "--runc-binary", stand_in, IMAGE, "c", "sh", "-c", LOOP, name="run")
    machine.wait_until("the program", lambda: "once" in s.quiet("tasks", "exec", "--exec-id", "w", "c", "cat", "/started").out)
    failing = os.path.join(s.folder, "fail")
    with open(failing, "w", encoding="utf-8"):
        pass
    s.ctr("tasks", "checkpoint", "c", name="checkpoint that fails")
    os.unlink(failing)
    s.expect(s.status_of("c") == "RUNNING", "it goes on after that")
    into = os.path.join(s.folder, "into")
    s.ctr("tasks", "checkpoint", "--image-path", into, "c", name="checkpoint into a folder")
    s.expect(machine.read(os.path.join(into, "pages-1.img")) == b"the memory of c", "the folder has the dump")
    s.ctr("containers", "checkpoint", "--task", "--rw", "--image", "c", SAVED, name="checkpoint into an image")
    s.expect(s.status_of("c") == "RUNNING", "it goes on after a checkpoint")
    digest = next(line.split()[2] for line in s.quiet("images", "ls", client="reference").out.splitlines() if SAVED in line)
    index = json.loads(s.quiet("content", "get", digest, client="reference").out)
    s.record("kinds of what was saved", "content get",
             Result(0, "\n".join(sorted(one["mediaType"] for one in index["manifests"])) + "\n", ""))
    s.ctr("tasks", "checkpoint", "--exit", "--image-path", into, "c", name="checkpoint with exit")
    s.wait_for_status("c", "STOPPED")
    s.ctr("tasks", "rm", "c", name="rm of what was checkpointed with exit")
    s.ctr("containers", "rm", "c")


def restore(s):
    s.ctr("containers", "restore", "--rw", "--live", "back", SAVED, name="restore")
    machine.wait_until("the program again", lambda: s.quiet("tasks", "exec", "--exec-id", "w", "back", "cat", "/started").out ==
                       "once\nagain\n")
    s.expect(machine.read(os.path.join(s.folder, "restored")) == b"the memory of c", "the dump comes back")
    pid = s.pid_of("back")
    s.expect(pid and machine.alive(pid), "the task has its process: %s" % pid)
    s.ctr("tasks", "kill", "back", name="kill of what was restored")
    s.wait_for_status("back", "STOPPED")
    s.ctr("tasks", "rm", "back", name="rm of what was restored")
    s.ctr("containers", "rm", "back", name="containers rm of what was restored")
