/* SPDX-License-Identifier: Apache-2.0 */
/* shim.h - the contract of src/shim: the supervisor of one pod, as one process.
 *
 * tare-shim is the parent (or subreaper) of every process of its pod. It holds the pod's
 * namespaces, starts containers and execs through the runtime library in forked children, keeps
 * exit codes, and has a log writer as child. It has no threads, its loop never blocks, and it
 * outlives the daemon, which speaks to it by docs/protocol/shim.md.
 *
 *     shim.c        options, start, shutdown          dispatch.c    request to handler
 *     server.h      connections, replies, events      frame.h       bytes to messages
 *     proc.h        children, orphans                 job.h         what may block, in a child
 *     sandbox.h     namespaces, pins, pause process   record.h      the state folder
 *     container.h   life of a container               exec.h        processes beside it
 *     stream.h      sessions of stream workers        stream-command.h  what they say
 *     log-client.h  hand on the log writer            log-writer.h  its process
 *     log-tap.h     who reads along with a log
 *     log-format.h  the CRI log format                sysctl.h      names a pod may set */
#ifndef TARE_SHIM_SHIM_H
#define TARE_SHIM_SHIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SHIM_DEADLINE_MS 30000

typedef struct ShimOptions {
        const char *pod_id;    /* [A-Za-z0-9_.-]{1,128} */
        const char *state_dir; /* exists; root's, 0700 */
        int socket_fd;         /* listening unix stream socket */
        int pause_fd;          /* sealed memfd of tare-pause; -EBADF: none */
        int log_fd;            /* the shim's own log; -EBADF: stderr. Must not block. */
        uint64_t deadline_ms;  /* of everything that may block; 0: SHIM_DEADLINE_MS */
        /* What is left of a pod whose supervisor died; then it returns. state_dir and: */
        bool undo;            /* the sandbox, by its record, and */
        bool undo_containers; /* these cgroups, with all that runs in them */
        char **kill_cgroups;  /* Strv; freed by shim_options_done() */
} ShimOptions;
#define SHIM_OPTIONS_INIT                                                                          \
        {                                                                                          \
                .socket_fd = -EBADF, .pause_fd = -EBADF, .log_fd = -EBADF                          \
        }

/* getopt over argv into *ret; INVALID names the option. */
int shim_options_parse(int argc, char **argv, ShimOptions *ret, Err *err);
void shim_options_done(ShimOptions *opt);
/* Runs until Shutdown; 0 then. Takes the descriptors, closes every other one but 0, 1 and 2. */
int shim_run(const ShimOptions *opt, Err *err);

#endif
