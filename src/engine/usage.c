/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c - statistics of containers and pods: answered from memory, read by a sampler process.
 *
 * Nobody asks: nothing is read, and there is no process. Somebody has asked within ASKED_NS: rounds
 * go on, one each ROUND_NS, and so that they cost at most 1/ROUND_SHARE of a CPU. A question that
 * finds samples older than FRESH_NS starts one at once, and another follows after FOLLOW_NS (at
 * most 1/ASKED_SHARE): who asks again a second later, as crictl does for its rate, gets another
 * sample. It is answered from what there is. Runs in tared; nothing here touches a cgroup. */
#include <stdio.h>
#include <stdlib.h>

#include "base/path.h"
#include "engine/usage-internal.h"

#define FRESH_NS     NS_PER_S
#define ROUND_NS     (5 * NS_PER_S)
#define ROUND_SHARE  50
#define ASKED_SHARE  4
#define FOLLOW_NS    (700 * NS_PER_MS)
#define ASKED_NS     (60 * NS_PER_S)
#define WAIT_NS      NS_PER_S       /* for a first sample */
#define NANO_BASE_NS (NS_PER_S / 2) /* a rate is over at least this */
#define LANE_NS      (2 * NS_PER_S) /* for one entry */
#define SUSPECT_NS   (10 * NS_PER_S)
#define REST_NS      (60 * NS_PER_S) /* of a suspect that hung again */
#define LAYER_AGE_NS (20 * NS_PER_S)

struct EngineUsageWait {
        Engine *engine;
        bool processes;
        uint64_t n_rounds; /* that had begun when it was asked */
        EngineUsageReady ready;
        void *data;
        LoopSource *timer;
        EngineUsageWait *next;
};

static uint64_t now_of(const Usage *u)
{
        return u->engine->world->now_mono(u->engine->world);
}

/* --- entries --- */

static void entry_free(UsageEntry *entry)
{
        if (!entry)
                return;
        for (size_t i = 0; i < array_len(entry->usage->lanes); i++)
                lane_forget(&entry->usage->lanes[i], entry);
        lanes_forget_held(entry->usage, entry);
        layers_forget(entry);
        free(entry->last);
        free(entry);
}

static UsageEntry *entry_find(const Usage *u, bool is_pod, const char *id)
{
        char key[ID_LEN + 3];

        snprintf(key, sizeof(key), "%c/%s", is_pod ? 'p' : 'c', id);
        return u ? map_get(u->entries, key) : NULL;
}

static UsageEntry *entry_make(Usage *u, bool is_pod, const char *id)
{
        UsageEntry *entry = entry_find(u, is_pod, id);
        char key[ID_LEN + 3];

        if (entry)
                return entry;
        entry = xnew(UsageEntry);
        entry->usage = u;
        entry->is_pod = is_pod;
        snprintf(entry->id, sizeof(entry->id), "%s", id);
        snprintf(key, sizeof(key), "%c/%s", is_pod ? 'p' : 'c', id);
        map_set(u->entries, key, entry);
        return entry;
}

static void maybe_end_round(UsageEntry *entry);

static void forget(Engine *e, bool is_pod, const char *id)
{
        UsageEntry *entry = entry_find(e->usage, is_pod, id);
        char key[ID_LEN + 3];

        if (!entry)
                return;
        maybe_end_round(entry);
        snprintf(key, sizeof(key), "%c/%s", is_pod ? 'p' : 'c', id);
        entry_free(map_remove(e->usage->entries, key));
}

void usage_forget_container(Engine *e, const char *id)
{
        forget(e, false, id);
}

void usage_forget_pod(Engine *e, const char *id)
{
        forget(e, true, id);
}

/* --- what is asked of the sampler --- */

