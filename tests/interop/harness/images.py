# SPDX-License-Identifier: Apache-2.0
"""The images of the tests. Each function gives the same digests each time."""

import gzip
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "packaging", "images"))
from oci_image import (LAYER_GZIP, File, Image, busybox_entries, digest_of, tar_of,  # noqa: E402, F401
                       write_index_layout)  # noqa: E402, F401

SCRIPT = "#!/bin/sh\necho hello from the image\n"


def small(config=None):
    """Three layers: busybox; files, links and modes; changes to the second (a whiteout, an opaque folder)."""
    image = Image(dict({"Cmd": ["/hello"], "Env": ["PATH=/usr/bin:/bin", "FROM_IMAGE=yes"], "WorkingDir": "/data",
                        "Labels": {"org.example.test": "small"}}, **(config or {})))
    image.add_layer(busybox_entries())
    image.add_layer([
        File("hello", SCRIPT, mode=0o755),
        File("data"), File("data/kept", "kept\n"), File("data/gone", "gone\n"), File("data/owned", "x", uid=12, gid=34),
        File("data/link", symlink="kept"), File("data/hard", hardlink="data/kept"), File("data/set", "s", mode=0o4755),
        File("old"), File("old/a", "a\n"), File("old/b", "b\n"),
    ])
    image.add_layer([File("data/.wh.gone", ""), File("old"), File("old/.wh..wh..opq", ""), File("old/c", "c\n"),
                     File("data/added", "added\n")])
    return image


def one_layer(name="one"):
    image = Image({"Cmd": ["/bin/true"]})
    return image.add_layer(busybox_entries() + [File("name", name + "\n")])


def large(layers=6, megabytes=12, seed=1):
    """For pulls that take a while: layers of half text, half noise."""
    image, source = Image({"Cmd": ["/bin/true"]}), random.Random(seed)
    image.add_layer(busybox_entries())
    for number in range(layers):
        entries = [File("layer%d" % number)]
        for part in range(megabytes * 4):
            half = 1 << 17
            noise = source.randbytes(half)
            text = (b"%016x the quick brown fox jumps over the lazy dog\n" % source.getrandbits(64)) * (half // 62)
            entries.append(File("layer%d/part%d" % (number, part), noise + text))
        image.add_layer(entries)
    return image


def wrong_diff_id():
    """The layer is not what the configuration says it is."""
    image = one_layer()
    tar = tar_of([File("other", "other\n")])
    return image.add_raw_layer(LAYER_GZIP, gzip.compress(tar, 6, mtime=0), digest_of(b"something else"))


def garbage_layer():
    """Digests that hold, around bytes that are no tar."""
    junk = b"this is no tar archive, whatever the media type says\n" * 100
    return one_layer().add_raw_layer(LAYER_GZIP, gzip.compress(junk, 6, mtime=0), digest_of(junk))
