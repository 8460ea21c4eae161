# SPDX-License-Identifier: Apache-2.0
# Process 1 once the root is whole: runs the subject, tells the host through the port "report" what it
# said and how it ended, and switches the machine off. @COMMAND@ is put in by virtual_machine.py.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
cd /
for name in /sys/class/virtio-ports/*/name; do
  [ "$(cat "$name")" = report ] && port=/dev/$(basename "$(dirname "$name")")
done
echo up >"$port"
/bin/busybox ip link set lo up
@COMMAND@ >"$port" 2>&1 </dev/null
echo "exit status $?" >"$port"
exec /bin/busybox poweroff -f
