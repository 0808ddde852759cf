/* SPDX-License-Identifier: Apache-2.0 */
/* network.h - the node's networks, as the engine's files share them. */
#ifndef TARE_ENGINE_NETWORK_H
#define TARE_ENGINE_NETWORK_H

#include "engine/engine-internal.h"
#include "sys/path-watch.h"

#define NETWORK_IFNAME "eth" /* and a number */
#define NETWORK_MAX    16    /* networks of a pod */
#define NETWORK_ASK_S  10    /* that a plugin has for STATUS or GC, and `cni.timeout_s` at most */

typedef struct Network {
        CniNetworks known; /* e->cni is the first of them */
        PathWatch *watch;  /* NULL: the kernel gives none */
        LoopSource *watch_source, *settle;
        bool blind;   /* that has been told */
        bool changed; /* and not read since */
        uint64_t read_ns;
        char *status;       /* what STATUS said: "" that all is well; NULL: not known */
        uint64_t status_ns; /* of its answer; 0: to be asked at once */
        bool asking, ask_again;

        CniCached *cached; /* of the cache, as they were at the start */
        size_t n_cached, next_cached;
        char **collected; /* names of the networks that GC was asked of */
        LoopSource *collect;
        bool deleting, collecting;
        size_t walks; /* ADD and DEL under way */
        Op **gate;    /* those that wait for the end of GC */
        size_t n_gate;
} Network;

/* --- network.c --- */
void network_start(Engine *e);
void network_free(Engine *e);
/* Takes what has changed since it was read. */
void network_refresh(Engine *e);
/* When the last answer is old, or of another configuration. */
void network_ask_status(Engine *e);

/* Whether the built-in network does what the document (a list or a request) says; else why not. */
bool network_is_builtin(const Engine *e, Json *document, Err *err);

/* --- network-gc.c --- */
void network_gc_start(Engine *e);
void network_gc_free(Engine *e);
/* Goes on with what there is to clear up, when it may. */
void network_collect(Engine *e);
/* True: the step is to wait, and is run anew when GC has ended. */
bool network_gate(Op *op);
/* Of ADD and DEL. */
void network_walk_begun(Engine *e);
void network_walk_ended(Engine *e);

/* --- pod-network.c --- */
/* Executes the plugins of a run that concerns no pod, in a step; takes it. OP_WAIT: the step is run
 * anew after them. */
int network_walk(Op *op, CniRun *run, CniVerb verb, Err *err);

#endif
