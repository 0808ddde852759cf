/* SPDX-License-Identifier: Apache-2.0 */
/* sys.h - the contract of src/sys: one thin wrapper a kernel facility; plain -errno; no policy.
 *
 * mount.h    fsopen/fsmount/move_mount/open_tree/mount_setattr, detached mounts, overlay
 * inroot.h   openat2 below a root fd; folders and files made there; verified procfs fds
 * ns.h       clone3, setns, unshare, pinning a namespace to a file
 * pidfd.h    pidfd_open, send_signal, wait, start time, exit info
 * cgroup.h   where the hierarchies are; create, join, kill, remove, read and write values; v1, v2,
 * hybrid caps.h     capability names and sets spawn.h    starting a program from a big process
 * landlock.h confining oneself to some folders
 * seccomp.h  a filter from a profile (libseccomp), installed or exported as BPF
 * netif.h    lo up; interface statistics (rtnetlink)
 * netlink.h requests over a netlink socket and their answers
 * memfd.h    sealed memfds, executing them
 * tty.h      terminals: open, resize, send the master */
#ifndef TARE_SYS_SYS_H
#define TARE_SYS_SYS_H
#endif
