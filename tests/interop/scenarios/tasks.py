# SPDX-License-Identifier: Apache-2.0
"""Containers and tasks: run, exec, pause, kill, delete; output and exit codes."""

import os
import re

from harness import api, images


def prepare(registry, archives):
    del registry
    images.small().write_archive(os.path.join(archives, "small.tar"), "local.test/small:1")


IMAGE = "local.test/small:1"


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    attached(s)
    detached(s)
    s.ctr("images", "rm", "--sync", IMAGE)
    s.nothing_left("at the end")


def attached(s):
    s.run("--rm", IMAGE, "c1", name="run image command")
    s.run("--rm", IMAGE, "c2", "sh", "-c", "echo out; echo err >&2; exit 7", name="run output and code")
    s.run("--rm", "--env", "GREETING=hi", "--cwd", "/old", "--label", "l=v", IMAGE, "c3", "sh", "-c",
          "env | sort; pwd; ls -la /data /old | cut -c1-30; cat /data/kept", name="run env cwd")
    share = os.path.join(s.folder, "share")
    os.makedirs(share)
    with open(os.path.join(share, "from-host"), "w", encoding="utf-8") as handle:
        handle.write("from the host\n")
    s.run("--rm", "--mount", "type=bind,src=%s,dst=/share,options=rbind:rw" % share, IMAGE, "c4", "sh", "-c",
          "cat /share/from-host; echo back > /share/from-container", name="run mount")
    s.expect(os.path.exists(os.path.join(share, "from-container")), "a bind mount is written through")
    s.run("--rm", "--net-host", IMAGE, "c5", "sh", "-c", "readlink /proc/self/ns/net; ls /sys/class/net | sort",
          name="run net-host")
    s.run("--rm", "--read-only", IMAGE, "c6", "touch", "/x", name="run read-only")
    s.run("--rm", "--null-io", IMAGE, "c7", "echo", "unseen", name="run null-io")
    s.run("--rm", IMAGE, "c9", "/no/such/program", name="run missing program")
    s.nothing_left("after failed run", but=("images", "content", "snapshots", "snapshot folders", "leases"))
    s.run("--rm", IMAGE, "c10", "sh", "-c", "sh -c 'kill -9 $$'", name="run killed by signal")
    s.run("--rm", IMAGE, "c11", "sh", "-c", "seq 1 2000; seq 1 2000 >&2", name="run much output")
    s.run("--rm", "--privileged", IMAGE, "c12", "sh", "-c", "grep Cap /proc/self/status", name="run privileged")
    s.run("--rm", IMAGE, "c13", "sh", "-c", "grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status", name="run capabilities")
    s.run("--rm", IMAGE, "c14", "sh", "-c", "ls /proc/self/fd | wc -l; cut -d' ' -f2,3 /proc/self/mounts", name="run mounts")
    s.ctr("containers", "ls", name="containers ls after --rm")


def detached(s):
    s.run("-d", IMAGE, "box", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done", name="run -d")
    s.wait_for_status("box", "RUNNING")
    s.ctr("tasks", "ls", compare="rows", name="tasks ls")
    mask_pids(s)
    s.ctr("containers", "ls")
    s.ctr("containers", "ls", "-q")
    s.ctr("containers", "info", "box")
    s.ctr("containers", "info", "nobody", name="containers info of nobody")
    s.ctr("containers", "label", "box", "color=red")
    s.ctr("containers", "ls", "labels.color==red", name="containers ls by label")
    s.ctr("snapshots", "info", "box")
    pid = s.pid_of("box")
    s.names["%d" % pid] = "PID"
    s.ctr("tasks", "ps", "box", compare="code", name="tasks ps")
    s.expect(str(pid) in s.quiet("tasks", "ps", "box").out, "tasks ps lists the first process")
    s.ctr("tasks", "exec", "--exec-id", "e1", "box", "sh", "-c", "echo exec out; echo exec err >&2; exit 5",
          name="tasks exec")
    s.ctr("tasks", "exec", "--exec-id", "e2", "--cwd", "/old", "box", "pwd", name="tasks exec cwd")
    s.ctr("tasks", "exec", "--exec-id", "e3", "box", "/no/such/program", name="tasks exec missing program")
    s.ctr("tasks", "exec", "--exec-id", "e4", "nobody", "true", name="tasks exec in nobody")
    s.ctr("tasks", "exec", "box", "true", name="tasks exec without id")
    s.ctr("tasks", "exec", "-d", "--exec-id", "e5", "box", "sleep", "100", name="tasks exec detached")
    s.ctr("tasks", "kill", "--exec-id", "e5", "-s", "SIGKILL", "box", name="tasks kill exec")
    api.quiet(s, "Tasks/Wait", container_id="box", exec_id="e5")  # A signal is sent, and then the process ends.
    s.ctr("tasks", "delete", "--exec-id", "e5", "box", name="tasks delete exec")
    s.ctr("tasks", "pause", "box")
    s.expect(s.status_of("box") == "PAUSED", "a paused task says PAUSED")
    s.ctr("tasks", "resume", "box")
    s.expect(s.status_of("box") == "RUNNING", "a resumed task says RUNNING")
    s.ctr("tasks", "metrics", "box", compare="code")
    s.ctr("tasks", "rm", "box", name="tasks rm running")
    s.ctr("containers", "rm", "box", name="containers rm running")
    s.run("-d", IMAGE, "box", "true", name="run second with the same id")
    s.ctr("tasks", "kill", "box")
    s.wait_for_status("box", "STOPPED")
    s.ctr("tasks", "kill", "box", name="tasks kill stopped")
    s.ctr("tasks", "start", "box", name="tasks start stopped")
    s.ctr("tasks", "rm", "box")
    s.ctr("tasks", "rm", "box", name="tasks rm again")
    s.ctr("tasks", "kill", "box", name="tasks kill gone")
    s.ctr("tasks", "start", "-d", "box", name="tasks start again")
    s.wait_for_status("box", "RUNNING")
    s.ctr("tasks", "kill", "-s", "SIGKILL", "box", name="tasks kill -9")
    s.wait_for_status("box", "STOPPED")
    s.ctr("tasks", "rm", "box", name="tasks rm killed")
    s.ctr("containers", "rm", "box")
    s.ctr("containers", "rm", "box", name="containers rm again")
    s.ctr("containers", "create", IMAGE, "made", "echo", "later", name="containers create")
    s.ctr("containers", "ls", name="containers ls made")
    s.ctr("tasks", "start", "made", name="tasks start attached")
    s.ctr("containers", "rm", "made", name="containers rm made")


def mask_pids(s):
    """The pid column of the step just recorded."""
    s.steps[-1].out = re.sub(r"^(\S+) \d+ ", r"\1 PID ", s.steps[-1].out, flags=re.M)