/* The folder of the pod's parent cgroup. */
static char *parent_cgroup(Engine *e, const Pod *p)
{
        _cleanup_free_ char *wanted = spec_cgroups_path(&e->node, p->request->config, p->id);
        char *path = engine_cgroup_path(e, wanted, p->id);
        char *slash = strrchr(path, '/');

        if (slash && slash != path)
                *slash = 0;
        return path;
}

static bool wants_metrics(const Usage *u)
{
        return u->processes_asked_ns && now_of(u) - u->processes_asked_ns < ASKED_NS;
}

bool usage_request(const UsageEntry *entry, SamplerRequest *ret)
{
        Usage *u = entry->usage;
        Engine *e = u->engine;
        const Container *c = entry->is_pod || entry->is_fs ? NULL : engine_container(e, entry->id);
        const Pod *p = entry->is_pod ? engine_pod(e, entry->id) : NULL;
        _cleanup_free_ char *parent = NULL;
        const char *cgroup = NULL;

        if (entry->is_fs && strlen(engine_layers_folder(e)) < sizeof(ret->folder)) {
                ret->want = SAMPLE_FS;
                snprintf(ret->folder, sizeof(ret->folder), "%s", engine_layers_folder(e));
        } else if (c && c->state == CONTAINER_RUNNING) {
                cgroup = c->cgroups_path;
                if (wants_metrics(u))
                        ret->want |= SAMPLE_PROCESSES;
        } else if (p && p->state == POD_READY) {
                if (entry->own_cgroup)
                        cgroup = parent = parent_cgroup(e, p);
                if (p->netns_path)
                        ret->want |= SAMPLE_NETWORK;
                snprintf(ret->netns, sizeof(ret->netns), "%s", str_or(p->netns_path, ""));
        }
        if (cgroup && strlen(cgroup) < sizeof(ret->cgroup)) {
                ret->want |= SAMPLE_CGROUP;
                snprintf(ret->cgroup, sizeof(ret->cgroup), "%s", cgroup);
        }
        return ret->want != 0;
}

static void take_rate(UsageEntry *entry, const Sample *s)
{
        uint64_t elapsed = s->mono_ns - entry->base_ns;

        if (!(s->want & SAMPLE_CGROUP)) { /* of a pod whose cgroup is not its own now */
                entry->base_ns = 0;
                entry->has_nano_cores = false;
                return;
        }
        if (entry->base_ns && elapsed < NANO_BASE_NS)
                return;
        if (entry->base_ns && s->cpu_ns >= entry->base_cpu) {
                entry->has_nano_cores = true;
                entry->nano_cores =
                        (uint64_t)((double)(s->cpu_ns - entry->base_cpu) / (double)elapsed * 1e9);
        }
        entry->base_cpu = s->cpu_ns;
        entry->base_ns = s->mono_ns;
}

void usage_sampled(UsageEntry *entry, const Sample *sample)
{
        entry->tried = true;
        entry->suspect = entry->suspect && sample->took_ns > LANE_NS;
        if (sample->error == 0) {
                size_t n = sample_size(sample);
                if (!entry->last || sample_size(entry->last) != n)
                        entry->last = xrealloc(entry->last, n);
                memcpy(entry->last, sample, n);
                take_rate(entry, sample);
        }
        maybe_end_round(entry);
}

void usage_failed(UsageEntry *entry, bool hung)
{
        entry->tried = true;
        if (hung) {
                if (entry->suspect)
                        entry->not_before = now_of(entry->usage) + REST_NS;
                entry->suspect = true;
        }
        maybe_end_round(entry);
}

/* --- rounds --- */

static void start_round(Usage *u);

static bool has_sample(const UsageEntry *entry, bool processes)
{
        if (!entry)
                return false;
        if (entry->suspect || (entry->tried && !entry->last))
                return true; /* there is none to wait for */
        return entry->last && (!processes || (entry->last->want & SAMPLE_PROCESSES));
}

