# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-registry on a port of the loopback device, with its files in a folder of ours."""

import os
import subprocess
import urllib.request

from harness import machine

CONFIG = """version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: %s}
http:
  addr: 127.0.0.1:%d
"""


class Registry:
    def __init__(self, folder):
        self.folder, self.port = folder, machine.free_port()
        self.host = "127.0.0.1:%d" % self.port
        os.makedirs(folder)
        config = os.path.join(folder, "config.yml")
        with open(config, "w", encoding="utf-8") as handle:
            handle.write(CONFIG % (os.path.join(folder, "data"), self.port))
        with open(os.path.join(folder, "log"), "wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", config], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        machine.wait_until("the registry", self._answers)

    def _answers(self):
        try:
            return urllib.request.urlopen("http://%s/v2/" % self.host, timeout=2).status == 200
        except OSError:
            return False

    def push(self, image, name):
        """Puts an Image under `name` ("repository:tag"); returns the whole reference."""
        layout = os.path.join(self.folder, "layout-" + name.replace("/", "_").replace(":", "_"))
        image.write_layout(layout, "it")
        self.push_layout(layout, name)
        return "%s/%s" % (self.host, name)

    def push_layout(self, layout, name):
        subprocess.run(["skopeo", "copy", "--quiet", "--all", "--insecure-policy", "--dest-tls-verify=false",
                        "oci:%s:it" % layout, "docker://%s/%s" % (self.host, name)], check=True,
                       stdout=subprocess.DEVNULL)

    def blob_path(self, digest):
        """Where the registry keeps a blob: for tests that damage it."""
        name = digest.split(":")[1]
        return os.path.join(self.folder, "data/docker/registry/v2/blobs/sha256", name[:2], name, "data")

    def stop(self):
        self.process.terminate()
        self.process.wait()
