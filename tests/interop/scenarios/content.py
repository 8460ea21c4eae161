# SPDX-License-Identifier: Apache-2.0
"""Blobs, snapshots and leases by hand, without an image."""

import hashlib


def prepare(registry, archives):
    del registry, archives


def scenario(s):
    blob = b"a blob of our own\n" * 1000
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    wrong = "sha256:" + hashlib.sha256(b"other").hexdigest()
    s.ctr("leases", "create", "--id", "mine", "-x", "1h", "who=me", name="leases create")
    s.ctr("leases", "ls", compare="table")
    s.ctr("leases", "ls", "-q")
    s.ctr("leases", "create", "--id", "mine", name="leases create again")
    s.ctr("content", "ingest", "first", stdin=blob)
    s.ctr("content", "ingest", "again", stdin=blob, name="content ingest again")
    s.ctr("content", "ingest", "--expected-digest", digest, "--expected-size", str(len(blob)), "expected", stdin=blob,
          name="content ingest expected")
    s.ctr("content", "ingest", "--expected-digest", wrong, "wrong", stdin=b"not this", name="content ingest wrong digest")
    s.ctr("content", "ingest", "--expected-size", "3", "size", stdin=b"not three", name="content ingest wrong size")
    s.ctr("content", "active", compare="rows")
    s.ctr("content", "ls")
    s.ctr("content", "get", digest)
    s.ctr("content", "label", digest, "a=b", "c=d")
    s.ctr("content", "ls", name="content ls labelled")
    s.ctr("content", "ls", "labels.a==b", name="content ls by label")
    s.ctr("content", "ls", "labels.a==x", name="content ls by other label")
    s.ctr("content", "rm", digest)
    s.ctr("content", "rm", digest, name="content rm again")
    s.ctr("content", "ls", name="content ls emptied")

    s.collect()  # Now: a view without a lease is garbage to a later run.
    s.ctr("snapshots", "prepare", "base-key")
    s.ctr("snapshots", "prepare", "base-key", name="snapshots prepare again")
    s.ctr("snapshots", "mounts", s.folder + "/mnt", "base-key", name="snapshots mounts")
    s.ctr("snapshots", "commit", "base", "base-key")
    s.ctr("snapshots", "prepare", "top", "base")
    s.ctr("snapshots", "view", "seen", "base")
    # The client makes roots of active snapshots, not of views: the collector would race with the removals below.
    s.ctr("snapshots", "label", "seen", "containerd.io/gc.root=here", name="snapshots label the view")
    s.ctr("snapshots", "prepare", "orphan", "nothing", name="snapshots prepare on nothing")
    s.ctr("snapshots", "prepare", "onactive", "top", name="snapshots prepare on active")
    s.ctr("snapshots", "ls")
    s.ctr("snapshots", "tree")
    for key in ("base", "top", "seen"):
        s.ctr("snapshots", "info", key)
    s.ctr("snapshots", "info", "nothing", name="snapshots info of nothing")
    s.ctr("snapshots", "label", "base", "x=y")
    s.ctr("snapshots", "info", "base", name="snapshots info labelled")
    s.ctr("snapshots", "usage", "top")
    s.ctr("snapshots", "rm", "base", name="snapshots rm with child")
    s.ctr("snapshots", "rm", "top", "seen")
    s.ctr("snapshots", "rm", "base")
    s.ctr("snapshots", "rm", "base", name="snapshots rm again")
    s.ctr("snapshots", "ls", name="snapshots ls emptied")
    s.ctr("snapshots", "--snapshotter", "native", "prepare", "n", name="snapshots native prepare")
    s.ctr("snapshots", "--snapshotter", "native", "ls", name="snapshots native ls")
    s.ctr("snapshots", "--snapshotter", "native", "rm", "n", name="snapshots native rm")
    s.ctr("snapshots", "--snapshotter", "none", "ls", name="snapshots of unknown snapshotter")
    s.ctr("leases", "rm", "mine")
    s.ctr("leases", "rm", "mine", name="leases rm again")
    s.ctr("leases", "ls", name="leases ls emptied")
    # An ingest that failed stays and can be resumed: `content active` above shows the same on both sides.
    s.nothing_left("at the end", but=("ingests", "ingest folders"))
