/* SPDX-License-Identifier: Apache-2.0 */
/* usage-internal.h - what the usage*.c files share: entries, and the lanes that sample them.
 *
 * An entry is a container that runs or a pod that is ready. A round asks the first lane for all of
 * them. An entry that has hung there is a suspect and goes to the second lane, so that it delays
 * nobody, until it has been sampled again in the time that the first lane gives. */
#ifndef TARE_ENGINE_USAGE_INTERNAL_H
#define TARE_ENGINE_USAGE_INTERNAL_H

#include "base/clock.h"
#include "engine/engine-internal.h"
#include "engine/sampler.h"

#define LANE_WINDOW 16 /* requests that are out at a time */

typedef struct Lane Lane;
typedef struct UsageSampler Usage;
typedef struct UsageDying UsageDying;

typedef struct UsageEntry {
        Usage *usage;
        char id[ID_LEN + 1];
        bool is_pod;
        bool is_fs;      /* neither: the file system of the layers; no id */
        bool own_cgroup; /* of a pod: its parent cgroup is of this pod alone */
        bool busy;       /* queued or out in a lane */
        unsigned held;   /* samplers that hung in it, were killed and are not gone */
        bool tried, suspect;
        bool in_round;       /* the round waits for it */
        uint64_t not_before; /* a suspect rests */
        Sample *last;        /* NULL: none yet */
        uint64_t base_cpu, base_ns;
        bool has_nano_cores;
        uint64_t nano_cores;
        /* a container's writable layer */
        bool has_layer, layer_queued;
        unsigned layer_failures;
        int64_t layer_timestamp;
        uint64_t layer_ns; /* CLOCK_MONOTONIC of the last try; 0: none */
        uint64_t layer_bytes, layer_inodes;
} UsageEntry;

struct Lane {
        Usage *usage;
        const char *name;
        uint64_t deadline_ns; /* that one entry may take */
        int fd, pidfd;
        uint64_t last_token;
        UsageEntry **queue; /* n_queue, first come first */
        size_t n_queue, cap_queue;
        UsageEntry *sent[LANE_WINDOW]; /* NULL: forgotten meanwhile */
        uint64_t tokens[LANE_WINDOW];
        size_t n_sent;
        size_t fruitless;
        unsigned n_dying; /* of its samplers */
        bool stop_when_idle;
        LoopSource *io, *timer;
};

typedef struct UsageLayers {
        UsageEntry **queue;
        size_t n_queue, cap_queue;
        char **batch; /* ids, in the order of the request */
        size_t told;  /* of the batch */
        WorldProcess *process;
        uint64_t started_ns, pause_end_ns;
        LoopSource *timer; /* the pause after a batch */
} UsageLayers;

struct UsageSampler {
        Engine *engine;
        Map *entries; /* "c/" or "p/" and the id -> UsageEntry */
        UsageEntry *fs;
        Lane lanes[2]; /* [1]: suspects */
        UsageLayers layers;
        UsageDying *dying; /* samplers that were killed and are not gone */
        uint64_t asked_ns, processes_asked_ns, round_ns, timer_ns;
        uint64_t round_cost_ns, round_hung_ns; /* without the time that hung samplers had */
        uint64_t n_rounds;                     /* that have begun */
        size_t round_left;
        LoopSource *timer, *round_end;
        EngineUsageWait *waits;
};

/* usage.c */
/* What is to be asked of it; false: it is not sampled any more. */
bool usage_request(const UsageEntry *entry, SamplerRequest *ret);
void usage_sampled(UsageEntry *entry, const Sample *sample);
/* hung: the sampler did in this one. Else it could not be asked. */
void usage_failed(UsageEntry *entry, bool hung);

/* usage-lane.c */
void lane_init(Lane *l, Usage *u, const char *name, uint64_t deadline_ns);
/* Queues; lane_go() sends. */
void lane_push(Lane *l, UsageEntry *entry);
void lane_go(Lane *l);
void lane_forget(Lane *l, const UsageEntry *entry);
void lanes_forget_held(Usage *u, const UsageEntry *entry);
void lane_stop_idle(Lane *l); /* now, or when the last answer has come */
void lane_stop(Lane *l);      /* ends the process; nothing is queued or out afterwards */
void lanes_forget_dying(Usage *u);

/* usage-layer.c */
/* Queues; layers_go() starts. */
void layers_push(UsageEntry *entry);
void layers_go(Usage *u);
void layers_forget(UsageEntry *entry);
void layers_done(Usage *u);

#endif
