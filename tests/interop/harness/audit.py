# SPDX-License-Identifier: Apache-2.0
"""What a daemon holds, as its clients and the kernel see it: for "nothing is left behind"."""

import os

from harness import machine


def rows(session, *arguments):
    """First cells of a table of ctr, without its header."""
    result = session.quiet(*arguments, client="reference")
    if result.code != 0:
        return ["%s failed: %s" % (" ".join(arguments), result.err.strip())]
    return [line.split()[0] for line in result.out.splitlines()[1:] if line.strip()]


def entries(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def leftovers(session):
    """kind -> what is there. Everything is empty on a daemon that nobody uses."""
    daemon, namespace = session.daemon, session.namespace
    return {
        "mounts": [path for path in machine.mounts() if path.startswith(session.folder + "/")],
        "shims": machine.shims([namespace, session.folder]),
        "processes": machine.in_cgroups(namespace),
        "bundles": entries(os.path.join(daemon.state, "io.containerd.runtime.v2.task", namespace)),
        "work folders": entries(os.path.join(daemon.root, "io.containerd.runtime.v2.task", namespace)),
        "runc state": entries(os.path.join("/run/containerd/runc", namespace)),
        "tasks": rows(session, "tasks", "ls"),
        "containers": rows(session, "containers", "ls"),
        "snapshots": rows(session, "snapshots", "ls"),
        "snapshot folders": snapshot_folders(daemon),
        "images": rows(session, "images", "ls"),
        "content": rows(session, "content", "ls"),
        "ingests": rows(session, "content", "active"),
        "ingest folders": entries(os.path.join(daemon.root, "io.containerd.content.v1.content", "ingest")),
        "leases": rows(session, "leases", "ls"),
    }


def snapshot_folders(daemon):
    return entries(os.path.join(daemon.root, "io.containerd.snapshotter.v1.overlayfs", "snapshots"))
