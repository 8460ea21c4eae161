#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job, shown from end to end on a daemon of its own (root, state and socket in a temporary
# directory): import an image, run a container, look around, clean up.
#
# usage: run.sh BIN_DIR
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$1" && pwd)
[ "$(id -u)" = 0 ] || { echo "make run needs root: containers need mounts and namespaces" >&2; exit 1; }

dir=$(mktemp -d /tmp/containerd-demo.XXXXXX)
namespace="demo-${dir##*.}"  # Not the process number, which a run that was killed may have had.
image="demo.local/hello:1"
daemon=""

finish() {
  local status=$?
  [ "$status" = 0 ] || { echo "--- the daemon's log:" >&2; tail -n 40 "$dir/log" >&2; }
  if [ -n "$daemon" ]; then
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  grep -o " $dir/[^ ]*" /proc/self/mounts | sort -r | xargs -r umount -l || true
  rmdir "/run/containerd/runc/$namespace" 2>/dev/null || true  # What runc keeps of a namespace.
  rm -rf "$dir"
}
trap finish EXIT

ctr() { "$bin/ctr" --address "$dir/containerd.sock" --namespace "$namespace" "$@"; }
show() { printf '\n$ ctr %s\n' "$*"; ctr "$@"; }

echo "daemon: $("$bin/containerd" --version)"
mkdir "$dir/root" "$dir/state"
: >"$dir/config.toml"
PATH="$bin:$PATH" "$bin/containerd" --config "$dir/config.toml" --address "$dir/containerd.sock" \
  --root "$dir/root" --state "$dir/state" >"$dir/log" 2>&1 &
daemon=$!
for _ in $(seq 100); do
  if ctr version >/dev/null 2>&1; then break; fi
  kill -0 "$daemon" || exit 1
  sleep 0.05
done

python3 "$here/make-image.py" "$dir/hello.tar" "$image"
show images import "$dir/hello.tar"
show images ls
show run --rm "$image" hello
show run -d "$image" sleeper sleep 60
show containers ls
show tasks ls
show snapshots ls
show tasks exec --exec-id shell sleeper sh -c 'echo "a second process: $$"'
show tasks kill --signal SIGKILL sleeper
for _ in $(seq 100); do
  if ctr tasks ls | grep -q '^sleeper .*STOPPED'; then break; fi
  sleep 0.05
done
# `tasks rm` reports the exit code of a killed process (137) as its own warning.
show tasks rm sleeper
show containers rm sleeper
show images rm --sync "$image"
show content ls
ctr namespaces rm "$namespace" >/dev/null
printf '\nEverything is removed again. The daemon is %s.\n' "$bin/containerd"
