# SPDX-License-Identifier: Apache-2.0
"""The events of an image's and a container's life, in their order per container."""

import os
import re
import signal
import subprocess

from harness import images, machine
from harness.session import Result

IMAGE = "local.test/one:1"


def prepare(registry, archives):
    del registry
    images.one_layer().write_archive(os.path.join(archives, "one.tar"), IMAGE)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    path = os.path.join(s.folder, "events")
    with open(path, "wb") as out:
        process = subprocess.Popen(s.command("events"), stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        # Subscribed once an event comes through.
        def heard():
            s.quiet("namespaces", "label", s.namespace, "probe=x")
            return b"/namespaces/update" in machine.read(path) or b"/namespaces/create" in machine.read(path)
        s.quiet("namespaces", "create", s.namespace)
        machine.wait_until("the subscription", heard)
        s.quiet("images", "import", os.path.join(s.archives, "one.tar"), client="reference")
        s.run("--rm", IMAGE, "c", "sh", "-c", "exit 3")
        s.run("-d", IMAGE, "d", "sleep", "100")
        s.quiet("tasks", "exec", "--exec-id", "e", "d", "true")
        s.quiet("tasks", "pause", "d")
        s.quiet("tasks", "resume", "d")
        s.quiet("tasks", "kill", "-s", "SIGKILL", "d")
        s.wait_for_status("d", "STOPPED")
        s.quiet("tasks", "rm", "d")
        s.quiet("containers", "rm", "d")
        s.quiet("images", "rm", "--sync", IMAGE)
        machine.wait_until("the last event", lambda: b"/images/delete" in machine.read(path))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines = [line for line in machine.read(path).decode().splitlines() if "/namespaces/" not in line]
    for topic in ("/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete", "/tasks/exec-added",
                  "/tasks/exec-started", "/tasks/paused", "/tasks/resumed", "/containers/create", "/containers/update",
                  "/containers/delete", "/images/create", "/images/delete", "/snapshot/prepare", "/snapshot/commit",
                  "/snapshot/remove"):
        chosen = [re.sub(r'"(pid|Pid)":\d+', r'"\1":PID', line) for line in lines if " %s " % topic in line]
        s.record("events " + topic, "events", Result(0, "\n".join(sorted(mask(line) for line in chosen)) + "\n", ""))
    of_c = [line.split(" ")[5] for line in lines if '"container_id":"c"' in line and "/tasks/" in line]
    s.record("order of task events", "events", Result(0, "\n".join(of_c) + "\n", ""))


def mask(line):
    """Times come first and are not compared; ids of temporary snapshots are random."""
    line = re.sub(r'"bundle":"[^"]*"', '"bundle":"BUNDLE"', line)
    return re.sub(r"^\S+ \S+ \S+ \S+ ", "", line)
