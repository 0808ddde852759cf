#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In the guest, a service of systemd: the command, its status, the end.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
ip link set lo up
modprobe tun
mkdir -p /run/tmp
mount -t tmpfs -o mode=755 lib /var/lib
mount -t tmpfs -o mode=1777 tmp /run/tmp
export TMPDIR=/run/tmp
sh /run/vm/out/command
echo $? >/run/vm/out/status
sync
echo "up $(cut -d" " -f1 /proc/uptime) s"
exec systemctl --force --force poweroff
