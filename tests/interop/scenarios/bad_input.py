# SPDX-License-Identifier: Apache-2.0
"""What must be refused, with the reference's code and message, and with nothing left behind."""

import os

from harness import images
from harness.images import File, tar_of

HELD = ("images", "content", "snapshots", "snapshot folders")  # What the one good image keeps.


def prepare(registry, archives):
    images.small().write_archive(os.path.join(archives, "small.tar"), "local.test/small:1")
    for name, image in (("corrupt", images.one_layer("corrupt")), ("diffid", images.wrong_diff_id()),
                        ("garbage", images.garbage_layer())):
        registry.push(image, "bad/%s:1" % name)
        image.write_archive(os.path.join(archives, name + ".tar"), "local.test/%s:1" % name)
    # The registry keeps another layer under this digest: same size, one bit off.
    damaged = registry.blob_path(images.digest_of(images.one_layer("corrupt").layers[0][1]))
    with open(damaged, "r+b") as handle:
        handle.seek(1000)
        byte = handle.read(1)[0]
        handle.seek(1000)
        handle.write(bytes([byte ^ 1]))
    write(archives, "noise.tar", os.urandom(0) + b"no tar at all " * 1000)
    write(archives, "empty.tar", b"")
    write(archives, "foreign.tar", tar_of([File("etc"), File("etc/passwd", "x")]))
    write(archives, "version.tar", tar_of([File("oci-layout", '{"imageLayoutVersion":"9.0.0"}'), File("index.json", "{}")]))
    write(archives, "noindex.tar", tar_of([File("oci-layout", '{"imageLayoutVersion":"1.0.0"}')]))
    write(archives, "badjson.tar", tar_of([File("oci-layout", '{"imageLayoutVersion":"1.0.0"}'), File("index.json", "{oops")]))
    with open(os.path.join(archives, "small.tar"), "rb") as handle:
        write(archives, "cut.tar", handle.read()[:300000])


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as handle:
        handle.write(data)


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    host = s.registry.host
    for name, reference in (("unknown image", host + "/no/such:1"), ("unknown tag", host + "/bad/corrupt:2"),
                            ("corrupt layer", host + "/bad/corrupt:1"), ("wrong diff id", host + "/bad/diffid:1"),
                            ("garbage layer", host + "/bad/garbage:1"), ("bad reference", host + "/UPPER//x:"),
                            ("no registry", "127.0.0.1:1/none/none:1"), ("reference without host", "nothing")):
        s.transfer_ctr("images", "pull", "--plain-http", reference, name="pull " + name)
        after_failure(s, "pull of " + name)
    for name in ("noise", "empty", "foreign", "version", "noindex", "badjson", "cut", "diffid", "garbage", "nowhere"):
        s.transfer_ctr("images", "import", os.path.join(s.archives, name + ".tar"), name="import " + name)
        after_failure(s, "import of " + name)

    s.quiet("images", "import", os.path.join(s.archives, "small.tar"), client="reference")
    image = "local.test/small:1"
    for identifier in ("-x", "a/b", "a b", "..", "é", "x" * 100, "a..b"):
        s.run("-d", image, identifier, "true", name="run with id " + identifier)
        s.nothing_left("after run with id " + identifier, but=HELD)
    s.run("-d", "local.test/none:1", "c", "true", name="run of unknown image")
    s.run("-d", image, "c", "/no/such/binary", name="run -d of missing binary")
    clear(s, "c")
    s.run("--rm", image, "c", "/no/such/binary", name="run --rm of missing binary")
    s.nothing_left("after missing binary", but=HELD)
    s.run("--rm", "--runc-binary", "/no/such/runc", image, "c", "true", name="run without runc", compare="text")
    s.nothing_left("after missing runc", but=HELD)
    s.run("--rm", "--runtime", "io.containerd.nothing.v9", image, "c", "true", name="run with unknown runtime")
    s.nothing_left("after unknown runtime", but=HELD)
    s.run("--rm", "--snapshotter", "nothing", image, "c", "true", name="run with unknown snapshotter")
    s.run("--rm", "--mount", "type=bind,src=/no/such/folder,dst=/mnt,options=rbind", image, "c", "true",
          name="run with missing mount source")
    s.nothing_left("after missing mount source", but=HELD)
    s.run("--rm", "--cwd", "/bin/sh", image, "c", "true", name="run in a cwd that is a file")
    s.nothing_left("after bad cwd", but=HELD)

    s.run("-d", image, "c", "sleep", "100", name="run the good one")
    s.run("-d", image, "c", "sleep", "100", name="run the second with its id")
    s.ctr("containers", "create", image, "c", name="create the second with its id")
    s.ctr("tasks", "rm", "c", name="delete of a running task")
    s.ctr("tasks", "start", "-d", "c", name="start of a running task")
    s.ctr("containers", "rm", "c", name="delete of a running container")
    s.ctr("snapshots", "rm", "nobody", name="delete of no snapshot")
    s.ctr("tasks", "kill", "-s", "SIGNOTHING", "c", name="kill with no signal")
    s.ctr("tasks", "exec", "--exec-id", "a/b", "c", "true", name="exec with a bad id")
    s.ctr("tasks", "exec", "--exec-id", "e", "c", "/no/such/binary", name="exec of missing binary")
    s.ctr("namespaces", "rm", s.namespace, name="delete of a full namespace")
    s.ctr("namespaces", "create", "a/b", name="create of a bad namespace")
    clear(s, "c")
    s.ctr("images", "rm", "--sync", image)
    s.nothing_left("at the end")


def after_failure(s, what):
    """Nothing stays of an image that was refused. The Go client of 1.6 unpacks by itself, after it has put the image
    on record, and leaves it there on both daemons: it is removed first. A Transfer leaves no image either."""
    if s.transfer_client() == "reference" or s.combination.client == "reference":
        for name in s.quiet("images", "ls", "-q", client="reference").out.split():
            s.quiet("images", "rm", "--sync", name, client="reference")
    s.nothing_left("after " + what)


def clear(s, identifier):
    s.quiet("tasks", "kill", "-s", "SIGKILL", identifier)
    if s.status_of(identifier) is not None:
        s.wait_for_status(identifier, "STOPPED", "CREATED")
    s.quiet("tasks", "rm", "-f", identifier)
    s.quiet("containers", "rm", identifier)

