/* SPDX-License-Identifier: Apache-2.0 */
/* ns.h - namespaces and process creation. */
#ifndef TARE_SYS_NS_H
#define TARE_SYS_NS_H

#include <stdint.h>
#include <sys/types.h>

/* fork() with clone3: flags CLONE_NEW*, CLONE_PARENT, CLONE_INTO_CGROUP (cgroup_fd).
 * exit_signal 0 with CLONE_PARENT. 0 in the child, pid in the parent, or -errno. ret_pidfd may be
 * NULL. */
pid_t ns_clone(uint64_t flags, int exit_signal, int cgroup_fd, int *ret_pidfd);
/* The same into a cgroup of v2, if it is one (*cgroup_fd >= 0) and takes it; an old kernel, or the
 * rules of v2, may forbid that: then without, and *cgroup_fd is closed and negative in both. */
pid_t ns_clone_into(uint64_t flags, int exit_signal, int *cgroup_fd, int *ret_pidfd);
/* Opens /proc/PID/ns/NAME ("net"). */
int ns_open(pid_t pid, const char *name);
/* Pins the namespace of an fd on a file, which is made (0444) when missing. */
int ns_pin(int ns_fd, const char *path);
/* Undoes ns_pin: detach (only when it is an nsfs mount) and unlink. Missing is fine. */
int ns_unpin(const char *path);

#endif
