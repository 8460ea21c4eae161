# SPDX-License-Identifier: Apache-2.0
"""Images and content: pull, look, tag, check, export, import, push, remove; and nothing stays."""

import os

from harness import images


def prepare(registry, archives):
    registry.push(images.small(), "team/small:1")
    images.one_layer().write_archive(os.path.join(archives, "one.tar"), "local.test/one:1")


def scenario(s):
    ref = s.registry.host + "/team/small:1"
    s.names[s.archives] = "ARCHIVES"
    s.ctr("namespaces", "create", s.namespace, "color=blue")
    s.ctr("namespaces", "label", s.namespace, "shape=round")
    s.ctr("namespaces", "ls", compare="table")
    s.ctr("namespaces", "ls", "-q")

    s.transfer_ctr("images", "pull", "--plain-http", ref)
    s.ctr("images", "ls")
    s.ctr("images", "ls", "-q")
    s.ctr("images", "ls", "name==" + ref)
    s.ctr("images", "ls", "name==none")
    s.ctr("images", "check")
    s.ctr("images", "check", "-q")
    s.ctr("images", "label", ref, "kind=test")
    s.ctr("images", "ls", name="images ls labelled")
    listed = s.ctr("content", "ls")
    s.ctr("content", "ls", "-q")
    s.ctr("snapshots", "ls")
    s.ctr("snapshots", "tree")
    top = [line.split()[0] for line in s.quiet("snapshots", "ls").out.splitlines()[1:]]
    s.expect(len(top) == 3, "three layers make three snapshots: %s" % top)
    for key in sorted(top):
        s.ctr("snapshots", "info", key)
    for line in sorted(line for line in listed.out.splitlines()[1:]):
        digest, size = line.split("\t")[:2]
        if "MiB" not in size and "MB" not in size:
            s.ctr("content", "get", digest)
    s.ctr("content", "get", "sha256:" + "0" * 64, name="content get of nothing")
    s.ctr("leases", "ls")

    other = s.registry.host + "/team/other:2"
    s.ctr("images", "tag", ref, other)
    s.ctr("images", "ls", "-q", name="images ls tagged")
    archive = os.path.join(s.folder, "export.tar")
    s.transfer_ctr("images", "export", archive, ref)
    exports_are_whole(s, ref, archive)
    s.transfer_ctr("images", "push", "--plain-http", s.registry.host + "/" + s.namespace + "/pushed:1", ref)
    s.ctr("images", "rm", "--sync", ref, other)
    s.ctr("images", "ls", name="images ls emptied")
    s.ctr("content", "ls", name="content ls emptied")
    s.ctr("snapshots", "ls", name="snapshots ls emptied")
    s.nothing_left("after images rm --sync")

    s.transfer_ctr("images", "import", archive)
    s.ctr("images", "ls", name="images ls imported")
    s.transfer_ctr("images", "pull", "--plain-http", s.registry.host + "/" + s.namespace + "/pushed:1",
                   name="images pull pushed")
    s.ctr("images", "ls", name="images ls pushed")
    s.transfer_ctr("images", "import", os.path.join(s.archives, "one.tar"), name="images import one")
    s.ctr("images", "ls", name="images ls one")
    s.ctr("images", "rm", "no.such/image:1", name="images rm of nothing")
    for name in s.quiet("images", "ls", "-q").out.split():
        s.ctr("images", "rm", "--sync", name, name="images rm")
    s.nothing_left("at the end")
    s.ctr("namespaces", "label", s.namespace, "shape=", name="namespaces label removed")
    s.ctr("namespaces", "ls", compare="table", name="namespaces ls changed")
    s.ctr("namespaces", "rm", s.namespace)


def exports_are_whole(s, ref, archive):
    """The end of an archive is not lost, however the end of the call and the last data meet."""
    again = archive + ".again"
    sizes = set()
    for _ in range(10):
        s.expect(s.quiet("images", "export", again, ref, client=s.transfer_client()).code == 0, "export again")
        sizes.add(os.path.getsize(again))
    s.expect(sizes == {os.path.getsize(archive)}, "every export of one image is as long: %s" % sorted(sizes))
