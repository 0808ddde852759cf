/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.h - a container written to a folder by criu, and made again from it.
 *
 * Who may write the images decides what the restored processes are: criu takes their memory, rights
 * and filters from there, not from config.json. Namespaces to join, mounts of the host, the cgroup
 * and its limits, hooks and the record are of the restoring request (its bundle) alone. */
#ifndef TARE_RUNTIME_CHECKPOINT_H
#define TARE_RUNTIME_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/runtime.h"

typedef struct CheckpointOptions {
        const char *image_path;   /* folder of the images; made when missing, by checkpoint */
        const char *work_path;    /* folder of logs; NULL: image_path */
        const char *parent_path;  /* images of a pre-dump, relative to image_path; NULL: none */
        const char *page_server;  /* "ADDRESS:PORT"; NULL: none */
        const char *cgroups_mode; /* soft, full, strict, ignore; NULL: criu's default */
        const char *lsm_profile, *lsm_mount_context; /* restore */
        char **empty_ns; /* namespaces whose content is left out: "network" only */
        bool leave_running, pre_dump;
        bool tcp_established, tcp_close, tcp_skip_in_flight, link_remap, ext_unix_sk, shell_job,
                file_locks, lazy_pages, auto_dedup;
        int status_fd; /* gets a zero byte when the page server is ready; -EBADF: none */
        /* Called when all is written and the processes still stand; a failure undoes the
         * checkpoint, and they go on. NULL: nothing. */
        int (*stopped)(void *user, Err *err);
        void *user;
} CheckpointOptions;

/* Ends the container, unless leave_running or pre_dump; what is left of it is for delete. */
int runtime_checkpoint(const RuntimeContext *ctx, const char *id, const CheckpointOptions *o,
                       Err *err);
/* The same of a container whose record the caller keeps (no_state). What criu says is a
 * PRECONDITION, with the versions of criu and the kernel. */
typedef struct CheckpointInit {
        const char *id, *bundle;
        const OciSpec *spec;
        bool systemd_cgroup;
        pid_t pid;
        uint64_t start_time;
} CheckpointInit;
int runtime_checkpoint_init(const CheckpointInit *c, const CheckpointOptions *o, Err *err);
/* As runtime_create() with run_now, whose members it takes: id, bundle, spec, console_socket,
 * console_fd, pid_file. The container's stdio, as far as it was pipes, becomes ours. */
int runtime_restore(const RuntimeContext *ctx, const RuntimeCreate *c, const CheckpointOptions *o,
                    RuntimeProcess *ret, Err *err);

#endif