static bool all_sampled(Usage *u, bool processes)
{
        const Container *c;
        const Pod *p;

        if (processes && !has_sample(u->fs, false)) /* who wants the one wants the other */
                return false;
        for (size_t i = 0; (c = engine_next_container(u->engine, &i));)
                if (c->state == CONTAINER_RUNNING &&
                    !has_sample(entry_find(u, false, c->id), processes))
                        return false;
        for (size_t i = 0; (p = engine_next_pod(u->engine, &i));)
                if (p->state == POD_READY && !has_sample(entry_find(u, true, p->id), false))
                        return false;
        return true;
}

static void wait_free(EngineUsageWait *w)
{
        EngineUsageWait **at = &w->engine->usage->waits;

        while (*at != w)
                at = &(*at)->next;
        *at = w->next;
        loop_source_free(w->timer);
        free(w);
}

static void answer(EngineUsageWait *w)
{
        EngineUsageReady ready = w->ready;
        void *data = w->data;

        wait_free(w);
        ready(data);
}

static void on_wait_over(void *userdata)
{
        answer(userdata);
}

/* Who waits is answered when nothing is missing, or when a round has tried all since: one that
 * cannot be sampled is waited for once. What came during the round needs another one. */
static void on_round_end(void *userdata)
{
        Usage *u = userdata;
        EngineUsageWait *next;

        u->round_end = NULL;
        uint64_t took = now_of(u) - u->round_ns;
        u->round_cost_ns = took > u->round_hung_ns ? took - u->round_hung_ns : 0;
        for (EngineUsageWait *w = u->waits; w; w = next) {
                next = w->next;
                if (w->n_rounds < u->n_rounds || all_sampled(u, w->processes))
                        answer(w);
        }
        if (u->waits)
                start_round(u);
}

static void maybe_end_round(UsageEntry *entry)
{
        Usage *u = entry->usage;

        if (!entry->in_round)
                return;
        entry->in_round = false;
        if (--u->round_left == 0 && !u->round_end)
                u->round_end = loop_add_defer(u->engine->world->loop, on_round_end, u);
}

static void push(UsageEntry *entry, uint64_t now)
{
        Usage *u = entry->usage;

        if (entry->busy || entry->held || (entry->suspect && now < entry->not_before))
                return;
        if (!entry->suspect) {
                entry->in_round = true;
                u->round_left++;
        }
        lane_push(&u->lanes[entry->suspect ? 1 : 0], entry);
}

/* Parents that ready pods were given by name; the value counts their pods (1, or more). */
static Map *count_parents(Engine *e)
{
        static const char one, more;
        Map *m = map_new();
        const Pod *p;

        for (size_t i = 0; (p = engine_next_pod(e, &i));)
                if (p->state == POD_READY)
                        map_set(m, p->cgroup_parent,
                                (void *)(map_get(m, p->cgroup_parent) ? &more : &one));
        for (size_t i = 0; (p = engine_next_pod(e, &i));) {
                UsageEntry *entry =
                        p->state == POD_READY ? entry_make(e->usage, true, p->id) : NULL;
                if (entry)
                        entry->own_cgroup = map_get(m, p->cgroup_parent) == &one &&
                                            !str_eq(p->cgroup_parent, e->config->cgroup_parent);
        }
        return m;
}

static void push_layer(Usage *u, const Container *c, uint64_t now)
{
        UsageEntry *entry = entry_make(u, false, c->id);
        uint64_t age = LAYER_AGE_NS << (entry->layer_failures < 6 ? entry->layer_failures : 6);
        bool ended = c->state != CONTAINER_RUNNING;

        /* of one that has ended, once after its end */
        if (ended && entry->has_layer && entry->layer_timestamp > c->finished_at)
                return;
        if (!entry->layer_ns || now - entry->layer_ns >= age || (ended && !entry->layer_failures))
                layers_push(entry);
}

