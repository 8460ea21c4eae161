# SPDX-License-Identifier: Apache-2.0
"""Images made by other tools: skopeo's archives, an index of two platforms; and skopeo reads what we export."""

import json
import os
import subprocess

from harness import images
from harness.images import Image, busybox_entries
from harness.session import Result


def skopeo(*arguments):
    return subprocess.run(["skopeo", "--insecure-policy", *arguments], capture_output=True, check=False)


def two_platforms():
    """Two images of two architectures; only the host's has layers that are worth running."""
    native = Image({"Cmd": ["/bin/true"]}).add_layer(busybox_entries())
    foreign = Image({"Cmd": ["/bin/true"]}, architecture="s390x").add_layer([images.File("foreign", "x\n")])
    return native, foreign


def prepare(registry, archives):
    layout = os.path.join(archives, "layout")
    images.small().write_layout(layout, "it")
    for kind in ("docker-archive", "oci-archive"):
        done = skopeo("copy", "--quiet", "oci:%s:it" % layout,
                      "%s:%s:local.test/made:1" % (kind, os.path.join(archives, kind + ".tar")))
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
    both = os.path.join(archives, "both")
    images.write_index_layout(both, two_platforms(), "it")
    registry.push_layout(both, "team/both:1")


def scenario(s):
    s.names[s.archives] = "ARCHIVES"
    for kind in ("docker-archive", "oci-archive"):
        s.transfer_ctr("images", "import", os.path.join(s.archives, kind + ".tar"), name="import " + kind)
        s.ctr("images", "ls", name="images ls after " + kind, compare="table")
    s.ctr("images", "check", compare="table")

    both = s.registry.host + "/team/both:1"
    s.transfer_ctr("images", "pull", "--plain-http", both, name="pull index")
    s.ctr("images", "ls", "name==" + both, name="images ls index", compare="table")
    s.ctr("images", "check", "name==" + both, name="images check index", compare="table")
    s.transfer_ctr("images", "pull", "--plain-http", "--all-platforms", both, name="pull all platforms")
    s.ctr("images", "check", "name==" + both, name="images check all platforms", compare="table")
    s.run("--rm", both, "c", "echo", "from an index", name="run from index")

    archive = os.path.join(s.folder, "out.tar")
    s.transfer_ctr("images", "export", archive, "local.test/made:1", name="export")
    seen = skopeo("inspect", "oci-archive:" + archive)
    s.expect(seen.returncode == 0, "skopeo reads the exported archive: %s" % seen.stderr.decode())
    if seen.returncode == 0:
        s.record("skopeo inspect", "skopeo inspect", Result(0, "\n".join(json.loads(seen.stdout)["Layers"]), ""))
    for name in s.quiet("images", "ls", "-q").out.split():
        s.ctr("images", "rm", "--sync", name, name="images rm", compare="code")
    s.nothing_left("at the end")
