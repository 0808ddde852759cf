#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# The first program of a guest: this machine's root under an overlay in memory, then systemd.
PATH=/bin
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
busybox mkdir -p /mnt/lower /mnt/memory /mnt/root
while read -r name; do busybox insmod "/modules/$name" || exit 1; done </modules/order
share=trans=virtio,version=9p2000.L,msize=512000
busybox mount -t 9p -o "$share,cache=loose,ro" root /mnt/lower ||
        exit 1
busybox mount -t tmpfs -o mode=755 memory /mnt/memory
busybox mkdir /mnt/memory/upper /mnt/memory/work
upper=upperdir=/mnt/memory/upper,workdir=/mnt/memory/work
busybox mount -t overlay -o "lowerdir=/mnt/lower,$upper" root /mnt/root || exit 1
for folder in dev proc sys run; do busybox mkdir -p "/mnt/root/$folder"; done
busybox mount -t tmpfs -o mode=755 run /mnt/root/run
busybox mkdir -p /mnt/root/run/vm/out
busybox mount -t 9p -o "$share,cache=none" out /mnt/root/run/vm/out ||
        exit 1
# This machine may be a container; where systemd thinks so it takes no word of the kernel's command
# line.
busybox rm -f /mnt/root/.dockerenv /mnt/root/run/.containerenv
# shellcheck source=/dev/null
. /mnt/root/run/vm/out/place
busybox ln -s "$VM_UNITS" /mnt/root/run/vm/units
busybox ln -s "$VM_USER_UNITS" /mnt/root/run/vm/user-units
busybox ln -s "$VM_GUEST" /mnt/root/run/vm/guest
busybox mkdir -p /mnt/root/lib/modules
busybox mount -o bind "/mnt/root$VM_MODULES" /mnt/root/lib/modules
busybox mount -o move /dev /mnt/root/dev
busybox umount /proc
export SYSTEMD_UNIT_PATH=/run/vm/units:/run/systemd/system:/run/systemd/transient
exec busybox switch_root /mnt/root /lib/systemd/systemd
