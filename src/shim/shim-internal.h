/* SPDX-License-Identifier: Apache-2.0 */
/* shim-internal.h - the shim's state, and its handlers. One Shim a process, all of it in the loop.
 *
 * A handler returns 0 when it has answered or will, or a negative errno with err set: then the
 * dispatcher answers. Work in a job keeps what it needs by its own reference; a Container leaves
 * the list when it is deleted and its memory when the last reference goes. */
#ifndef TARE_SHIM_SHIM_INTERNAL_H
#define TARE_SHIM_SHIM_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "shim/frame.h"
#include "shim/log-client.h"
#include "shim/proc.h"
#include "shim/record.h"
#include "shim/server.h"
#include "shim/shim.h"
#include "tare/shim/v1/shim.pb-c.h"

#define SHIM_CONTAINERS_MAX 1024
#define SHIM_EXECS_MAX      4096

typedef Tare__Shim__V1__Request Request;
typedef Tare__Shim__V1__Reply Reply;

typedef enum SandboxPhase {
        SANDBOX_NONE,
        SANDBOX_MAKING,
        SANDBOX_READY,
        SANDBOX_UNDOING
} SandboxPhase;

typedef struct Sandbox {
        SandboxPhase phase;
        char *pins[_PIN_MAX]; /* NULL: the host's */
        pid_t pause_pid;
        Proc *pause;
        bool pause_dead;
        Call waiting; /* CreateSandbox */
        Err *failure; /* of a creation that died, while it is undone */
} Sandbox;

typedef struct Container Container;
typedef struct Exec Exec;
typedef struct Stream Stream;

typedef struct Shim {
        const ShimOptions *opt;
        uint64_t deadline_ms;
        Loop *loop;
        Procs *procs;
        Server *server;
        LogClient *logs;
        int state_fd;
        Sandbox sandbox;
        Container *containers;
        size_t n_containers;
        Exec *execs;
        size_t n_execs;
        Stream *streams;
        size_t n_streams;
        struct Job *forward_job; /* of port-forward; NULL: none */
        size_t n_connecting;
        bool ending, undoing; /* Shutdown: under way; at its last step */
        Call *end_calls;      /* who waits for the end; nobody when a signal asked */
        size_t n_end_calls;
} Shim;

/* dispatch.c */
void shim_dispatch(void *userdata, Call call, const Request *req, Frame *frame);
/* container ids: what the runtime takes, and short enough for a file name */
int shim_check_id(const char *what, const char *id, Err *err);

/* sandbox-call.c, sandbox-sysctl.c */
int shim_create_sandbox(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
int shim_set_sysctls(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
void shim_undo_sandbox(Shim *s, void (*done)(Shim *s, const Err *err));
void sandbox_fill_reply(const Sandbox *sb, Tare__Shim__V1__CreateSandboxReply *ret);
void sandbox_done(Sandbox *sb);

/* prepare.c, start.c, container.c, delete.c */
int shim_prepare_container(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
int shim_start_container(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
int shim_kill_container(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
int shim_delete_container(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
int shim_update_container(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
int shim_resize(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
int shim_reopen_log(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
int shim_state(Shim *s, Call call, const Request *req, Frame *frame, Err *err);

/* exec.c */
int shim_exec(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
int shim_kill_exec(Shim *s, Call call, const Request *req, Frame *frame, Err *err);

/* checkpoint.c */
int shim_checkpoint_container(Shim *s, Call call, const Request *req, Frame *frame, Err *err);

/* shutdown.c */
int shim_shutdown(Shim *s, Call call, const Request *req, Frame *frame, Err *err);
void shim_begin_shutdown(Shim *s);
/* A container has gone: perhaps it was the last that Shutdown waits for. */
void shim_continue_shutdown(Shim *s);
/* A container cannot be deleted: nothing when the shim is not ending. */
void shim_fail_shutdown(Shim *s, const Err *err);

#endif
