/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - the end of a process and its descendants. Internal to src/shim; runs in jobs. */
#ifndef TARE_SHIM_TREE_H
#define TARE_SHIM_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* SIGKILL to it, to all its descendants that can be found, and to its process group if it leads
 * one; waits a moment for them to be gone. */
void tree_kill(pid_t pid, int pidfd);
/* The same to all children of ours, which are reaped: those whose end can be waited for. */
void tree_kill_children(void);

#endif
