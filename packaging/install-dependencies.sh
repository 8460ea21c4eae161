#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing of packaging/dependencies.txt:
#
#   packaging/install-dependencies.sh ROLE…     ROLE: build, run, test, package
#
# Does nothing, and needs neither root nor a network, when everything is there. Services that a
# package brings (containerd, docker-registry) are not started: tests start their own.
set -euo pipefail

list="$(dirname "$0")/dependencies.txt"

missing_of() {  # Prints the packages of role $1 that are not installed.
  awk -v role="$1" '$1 == role { print $2 }' "$list" | while read -r package; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || echo "$package"
  done
}

[ $# -gt 0 ] || { echo "usage: $0 ROLE… (build, run, test, package)" >&2; exit 2; }
missing=()
for role in "$@"; do
  grep -q "^$role[[:space:]]" "$list" || { echo "$0: unknown role '$role'" >&2; exit 2; }
  mapfile -t -O "${#missing[@]}" missing < <(missing_of "$role")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing: ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "$0: run me as root, or install sudo" >&2; exit 1; }
  as_root=(sudo)
fi

# While we install, invoke-rc.d and deb-systemd-invoke are told to start nothing (exit code 101).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi

apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
"${apt[@]}" install --no-install-recommends "${missing[@]}" ||
  { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; }
