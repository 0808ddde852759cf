/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor.h - the engine's face of a pod supervisor, whatever it is.
 *
 * Requests and replies are those of proto/tare/shim/v1: the vocabulary, not the transport.
 * tare-shim over a socket is the first implementation (supervisor-shim.c). A supervisor is given as
 * soon as its process was started or is known from a former life; calls made before it answers wait
 * for it. `gone` comes once, when its process has ended: calls that wait are failed first, and no
 * other event follows. */
#ifndef TARE_ENGINE_SUPERVISOR_H
#define TARE_ENGINE_SUPERVISOR_H

#include <sys/types.h>

#include "base/err.h"
#include "engine/objects.h"
#include "engine/world.h"
#include "tare/shim/v1/shim.pb-c.h"

typedef struct SupervisorCall SupervisorCall;

typedef struct SupervisorEvents {
        void (*exited)(void *data, const Tare__Shim__V1__ExitEvent *event);
        void (*gone)(void *data);
        void (*reconnected)(void *data); /* events may have been missed: ask for the state */
} SupervisorEvents;

/* reply: of the kind asked for, borrowed; NULL with err. Called from the loop. */
typedef void (*SupervisorReply)(void *data, const Tare__Shim__V1__Reply *reply, const Err *err);

struct Supervisor {
        const struct SupervisorOps *ops;
        bool ended; /* its process has, though `gone` may still come */
};

typedef struct SupervisorOps SupervisorOps;
struct SupervisorOps {
        SupervisorCall *(*call)(Supervisor *s, Tare__Shim__V1__Request *req, const int *fds,
                                size_t n_fds, SupervisorReply done, void *data);
        /* The reply will not be told; the request may still be carried out. */
        void (*cancel)(Supervisor *s, SupervisorCall *call);
        /* Ends the supervisor's process at once (SIGKILL); `gone` follows. */
        void (*kill)(Supervisor *s);
        /* Lets go of it; the process goes on. No event follows, and no call is answered. */
        void (*free)(Supervisor *s);
};

/* req->id is set here; fds are duplicated. Never NULL; fails through `done` when it is gone. */
static inline SupervisorCall *supervisor_call(Supervisor *s, Tare__Shim__V1__Request *req,
                                              const int *fds, size_t n_fds, SupervisorReply done,
                                              void *data)
{
        return s->ops->call(s, req, fds, n_fds, done, data);
}

/* socket_path: where tare-shim listens. pid and start_time: its process; 0: not known (its hello
 * tells; nobody listens: it is gone). */
int supervisor_shim_new(World *w, const char *pod_id, const char *socket_path, pid_t pid,
                        uint64_t start_time, const SupervisorEvents *events, void *data,
                        Supervisor **ret, Err *err);

#endif
