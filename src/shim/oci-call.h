/* SPDX-License-Identifier: Apache-2.0 */
/* oci-call.h - one call of an OCI runtime's program, and what it leaves to be read. For
 * oci-runtime.c.
 *
 *     PATH [ARGS] --root R --log L --log-format json [--systemd-cgroup] WORDS
 *
 * It gets an environment of PATH alone, and dies with the job. It failed: the last error of its log
 * is the message. */
#ifndef TARE_SHIM_OCI_CALL_H
#define TARE_SHIM_OCI_CALL_H

#include "shim/oci-runtime.h"

typedef struct OciStdio {
        int fds[3];     /* -EBADF: /dev/null */
        int console_fd; /* where the terminal's master is to be sent; -EBADF: no terminal */
} OciStdio;

/* words[0] is the command. input: its standard input, or NULL. */
int oci_call(const RuntimeTarget *t, const char *input, const char *const *words, Err *err);
/* The container's id is added; words has room for four more. */
int oci_call_with_stdio(const RuntimeTarget *t, const OciStdio *io, const char **words, size_t n,
                        Err *err);
/* The words, none added, with the address of a unix socket in place of NULL; the connection that
 * the program makes there. */
int oci_call_with_socket(const RuntimeTarget *t, const char **words, size_t n, int *ret_fd,
                         Err *err);
int oci_read_pid(const RuntimeTarget *t, const char *file, pid_t *ret, Err *err);
/* A pidfd of a process that the program has left to `parent`, who can wait for it; -ESRCH (err is
 * not set): it has ended and been reaped. */
int oci_open_child(const RuntimeTarget *t, pid_t pid, pid_t parent, Err *err);
/* `wait ID`, which outlives the job; it writes its answer to *ret_answer. */
int oci_start_waiter(const RuntimeTarget *t, pid_t *ret_pid, int *ret_pidfd, int *ret_answer,
                     Err *err);

#endif
