/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c - what containers use: cgroup counters, kept for a second; the writable layer's size,
 * measured by a process and kept longer, so that no question waits for a big tree. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/engine-internal.h"
#include "sys/cgroup.h"

#define SAMPLE_AGE_NS      NS_PER_S
#define LAYER_AGE_NS       (10 * NS_PER_S)
#define MEASURE_DEADLINE_S 60
#define V1_NO_LIMIT        (UINT64_C(1) << 62)

typedef struct Sample {
        Engine *engine;
        char id[ID_LEN + 1];
        uint64_t sampled_ns, layer_ns;
        uint64_t last_cpu_ns;
        ContainerUsage usage;
        WorldProcess *measuring;
} Sample;

struct UsageSampler {
        Map *samples; /* container id -> Sample */
};

static Sample *sample_of(Engine *e, const char *id)
{
        Sample *s;

        if (!e->usage) {
                e->usage = xnew(struct UsageSampler);
                e->usage->samples = map_new();
        }
        s = map_get(e->usage->samples, id);
        if (!s) {
                s = xnew(Sample);
                s->engine = e;
                snprintf(s->id, sizeof(s->id), "%s", id);
                map_set(e->usage->samples, id, s);
        }
        return s;
}

static void sample_free(Sample *s)
{
        if (!s)
                return;
        if (s->measuring)
                s->engine->world->exec_cancel(s->engine->world, s->measuring);
        free(s);
}

void usage_forget(Engine *e, const char *container_id)
{
        if (e->usage)
                sample_free(map_remove(e->usage->samples, container_id));
}

void usage_free(Engine *e)
{
        const char *key;
        void *value;

        if (!e->usage)
                return;
        for (size_t i = 0; map_next(e->usage->samples, &i, &key, &value);)
                sample_free(value);
        map_free(e->usage->samples);
        free(e->usage);
        e->usage = NULL;
}

/* --- counters --- */

/* One row a number: where version 1 and version 2 keep it. A missing file leaves 0. */
typedef struct Counter {
        const char *controller, *file, *key; /* key NULL: the file is the number */
        uint64_t scale;
} Counter;

static uint64_t read_counter(const Cgroup *cg, const Counter *c)
{
        uint64_t v = 0;
        int r = c->key ? cgroup_read_key(cg, c->controller, c->file, c->key, &v)
                       : cgroup_read_u64(cg, c->controller, c->file, &v);

        return r < 0 ? 0 : v * c->scale;
}

static void sample_memory(const Cgroup *cg, ContainerUsage *u)
{
        bool v2 = cgroup_controller_is_v2("memory");
        static const Counter v1c[] = { { "memory", "memory.usage_in_bytes", NULL, 1 },
                                       { "memory", "memory.stat", "total_inactive_file", 1 },
                                       { "memory", "memory.stat", "total_rss", 1 },
                                       { "memory", "memory.stat", "total_pgfault", 1 },
                                       { "memory", "memory.stat", "total_pgmajfault", 1 },
                                       { "memory", "memory.limit_in_bytes", NULL, 1 } };
        static const Counter v2c[] = { { "memory", "memory.current", NULL, 1 },
                                       { "memory", "memory.stat", "inactive_file", 1 },
                                       { "memory", "memory.stat", "anon", 1 },
                                       { "memory", "memory.stat", "pgfault", 1 },
                                       { "memory", "memory.stat", "pgmajfault", 1 },
                                       { "memory", "memory.max", NULL, 1 } };
        const Counter *c = v2 ? v2c : v1c;
        uint64_t inactive = read_counter(cg, &c[1]);

        u->memory_usage = read_counter(cg, &c[0]);
        u->memory_working_set = u->memory_usage > inactive ? u->memory_usage - inactive : 0;
        u->memory_rss = read_counter(cg, &c[2]);
        u->page_faults = read_counter(cg, &c[3]);
        u->major_page_faults = read_counter(cg, &c[4]);
        u->memory_limit = read_counter(cg, &c[5]);
        if (u->memory_limit >= V1_NO_LIMIT)
                u->memory_limit = 0;
}

