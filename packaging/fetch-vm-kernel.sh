#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Unpacks Debian's kernel for virtual machines into a folder, for tests/vm. It is never installed.
#
#   packaging/fetch-vm-kernel.sh FOLDER     leaves FOLDER/boot/vmlinuz-… and FOLDER/lib/modules/…
#
# Does nothing, and needs no network, when it is there. Needs no root; apt's lists have to be.
set -euo pipefail

folder=${1:?usage: $0 FOLDER}
if compgen -G "$folder/boot/vmlinuz-*" >/dev/null; then exit 0; fi
case $(dpkg --print-architecture) in
  amd64) meta=linux-image-cloud-amd64 ;;
  *) echo "$0: only the kernel of amd64 is known" >&2; exit 1 ;;
esac
package=$(apt-cache depends --no-recommends --no-suggests "$meta" | awk '$1 == "Depends:" { print $2; exit }')
[ -n "$package" ] || { echo "$0: apt does not know $meta (apt-get update?)" >&2; exit 1; }

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"  # apt fetches as a user of its own, where it may.
(cd "$work" && apt-get -q download "$package")
dpkg-deb -x "$work"/*.deb "$work/unpacked"
release=$(basename "$work"/unpacked/lib/modules/*)
# The package leaves that to its installation.
PATH=$PATH:/usr/sbin:/sbin depmod -b "$work/unpacked" -F "$work/unpacked/boot/System.map-$release" "$release"
rm -rf "$folder"
mv "$work/unpacked" "$folder"  # Whole or not at all.
