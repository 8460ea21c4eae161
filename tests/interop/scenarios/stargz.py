# SPDX-License-Identifier: Apache-2.0
"""ctr-remote of the stargz snapshotter (package stargz-snapshotter), a client of another project on containerd's
library: images are converted, also by what a sample container reads, pushed, pulled and run again."""

import os
import subprocess

from harness import images
from harness.session import Result

NEEDED = ["ctr-remote"]
SAMPLE = ["--oci", "--period", "3", "--entrypoint", "[]", "--args", '["sh","-c","cat /hello; sleep 1"]']


def prepare(registry, archives):
    del archives
    registry.push(images.small(), "it/small:1")


def scenario(s):
    image = s.registry.host + "/it/small:1"
    remote(s, "pull", "images", "pull", "--plain-http", image, compare="code")
    remote(s, "ls", "images", "ls")
    remote(s, "run", "run", "--rm", image, "first", "sh", "-c", "cat /hello; sleep 0.3; exit 4")
    # What they print is the digest of the new image: the blobs are the same, byte for byte.
    remote(s, "optimize without a sample", "images", "optimize", "--no-optimize", "--oci", image, image + "-plain")
    remote(s, "convert to eStargz", "images", "convert", "--estargz", "--oci", image, image + "-estargz")
    remote(s, "convert to zstd:chunked", "images", "convert", "--zstdchunked", "--oci", image, image + "-zstd")
    remote(s, "convert to tar", "images", "convert", "--uncompress", image, image + "-tar")
    remote(s, "check", "images", "check")
    # The order of its files is that in which the container read them.
    sampled = remote(s, "optimize by a sample", "images", "optimize", *SAMPLE, image, image + "-sampled", compare="code")
    s.expect("hello from the image" in sampled.out and "sha256:" in sampled.out, "the sample runs: %s" % sampled)
    kinds = ("-plain", "-estargz", "-zstd", "-tar", "-sampled")
    for kind in kinds:
        remote(s, "push of " + kind, "images", "push", "--plain-http", image + kind, compare="code")
        remote(s, "rm of " + kind, "images", "rm", "--sync", image + kind)
        remote(s, "pull of " + kind, "images", "pull", "--plain-http", image + kind, compare="code")
        remote(s, "run of " + kind, "run", "--rm", image + kind, "again", "sh", "-c", "ls /; cat /hello; sleep 0.3")
    remote(s, "pull for a snapshotter that is not there", "images", "rpull", "--plain-http", image)
    place = os.path.join(s.folder, "mounted")
    os.makedirs(place)
    remote(s, "mount", "images", "mount", image + "-estargz", place)
    s.record("files of the mount", "ls", Result(0, "\n".join(sorted(os.listdir(place))) + "\n", ""))
    remote(s, "unmount", "images", "unmount", "--rm", place)
    remote(s, "rm of all", "images", "rm", "--sync", image, *(image + kind for kind in kinds))
    s.nothing_left("at the end")


def remote(s, name, *arguments, compare="text"):
    """Its standard error is a log, and not compared when all went well."""
    done = subprocess.run(["ctr-remote", "--address", s.daemon.address, "--namespace", s.namespace, *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    result = Result(done.returncode, done.stdout.decode(), done.stderr.decode() if done.returncode == 1 else "")
    s.record(name, " ".join(arguments), result, compare)
    return result
