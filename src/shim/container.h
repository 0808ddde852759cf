/* SPDX-License-Identifier: Apache-2.0 */
/* container.h - one container of the pod, from Prepare to Delete. Internal to src/shim.
 *
 *     (none) --prepare--> PREPARING --> PREPARED --start--> STARTING --> RUNNING
 *     RUNNING --init reaped--> ENDING --recorded, told--> EXITED
 *     PREPARED, EXITED --delete--> DELETING --> (none)
 *
 * A start without prepare begins at STARTING. A start that fails goes back to PREPARED (its root is
 * used up then) or away. Delete in PREPARING, STARTING, RUNNING or ENDING waits for the state to
 * settle, and kills what runs. */
#ifndef TARE_SHIM_CONTAINER_H
#define TARE_SHIM_CONTAINER_H

#include "shim/image-mount.h"
#include "shim/job.h"
#include "shim/runtime-ops.h"
#include "shim/shim-internal.h"

#define CONTAINER_ID_MAX 200

typedef enum ContainerPhase {
        CONTAINER_PREPARING,
        CONTAINER_PREPARED,
        CONTAINER_STARTING,
        CONTAINER_RUNNING,
        CONTAINER_ENDING,
        CONTAINER_EXITED,
        CONTAINER_DELETING,
} ContainerPhase;

/* The container's stdin, and its terminal: what attach uses. Both do not block: their open files
 * are shared with workers, and not with the container. */
typedef struct ContainerStdio {
        int stdin_fd;  /* writing end of its stdin; -EBADF: /dev/null or a terminal */
        int master_fd; /* of its terminal */
        bool tty;
        bool want_stdin;  /* a pipe, whose writing end stays here */
        bool stdin_once;  /* which is closed when one who sent input has ended it */
        bool takes_input; /* that of who attaches: by the pipe, or the terminal */
        bool has_log;
        uint32_t log; /* of log-client.h, when has_log */
} ContainerStdio;

struct Container {
        Shim *shim;
        Container *next;
        unsigned refs;
        bool gone; /* not in the list any more */
        char *id;
        ContainerPhase phase;
        bool prepared; /* came by Prepare */
        Call waiting;  /* prepare, then start */

        int root_fd; /* a detached mount; given to the creator at start */
        struct {     /* detached mounts of images, for the creator as well */
                char *source;
                int fd;
        } images[IMAGE_MOUNTS_MAX];
        size_t n_images;
        uint32_t uid, gid, *additional_gids;
        size_t n_additional_gids;

        char *bundle;
        bool systemd_cgroup;
        const RuntimeOps *ops;
        OciProgram *program; /* NULL: the built-in runtime */
        int answer_fd;       /* of RuntimeMade */
        bool unanswered;     /* who waited for its end told no exit code: it may run on */
        bool launched;       /* a creator ran: there may be a cgroup */
        bool shares_pid;     /* its end does not end its processes */
        bool checkpointing;  /* a checkpoint is under way */
        ContainerStdio io;
        Err *start_err; /* of a start whose remains are being swept away */
        Proc *init;
        pid_t pid;
        uint64_t start_time;
        int64_t started_at, oom_kills_at_start, slice_oom_kills_at_start;

        unsigned ending; /* things that the exit record waits for */
        ExitRecord exit;

        LoopSource *kill_timer; /* delete waits for the end no longer than this */
        Call *deletes;
        size_t n_deletes;
};

Container *container_new(Shim *s, const char *id);
Container *container_find(Shim *s, const char *id);
/* NOT_FOUND names the id. */
int container_get(Shim *s, const char *id, Container **ret, Err *err);
Container *container_ref(Container *c);
void container_unref(Container *c);
void container_close_images(Container *c);
/* Out of the list; the list's reference goes. */
void container_drop(Container *c);
const char *container_state_name(const Container *c);

/* Its job has been started and the shim's copies are no longer needed. */
void container_close_stdio(Container *c);
/* The init was made: phase RUNNING. watched: the init, or the child that waits for it; its pidfd is
 * taken. */
void container_set_running(Container *c, pid_t pid, uint64_t start_time, pid_t watched, int pidfd);
/* SIGKILL to the init; false: there is none. */
bool container_kill_init(Container *c);
/* A step of PREPARING, STARTING or ENDING is over: an asked-for delete goes on. */
void container_settled(Container *c);
/* As DeleteContainer; call.conn 0: nobody waits. */
void container_delete(Container *c, Call call);
void container_fill_exit(const Container *c, Tare__Shim__V1__ExitEvent *ret);

/* In a creator: the terminal's master, which is in the socket's buffer when runtime_create() or
 * runtime_exec() has returned; or a negative errno. */
int container_receive_master(int sock, Err *err);

/* What jobs on a started container need. */
RuntimeTarget container_target(const Container *c);
int container_read_spec(const Container *c, OciSpec **ret, Err *err);
/* Hooks with a longer timeout than this, or none, get it; at least a second. */
void container_limit_hooks(OciHookList *list, uint64_t seconds);

#endif