static void sample_cpu(const Cgroup *cg, Sample *s, uint64_t now)
{
        static const Counter v1c = { "cpuacct", "cpuacct.usage", NULL, 1 };
        static const Counter v2c = { "cpu", "cpu.stat", "usage_usec", 1000 };
        ContainerUsage *u = &s->usage;
        uint64_t elapsed = now - s->sampled_ns;

        u->cpu_ns = read_counter(cg, cgroup_controller_is_v2("cpu") ? &v2c : &v1c);
        if (s->sampled_ns && elapsed > 0 && u->cpu_ns >= s->last_cpu_ns) {
                u->has_nano_cores = true;
                u->cpu_nano_cores =
                        (uint64_t)((double)(u->cpu_ns - s->last_cpu_ns) / (double)elapsed * 1e9);
        }
        s->last_cpu_ns = u->cpu_ns;
}

static int take_sample(Engine *e, const Container *c, Sample *s, uint64_t now)
{
        static const Counter pids = { "pids", "pids.current", NULL, 1 };
        Cgroup *cg = cgroup_new(c->cgroups_path);

        if (!cg)
                return -EINVAL;
        sample_cpu(cg, s, now);
        sample_memory(cg, &s->usage);
        s->usage.pids = read_counter(cg, &pids);
        cgroup_free(cg);
        s->sampled_ns = now;
        s->usage.timestamp = e->world->now_real(e->world);
        return 0;
}

/* --- the writable layer --- */

static void measured_line(void *data, const char *line, size_t len)
{
        Sample *s = data;
        _cleanup_json_ Json *j = NULL;
        uint64_t bytes = 0, inodes = 0;

        if (json_parse(line, len, 4096, &j, NULL) < 0 ||
            json_get_u64(j, "bytes", "", &bytes, NULL) <= 0 ||
            json_get_u64(j, "inodes", "", &inodes, NULL) <= 0)
                return;
        s->usage.has_layer = true;
        s->usage.layer_bytes = bytes;
        s->usage.layer_inodes = inodes;
        s->usage.layer_timestamp = s->engine->world->now_real(s->engine->world);
}

static void measured(void *data, int code, const StrBuf *out, const StrBuf *err_out)
{
        ((Sample *)data)->measuring = NULL;
}

static void measure_layer(Engine *e, const Container *c, Sample *s, uint64_t now)
{
        World *w = e->world;
        _cleanup_free_ char *dir = NULL, *upper = NULL, *request = NULL;
        _cleanup_json_ Json *j = NULL;

        if (s->measuring || (s->layer_ns && now - s->layer_ns < LAYER_AGE_NS))
                return;
        s->layer_ns = now;
        dir = snapshot_container_path(e->snapshots, c->id);
        upper = xasprintf("%s/upper", dir);
        j = json_object_new_object();
        json_add_str(j, "path", upper);
        request = json_print(j);
        WorldExec x = {
                .path = e->config->image_worker,
                .argv = (char *[]){ (char *)"tare-image", (char *)"usage", NULL },
                .env = environ,
                .input = request,
                .input_len = strlen(request),
                .output_max = 4096,
                .deadline_ns = now + MEASURE_DEADLINE_S * NS_PER_S,
                .line = measured_line,
                .done = measured,
                .data = s,
        };
        s->measuring = w->exec(w, &x, NULL);
}

int engine_container_usage(Engine *e, const Container *c, ContainerUsage *ret)
{
        uint64_t now = e->world->now_mono(e->world);
        Sample *s;
        int r = 0;

        if (!c->cgroups_path || c->state == CONTAINER_MAKING)
                return -ENODATA;
        s = sample_of(e, c->id);
        measure_layer(e, c, s, now);
        if (!s->sampled_ns || now - s->sampled_ns >= SAMPLE_AGE_NS)
                r = take_sample(e, c, s, now);
        *ret = s->usage;
        return r;
}
