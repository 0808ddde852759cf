/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.h - the OCI runtime as a library: what tare-runtime's commands and the shim call.
 *
 * Source: OCI runtime-spec 1.3, runtime.md (operations, lifecycle, state). Single-threaded callers
 * only. Functions block for as long as the kernel takes; the shim calls them in a forked child.
 * State: <root>/<id>/state.json, written by rename; a folder without it is a create that died, and
 * `delete --force` removes what its record (intent.json) names.
 *
 * How a container is made (src/runtime/create.c has the table): the caller's process prepares fds
 * and cgroups; clone3 makes the init with the new namespaces; both run their own row of one step
 * table and meet at numbered barriers on a socket pair. A step that fails in the init sends its Err
 * to the caller as it is. The init ends waiting at the gate (RUNTIME_CREATED) unless `run_now`. */
#ifndef TARE_RUNTIME_RUNTIME_H
#define TARE_RUNTIME_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "oci/runtime-spec.h"

typedef enum RuntimeStatus {
        RUNTIME_CREATING,
        RUNTIME_CREATED,
        RUNTIME_RUNNING,
        RUNTIME_STOPPED,
        RUNTIME_PAUSED,
} RuntimeStatus;
const char *runtime_status_name(RuntimeStatus s);

typedef struct RuntimeContext {
        const char *root; /* state folder: /run/tare-runtime; made 0700 when missing */
        bool systemd_cgroup;
        bool systemd_properties; /* annotations org.systemd.property.* are the unit's, too */
        bool no_cgroup;          /* containers stay in the cgroup of who starts them */
        bool rootless;
} RuntimeContext;

typedef struct RuntimeSource {
        const char *name; /* as the source of a bind of the spec */
        int fd;           /* a detached mount */
} RuntimeSource;

typedef struct RuntimeCreate {
        const char *id;        /* [A-Za-z0-9_+.-]{1,1024}, not "." or ".." */
        const char *bundle;    /* folder that holds config.json; absolute after realpath */
        const OciSpec *spec;   /* NULL: read from the bundle */
        const char *spec_text; /* what spec was read from, to be kept; NULL: it is printed */
        int rootfs_fd; /* a detached mount (fsmount, open_tree) that becomes the root; -EBADF:
                        * spec->root_path. Borrowed. */
        const RuntimeSource *sources; /* binds whose source is no path; borrowed, each used once */
        size_t n_sources;
        int stdio[3]; /* the container's 0, 1, 2; -EBADF: inherit. Ignored with a terminal. */
        const char *console_socket; /* unix socket that gets the terminal's master; NULL: none */
        int console_fd;             /* connected socket for the same; -EBADF: none */
        const char *pid_file;
        bool no_pivot, no_new_keyring;
        bool run_now;  /* do not wait for runtime_start() */
        bool sibling;  /* CLONE_PARENT, exit_signal 0: the init becomes a child of our parent */
        bool no_state; /* the shim keeps the record: no state.json, no folder under root */
        unsigned preserve_fds; /* fds 3.. that stay open in the container */
} RuntimeCreate;
#define RUNTIME_CREATE_INIT                                                                        \
        {                                                                                          \
                .rootfs_fd = -EBADF, .stdio = { -EBADF, -EBADF, -EBADF }, .console_fd = -EBADF     \
        }

typedef struct RuntimeProcess {
        pid_t pid;           /* as the caller's PID namespace sees it */
        int pidfd;           /* the caller closes it */
        uint64_t start_time; /* field 22 of /proc/PID/stat */
} RuntimeProcess;

/* create (and, with run_now, start): on failure nothing is left: no process, mount, cgroup, file.
 */
int runtime_create(const RuntimeContext *ctx, const RuntimeCreate *opt, RuntimeProcess *ret,
                   Err *err);
int runtime_start(const RuntimeContext *ctx, const char *id, Err *err);
int runtime_kill(const RuntimeContext *ctx, const char *id, int signo, bool all, Err *err);
/* NOT_FOUND when there is none and !force. force kills a running one first. */
int runtime_delete(const RuntimeContext *ctx, const char *id, bool force, Err *err);

typedef struct RuntimeExec {
        const char *id;           /* with state; or NULL and: */
        pid_t init_pid;           /*   the init to join, */
        uint64_t init_start_time; /*   which must still be this process, and */
        const OciSpec *spec;      /* its spec (seccomp, cgroup); NULL with state: it is read */
        const OciProcess *process;
        /* Cgroups below the container's, that exist: "PATH", or "memory,cpu:PATH" for some
         * controllers; what none names stays in the container's own. NULL: none. */
        char *const *cgroups;
        int stdio[3];
        const char *console_socket;
        int console_fd;
        const char *pid_file;
        bool sibling;
        bool no_new_keyring;
        bool ignore_paused; /* else a paused container is an error */
        unsigned preserve_fds;
} RuntimeExec;
#define RUNTIME_EXEC_INIT                                                                          \
        {                                                                                          \
                .stdio = { -EBADF, -EBADF, -EBADF }, .console_fd = -EBADF                          \
        }
/* Joins the container's namespaces and cgroup and starts a process; returns when it has been
 * exec'ed. */
int runtime_exec(const RuntimeContext *ctx, const RuntimeExec *opt, RuntimeProcess *ret, Err *err);

/* state.json as runtime-spec wants it; freed by the caller with json_object_put(). */
int runtime_state(const RuntimeContext *ctx, const char *id, Json **ret, Err *err);
/* Ids under root, sorted. */
int runtime_list(const RuntimeContext *ctx, char ***ret, Err *err);

/* For a caller that keeps its own record (no_state): the container's cgroup, by its spec. */
int runtime_cgroup_kill(const OciSpec *spec, const char *id, bool systemd, int signo, Err *err);
int runtime_cgroup_remove(const OciSpec *spec, const char *id, bool systemd, Err *err);
int runtime_cgroup_update(const OciSpec *spec, const char *id, bool systemd, const OciResources *r,
                          Err *err);
/* oom_kill counter of the container's cgroup; -1 when unknown. */
int64_t runtime_cgroup_oom_kills(const OciSpec *spec, const char *id, bool systemd);
/* The same of its slice, all that is below counted: systemd removes an empty scope, perhaps before
 * anyone has looked. -1 also without systemd. */
int64_t runtime_slice_oom_kills(const OciSpec *spec, const char *id, bool systemd);
/* poststop hooks of a container without state. */
int runtime_run_poststop(const OciSpec *spec, const char *id, const char *bundle, Err *err);

/* Resolves an image's user string inside a root given by fd: passwd and group are opened with
 * openat2 in-root, must be regular files, at most 1 MiB. Digits are never a name; out of range is
 * an error. user: "", "name", "uid", "name:group", "uid:gid". */
typedef struct RuntimeUser {
        uint32_t uid, gid;
        uint32_t *additional_gids; /* from the image's group file, without gid; owned */
        size_t n_additional_gids;
        char *home; /* owned; "/" when unknown */
} RuntimeUser;
int runtime_user_resolve(int root_fd, const char *user, RuntimeUser *ret, Err *err);
void runtime_user_done(RuntimeUser *u);

#endif
