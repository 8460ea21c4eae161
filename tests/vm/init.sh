#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The first program of the virtual machine: puts a root together from the host's, read-only, and a
# layer of memory above it, mounts what a system has mounted, and goes on with inside.sh in there.
export PATH=/bin
/bin/busybox --install -s /bin
set -e

mount -t devtmpfs dev /dev
while read -r module; do insmod "$module"; done < /modules/order

mkdir -p /host /memory /whole
mount -t virtiofs -o ro host /host
mount -t tmpfs -o mode=755 memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work whole /whole

mount -t proc -o nosuid,nodev,noexec proc /whole/proc
mount -t sysfs -o nosuid,nodev,noexec sys /whole/sys
mount -t securityfs security /whole/sys/kernel/security
if [ -d /whole/sys/fs/selinux ]; then mount -t selinuxfs selinux /whole/sys/fs/selinux; fi
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 /whole/sys/fs/cgroup
mount -t devtmpfs -o nosuid dev /whole/dev
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -s "/proc/self/${link#*:}" "/whole/dev/${link%:*}"; done
mkdir -p /whole/dev/pts /whole/dev/shm /whole/dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /whole/dev/pts
mount -t tmpfs -o nosuid,nodev shm /whole/dev/shm
mount -t mqueue mqueue /whole/dev/mqueue
mount -t tmpfs -o mode=755 run /whole/run
# Memory of its own for what is mounted from there: an overlay does not lie on an overlay.
mount -t tmpfs -o mode=1777 tmp /whole/tmp

mkdir -p /whole/lib/modules /whole/run/vm
modules=$(cat /modules/folder)
ln -s "$modules" "/whole/lib/modules/$(uname -r)"
cp /inside.sh /whole/run/vm/inside.sh
umount /dev
exec switch_root /whole /bin/sh /run/vm/inside.sh
