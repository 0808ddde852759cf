/* SPDX-License-Identifier: Apache-2.0 */
/* usage-layer.c - the size of writable layers, measured by tare-image, some folders at a time, so
 * that no question waits for a big tree. A pause after each batch bounds what it costs. */
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "engine/usage-internal.h"

#define BATCH            64
#define BATCH_DEADLINE_S 60
#define PAUSE_FACTOR     4 /* a batch that took 1 s is followed by a pause of 4 s */

static void start_batch(Usage *u);

static UsageEntry *entry_of(Usage *u, const char *id)
{
        _cleanup_free_ char *key = id ? xasprintf("c/%s", id) : NULL;

        return key ? map_get(u->entries, key) : NULL;
}

static void measured_line(void *data, const char *line, size_t len)
{
        Usage *u = data;
        UsageLayers *l = &u->layers;
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *path = NULL;
        uint64_t bytes = 0, inodes = 0;
        UsageEntry *entry = NULL;

        if (json_parse(line, len, 8192, &j, NULL) < 0 ||
            json_get_str(j, "path", "", &path, NULL) <= 0 ||
            json_get_u64(j, "bytes", "", &bytes, NULL) <= 0 ||
            json_get_u64(j, "inodes", "", &inodes, NULL) <= 0)
                return;
        for (size_t i = l->told; l->batch[i]; i++) {
                if (!strstr(path, l->batch[i]))
                        continue;
                entry = entry_of(u, l->batch[i]);
                l->told = i + 1;
                break;
        }
        if (!entry)
                return;
        entry->has_layer = true;
        entry->layer_failures = 0;
        entry->layer_bytes = bytes;
        entry->layer_inodes = inodes;
        entry->layer_timestamp = u->engine->world->now_real(u->engine->world);
}

static void on_pause_over(void *userdata)
{
        start_batch(userdata);
}

/* At the deadline the first that was not told is the one that takes too long. */
static void measured(void *data, int code, const StrBuf *out, const StrBuf *err_out)
{
        Usage *u = data;
        UsageLayers *l = &u->layers;
        World *w = u->engine->world;
        uint64_t now = w->now_mono(w);

        l->process = NULL;
        for (size_t i = 0; code == -ETIMEDOUT && l->batch[l->told + i]; i++) {
                UsageEntry *entry = entry_of(u, l->batch[l->told + i]);
                if (!entry)
                        continue;
                if (i > 0) {
                        layers_push(entry);
                        continue;
                }
                entry->layer_failures++;
                log_warning("container=%s its writable layer was not measured within %d s",
                            entry->id, BATCH_DEADLINE_S);
        }
        strv_freep(&l->batch);
        l->pause_end_ns = now + PAUSE_FACTOR * (now - l->started_ns);
        loop_timer_set(l->timer, l->pause_end_ns);
}

static Json *take_batch(Usage *u)
{
        UsageLayers *l = &u->layers;
        Json *request = json_object_new_object(), *paths = json_add_array(request, "paths");
        size_t n = l->n_queue < BATCH ? l->n_queue : BATCH;

        for (size_t i = 0; i < n; i++) {
                UsageEntry *entry = l->queue[i];
                _cleanup_free_ char *dir = snapshot_container_path(u->engine->snapshots, entry->id);
                _cleanup_free_ char *upper = xasprintf("%s/upper", dir);
                json_object_array_add(paths, json_object_new_string(upper));
                strv_push(&l->batch, entry->id);
                entry->layer_queued = false;
                entry->layer_ns = u->engine->world->now_mono(u->engine->world);
        }
        l->n_queue -= n;
        memmove(l->queue, l->queue + n, l->n_queue * sizeof(*l->queue));
        l->told = 0;
        return request;
}

static void start_batch(Usage *u)
{
        UsageLayers *l = &u->layers;
        World *w = u->engine->world;
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *request = NULL;

        if (l->batch || l->n_queue == 0)
                return;
        j = take_batch(u);
        request = json_print(j);
        l->started_ns = w->now_mono(w);
        WorldExec x = {
                .path = u->engine->config->image_worker,
                .argv = (char *[]){ (char *)"tare-image", (char *)"usage", NULL },
                .env = environ,
                .input = request,
                .input_len = strlen(request),
                .dies_with_us = true,
                .output_max = 65536,
                .deadline_ns = l->started_ns + BATCH_DEADLINE_S * NS_PER_S,
                .line = measured_line,
                .done = measured,
                .data = u,
        };
        l->process = w->exec(w, &x, NULL);
        if (!l->process) { /* the next round tries again */
                strv_freep(&l->batch);
        }
}

void layers_push(UsageEntry *entry)
{
        Usage *u = entry->usage;
        UsageLayers *l = &u->layers;

        if (entry->layer_queued)
                return;
        entry->layer_queued = true;
        if (l->n_queue == l->cap_queue) {
                l->cap_queue = l->cap_queue ? 2 * l->cap_queue : 64;
                l->queue = xrealloc(l->queue, l->cap_queue * sizeof(*l->queue));
        }
        l->queue[l->n_queue++] = entry;
}

/* After pushes; nothing while a batch or a pause is on. */
void layers_go(Usage *u)
{
        World *w = u->engine->world;

        if (u->layers.batch)
                return;
        if (!u->layers.timer)
                u->layers.timer = loop_add_timer(w->loop, 0, on_pause_over, u);
        if (w->now_mono(w) >= u->layers.pause_end_ns)
                start_batch(u);
}

void layers_forget(UsageEntry *entry)
{
        UsageLayers *l = &entry->usage->layers;
        size_t n = 0;

        for (size_t i = 0; i < l->n_queue; i++)
                if (l->queue[i] != entry)
                        l->queue[n++] = l->queue[i];
        l->n_queue = n;
}

void layers_done(Usage *u)
{
        UsageLayers *l = &u->layers;

        if (l->process)
                u->engine->world->exec_cancel(u->engine->world, l->process);
        loop_source_free(l->timer);
        strv_free(l->batch);
        free(l->queue);
        *l = (UsageLayers){};
}