static void push_layers(Usage *u, uint64_t now)
{
        const Container *c;

        for (size_t i = 0; (c = engine_next_container(u->engine, &i));)
                push_layer(u, c, now);
        layers_go(u);
}

static void start_round(Usage *u)
{
        Engine *e = u->engine;
        uint64_t now = now_of(u);
        const Container *c;
        const Pod *p;

        if (u->round_left || u->round_end)
                return;
        u->round_ns = now;
        u->round_hung_ns = 0;
        u->n_rounds++;
        map_free(count_parents(e));
        for (size_t i = 0; (c = engine_next_container(e, &i));)
                if (c->state == CONTAINER_RUNNING)
                        push(entry_make(u, false, c->id), now);
        for (size_t i = 0; (p = engine_next_pod(e, &i));)
                if (p->state == POD_READY)
                        push(entry_make(u, true, p->id), now);
        if (wants_metrics(u))
                push(u->fs, now);
        for (size_t i = 0; i < array_len(u->lanes); i++)
                lane_go(&u->lanes[i]);
        push_layers(u, now);
}

static uint64_t at_least(uint64_t ns, uint64_t least)
{
        return ns > least ? ns : least;
}

static void arm_timer(Usage *u, uint64_t now, uint64_t in)
{
        u->timer_ns = now + in;
        loop_timer_set(u->timer, u->timer_ns);
}

static void on_timer(void *userdata)
{
        Usage *u = userdata;
        uint64_t now = now_of(u);

        if (now - u->asked_ns >= ASKED_NS) { /* nobody wants to know any more */
                for (size_t i = 0; i < array_len(u->lanes); i++)
                        lane_stop_idle(&u->lanes[i]);
                return;
        }
        start_round(u);
        arm_timer(u, now, at_least(u->round_cost_ns * ROUND_SHARE, ROUND_NS));
}

static Usage *usage_of(Engine *e)
{
        Usage *u = e->usage;

        if (u)
                return u;
        u = e->usage = xnew(Usage);
        u->engine = e;
        u->entries = map_new();
        u->fs = xnew(UsageEntry);
        u->fs->usage = u;
        u->fs->is_fs = true;
        lane_init(&u->lanes[0], u, "sampler", LANE_NS);
        lane_init(&u->lanes[1], u, "sampler of suspects", SUSPECT_NS);
        u->timer = loop_add_timer(e->world->loop, 0, on_timer, u);
        return u;
}

/* --- questions --- */

EngineUsageWait *engine_usage_ask(Engine *e, bool processes, EngineUsageReady ready, void *data)
{
        Usage *u = usage_of(e);
        uint64_t now = now_of(u);
        EngineUsageWait *w;

        uint64_t follow = at_least(u->round_cost_ns * ASKED_SHARE, FOLLOW_NS);
        if (u->timer_ns <= now || u->timer_ns - now > follow)
                arm_timer(u, now, follow);
        u->asked_ns = now;
        if (processes)
                u->processes_asked_ns = now;
        if (all_sampled(u, processes)) {
                if (now - u->round_ns >= at_least(u->round_cost_ns * ASKED_SHARE, FRESH_NS))
                        start_round(u);
                return NULL;
        }
        w = xnew(EngineUsageWait);
        w->engine = e;
        w->processes = processes;
        w->n_rounds = u->n_rounds;
        w->ready = ready;
        w->data = data;
        w->next = u->waits;
        u->waits = w;
        w->timer = loop_add_timer(e->world->loop, now + WAIT_NS, on_wait_over, w);
        start_round(u);
        return w;
}

void engine_usage_cancel(EngineUsageWait *w)
{
        wait_free(w);
}

void engine_usage_ask_layers(Engine *e)
{
        Usage *u = usage_of(e);

        push_layers(u, now_of(u));
}

