/* SPDX-License-Identifier: Apache-2.0 */
/* proc.h - the shim's children: those it knows by pidfd, and orphans that come to it as subreaper.
 *
 * A process that a creator makes with CLONE_PARENT is our child before we have heard of it, and may
 * end before. While procs_hold() is in effect, statuses of unknown children are kept, and a
 * proc_track() that comes late finds its own. */
#ifndef TARE_SHIM_PROC_H
#define TARE_SHIM_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/loop.h"

typedef struct Procs Procs;
typedef struct Proc Proc;

/* status as of waitpid(2). The Proc is freed after the call. */
typedef void (*ProcExitFn)(void *userdata, int status);

Procs *procs_new(Loop *loop); /* takes over SIGCHLD */
void procs_free(Procs *procs);
void procs_hold(Procs *procs);
void procs_release(Procs *procs);
/* Reaps orphans that have ended by now. May call exit functions: from a deferred call, not from
 * within another callback. */
void procs_collect(Procs *procs);
/* Of an unknown child that ended while procs_hold() was in effect; false: it is not kept. */
bool procs_take_status(Procs *procs, pid_t pid, int *ret_status);
/* True while there is a child that has not been reaped. */
bool procs_any(const Procs *procs);

/* Takes the pidfd. fn is called from the loop, once, also when the process has ended already. */
Proc *proc_track(Procs *procs, pid_t pid, int pidfd, ProcExitFn fn, void *userdata);
/* Its end is not reported; it is still reaped. NULL is fine. */
void proc_forget(Proc *p);
pid_t proc_pid(const Proc *p);
int proc_pidfd(const Proc *p); /* borrowed */
/* It has ended, or its end has begun: it runs nothing any more. */
bool proc_is_ending(const Proc *p);

#endif
