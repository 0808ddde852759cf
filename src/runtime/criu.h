/* SPDX-License-Identifier: Apache-2.0 */
/* criu.h - one call of criu: `criu swrk FD`, a request, notifications, the response.
 *
 * Source: https://criu.org/RPC. criu is looked for in PATH (or in the usual folders), and runs as a
 * child until it has answered, in a mount namespace of its own: what it mounts for its work, and
 * may leave, is not the host's. Its log is a file of its own; what it says there first of an error
 * is in ours. */
#ifndef TARE_RUNTIME_CRIU_H
#define TARE_RUNTIME_CRIU_H

#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "criu/swrk/rpc.pb-c.h"
#include "runtime/criu-answer.h"

typedef struct CriuCall {
        Criu__Request *request;
        const char *image_dir;          /* becomes CRIU_IMAGE_FD in it; NULL: none */
        const char *log_dir, *log_file; /* where its log is, CRIU_WORK_FD; NULL: none */
        const int *fds;                 /* become CRIU_FIRST_FD and on in it; borrowed */
        size_t n_fds;
        bool keeps_stdio;
        bool no_new_privs;                    /* for it, and so for all that it restores */
        int (*prepare)(void *user, Err *err); /* before, in its mount namespace; NULL: nothing */
        int (*started)(void *user, pid_t pid, Err *err); /* before the request is sent */
        /* One of criu's notifications; fd is borrowed, or -EBADF. */
        int (*notify)(void *user, const Criu__Notify *n, int fd, Err *err);
        void *user;
} CriuCall;

/* criu looks folders up in the process that made the socket, and works in them: where it has a
 * mount namespace of its own they have to be opened there. So it makes its socket itself. */
#define CRIU_IMAGE_FD 4
#define CRIU_WORK_FD  5
#define CRIU_FIRST_FD 6

/* 0 when criu has done it. ret NULL: the response is of no interest. */
int criu_call(const CriuCall *call, Criu__Response **ret, Err *err);
/* That criu is there, and not older than CRIU_OLDEST. ret: "3.17", freed by the caller; NULL: of no
 * interest. */
int criu_check_version(char **ret, Err *err);
/* UNSUPPORTED when criu or the kernel lacks one of them. */
int criu_check_features(bool mem_track, bool lazy_pages, Err *err);

/* Runs a function in a child with a mount namespace of its own, which is gone with it. */
int criu_run_aside(int (*function)(void *user, Err *err), void *user, Err *err);

#endif