void engine_container_usage(Engine *e, const Container *c, EngineUsage *ret)
{
        const UsageEntry *entry = entry_find(e->usage, false, c->id);

        *ret = (EngineUsage){};
        if (!entry)
                return;
        if (c->state == CONTAINER_RUNNING) {
                ret->sample = entry->last;
                ret->has_nano_cores = entry->has_nano_cores;
                ret->nano_cores = entry->nano_cores;
        }
        ret->has_layer = entry->has_layer;
        ret->layer_timestamp = entry->layer_timestamp;
        ret->layer_bytes = entry->layer_bytes;
        ret->layer_inodes = entry->layer_inodes;
}

const Sample *engine_layers_fs(const Engine *e)
{
        return e->usage ? e->usage->fs->last : NULL;
}

/* Its age is that of the oldest part. */
static void add_sample(Sample *sum, const Sample *s)
{
        static const size_t members[] = {
                offsetof(Sample, cpu_ns),        offsetof(Sample, cpu_user_ns),
                offsetof(Sample, cpu_system_ns), offsetof(Sample, memory_usage),
                offsetof(Sample, inactive_file), offsetof(Sample, rss),
                offsetof(Sample, page_faults),   offsetof(Sample, major_page_faults),
                offsetof(Sample, swap_usage),    offsetof(Sample, pids),
        };

        if (!sum->timestamp || s->timestamp < sum->timestamp)
                sum->timestamp = s->timestamp;
        for (size_t i = 0; i < array_len(members); i++)
                *(uint64_t *)((char *)sum + members[i]) +=
                        *(const uint64_t *)((const char *)s + members[i]);
}

void engine_pod_usage(Engine *e, const Pod *p, Sample *sum, EngineUsage *ret)
{
        const UsageEntry *entry = entry_find(e->usage, true, p->id);
        const char *key;
        void *value;

        *ret = (EngineUsage){};
        if (!entry || p->state != POD_READY)
                return;
        /* in the node's network and without a cgroup of its own there is nothing to sample */
        const Sample *last = entry->last;
        if (last) {
                ret->links = sample_links(last);
                ret->n_links = last->n_links;
        }
        if (last && entry->own_cgroup && (last->want & SAMPLE_CGROUP)) {
                ret->sample = last;
                ret->has_nano_cores = entry->has_nano_cores;
                ret->nano_cores = entry->nano_cores;
                return;
        }
        *sum = (Sample){ .memory_limit = UINT64_MAX, .swap_limit = UINT64_MAX };
        for (size_t i = 0; map_next(p->containers, &i, &key, &value);) {
                EngineUsage u;
                engine_container_usage(e, value, &u);
                if (!u.sample)
                        continue;
                add_sample(sum, u.sample);
                ret->has_nano_cores = ret->has_nano_cores || u.has_nano_cores;
                ret->nano_cores += u.nano_cores;
        }
        if (!sum->timestamp && last)
                sum->timestamp = last->timestamp;
        if (sum->timestamp)
                ret->sample = sum;
}

void usage_sum_layers(Engine *e, uint64_t *ret_bytes, uint64_t *ret_inodes)
{
        const char *key;
        void *value;

        for (size_t i = 0; e->usage && map_next(e->usage->entries, &i, &key, &value);) {
                *ret_bytes += ((UsageEntry *)value)->layer_bytes;
                *ret_inodes += ((UsageEntry *)value)->layer_inodes;
        }
}

void usage_free(Engine *e)
{
        Usage *u = e->usage;
        const char *key;
        void *value;

        if (!u)
                return;
        while (u->waits)
                wait_free(u->waits);
        for (size_t i = 0; map_next(u->entries, &i, &key, &value);)
                entry_free(value);
        entry_free(u->fs);
        for (size_t i = 0; i < array_len(u->lanes); i++)
                lane_stop(&u->lanes[i]);
        lanes_forget_dying(u);
        layers_done(u);
        map_free(u->entries);
        loop_source_free(u->timer);
        loop_source_free(u->round_end);
        free(u);
        e->usage = NULL;
}
