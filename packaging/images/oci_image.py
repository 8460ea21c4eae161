# SPDX-License-Identifier: Apache-2.0
"""Makes small OCI images from busybox-static and files of ours; standard library only.

An image is a list of layers, each a list of entries, and a configuration:

    image = Image(config={"Cmd": ["/hello"]})
    image.add_layer(busybox_entries() + [File("hello", "#!/bin/sh\\necho hello\\n", mode=0o755)])
    image.write_archive("hello.tar", "demo.local/hello:1")   # for `ctr images import`
    image.write_layout("layout", "1")                         # for `skopeo copy oci:layout:1 …`

Equal input gives equal digests, on every machine with the same busybox.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import tarfile

LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_PLAIN = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"
CREATED = "2024-01-01T00:00:00Z"
MTIME = 1704067200  # The same moment.
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

APPLETS = ("sh cat cp chmod date dd df echo env false grep head hostname id kill ln ls mkdir mount mv nc "
           "nproc pgrep printf ps pwd readlink rm seq sleep sort stat stty tail test touch tr true tty "
           "umount uname wc wget").split()


class File:
    """A regular file; a directory when data is None; a symbolic or hard link when link is set."""

    def __init__(self, path, data=None, mode=None, symlink=None, hardlink=None, uid=0, gid=0, xattrs=None):
        self.info = tarfile.TarInfo(path)
        self.info.mtime, self.info.uid, self.info.gid = MTIME, uid, gid
        self.data = data.encode() if isinstance(data, str) else data
        if symlink is not None:
            self.info.type, self.info.linkname = tarfile.SYMTYPE, symlink
        elif hardlink is not None:
            self.info.type, self.info.linkname = tarfile.LNKTYPE, hardlink
        elif data is None:
            self.info.type = tarfile.DIRTYPE
        else:
            self.info.size = len(self.data)
        self.info.mode = mode if mode is not None else (0o755 if data is None else 0o644)
        for name, value in (xattrs or {}).items():
            self.info.pax_headers["SCHILY.xattr." + name] = value


def busybox_entries(path="/bin/busybox"):
    """A root file system that runs a shell: busybox, its links, and the usual directories."""
    with open(path, "rb") as handle:
        program = handle.read()
    entries = [File(name) for name in ("bin", "dev", "etc", "proc", "root", "sys", "usr", "usr/bin", "var")]
    entries += [File("tmp", mode=0o1777), File("bin/busybox", program, mode=0o755)]
    entries += [File("bin/" + applet, symlink="busybox") for applet in APPLETS]
    entries += [
        File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        File("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ]
    return entries


def tar_of(entries):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            tar.addfile(entry.info, io.BytesIO(entry.data) if entry.info.isreg() else None)
    return buffer.getvalue()


def digest_of(blob):
    return "sha256:" + hashlib.sha256(blob).hexdigest()


class Image:
    def __init__(self, config=None, labels=None, architecture=ARCHITECTURE):
        self.architecture = architecture
        self.config = dict(config or {})
        self.config.setdefault("Env", ["PATH=/usr/bin:/bin"])
        if labels:
            self.config["Labels"] = labels
        self.layers = []   # (media type, blob, diff id)
        self.blobs = {}    # digest -> bytes; what write_* writes

    def add_layer(self, entries, compress=True):
        return self.add_layer_tar(tar_of(entries), compress)

    def add_layer_tar(self, tar, compress=True):
        blob = gzip.compress(tar, 6, mtime=0) if compress else tar
        self.layers.append((LAYER_GZIP if compress else LAYER_PLAIN, blob, digest_of(tar)))
        return self

    def add_raw_layer(self, media_type, blob, diff_id):
        """A layer as it stands, right or wrong: for images that must be refused."""
        self.layers.append((media_type, blob, diff_id))
        return self

    def _blob(self, media_type, data):
        digest = digest_of(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def platform(self):
        return {"architecture": self.architecture, "os": "linux"}

    def manifest(self):
        """The descriptor of the manifest; fills blobs."""
        config = {"created": CREATED, "architecture": self.architecture, "os": "linux", "config": self.config,
                  "rootfs": {"type": "layers", "diff_ids": [diff_id for _, _, diff_id in self.layers]},
                  "history": [{"created": CREATED, "created_by": "layer %d" % i}
                              for i in range(len(self.layers))]}
        document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": self._blob("application/vnd.oci.image.config.v1+json", encode(config)),
                    "layers": [self._blob(kind, blob) for kind, blob, _ in self.layers]}
        return self._blob(document["mediaType"], encode(document))

    def _index(self, name, tag):
        descriptor = self.manifest()
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": tag}
        if name:
            descriptor["annotations"]["io.containerd.image.name"] = name
        descriptor["platform"] = self.platform()
        return encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]})

    def write_layout(self, folder, tag):
        index = self._index("", tag)
        write_layout(folder, index, self.blobs)

    def write_archive(self, path, name):
        index = self._index(name, name.rsplit(":", 1)[-1])
        entries = [File("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), File("index.json", index)]
        entries += [File("blobs/sha256/" + digest.split(":")[1], data, mode=0o444)
                    for digest, data in sorted(self.blobs.items())]
        write(path, tar_of(entries))


def write_index_layout(folder, images, tag):
    """An index of images for several platforms, under one tag."""
    manifests, blobs = [], {}
    for image in images:
        manifests.append(dict(image.manifest(), platform=image.platform()))
        blobs.update(image.blobs)
    inner = encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    blobs[digest_of(inner)] = inner
    outer = {"mediaType": INDEX, "digest": digest_of(inner), "size": len(inner),
             "annotations": {"org.opencontainers.image.ref.name": tag}}
    write_layout(folder, encode({"schemaVersion": 2, "manifests": [outer]}), blobs)


def write_layout(folder, index, blobs):
    os.makedirs(os.path.join(folder, "blobs", "sha256"), exist_ok=True)
    for digest, data in blobs.items():
        write(os.path.join(folder, "blobs", "sha256", digest.split(":")[1]), data)
    write(os.path.join(folder, "index.json"), index)
    write(os.path.join(folder, "oci-layout"), b'{"imageLayoutVersion":"1.0.0"}')


def encode(document):
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def write(path, data):
    with open(path, "wb") as handle:
        handle.write(data)
