#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the image of `make run`: busybox and a script that says where it runs.

usage: make-image.py ARCHIVE NAME
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "images"))
from oci_image import File, Image, busybox_entries  # noqa: E402

HELLO = """#!/bin/sh
echo "Hello from inside the container."
echo "  kernel    $(uname -sr)"
echo "  hostname  $(hostname)"
echo "  user      $(id -u):$(id -g), process $$"
echo "  files     $(ls / | tr '\\n' ' ')"
"""

image = Image({"Cmd": ["/hello"]})
image.add_layer(busybox_entries())
image.add_layer([File("hello", HELLO, mode=0o755)])
image.write_archive(sys.argv[1], sys.argv[2])
