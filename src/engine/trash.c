/* SPDX-License-Identifier: Apache-2.0 */
/* trash.c - folders that nobody needs any more: moved aside at once, deleted by a worker. Runs in
 * tared.
 *
 * One worker at a time, and not for each folder alone: its start costs more than most deletions,
 * and pods go by the dozen. What this daemon does not come to, the next one finds in the folder. */
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/engine-internal.h"

#define SWEEP_DEADLINE_S 3600
#define SWEEP_TRIES      3 /* a worker may be killed; what it cannot delete it never will */
#define SWEEP_PATHS      512
#define GATHER_MS        50 /* from the first folder on, for others to come */

struct Trash {
        Engine *engine;
        char **waiting; /* Strv */
        char *request;  /* of the worker under way; NULL: there is none */
        unsigned tries;
        LoopSource *timer;
};

static void sweep_run(Trash *t);

static void on_gathered(void *userdata)
{
        Trash *t = userdata;
        _cleanup_json_ Json *request = json_object_new_object();
        size_t n = strv_len(t->waiting);
        char **last = t->waiting + (n > SWEEP_PATHS ? n - SWEEP_PATHS : 0);

        json_add_strv(request, "paths", last);
        for (char **path = last; *path; path++)
                free(take_ptr(*path));
        t->request = json_print(request);
        t->tries = 0;
        sweep_run(t);
}

static void sweep_next(Trash *t)
{
        World *w = t->engine->world;

        free(take_ptr(t->request));
        if (strv_len(t->waiting) > 0)
                loop_timer_set(t->timer, w->now_mono(w) + GATHER_MS * NS_PER_MS);
}

static void sweep_done(void *data, int code, const StrBuf *out, const StrBuf *err_out)
{
        Trash *t = data;

        if (code != 0) {
                log_warning("deleting from the trash: %s, ignoring: %s tries again",
                            str_or(err_out->data, "failed"),
                            t->tries < SWEEP_TRIES ? "another worker" : "the next start");
                if (t->tries < SWEEP_TRIES) {
                        sweep_run(t);
                        return;
                }
                t->engine->counters.sweep_failures++;
        }
        sweep_next(t);
}

static void sweep_run(Trash *t)
{
        Engine *e = t->engine;
        World *w = e->world;
        Err err = {};
        WorldExec x = {
                .path = e->config->image_worker,
                .argv = (char *[]){ (char *)"tare-image", (char *)"sweep", NULL },
                .env = environ,
                .input = t->request,
                .input_len = strlen(t->request),
                .output_max = 1 << 20,
                .deadline_ns = w->now_mono(w) + SWEEP_DEADLINE_S * NS_PER_S,
                .done = sweep_done,
                .data = t,
        };

        t->tries++;
        if (w->exec(w, &x, &err))
                return;
        log_warning("deleting from the trash: %s, ignoring: the next start tries again", err.msg);
        sweep_next(t);
}

Trash *trash_new(Engine *e)
{
        Trash *t = xnew(Trash);

        t->engine = e;
        t->timer = loop_add_timer(e->world->loop, 0, on_gathered, t);
        return t;
}

void trash_free(Trash *t)
{
        if (!t)
                return;
        loop_source_free(t->timer);
        strv_free(t->waiting);
        free(t->request);
        free(t);
}

void trash_sweep(Engine *e, char *const *paths)
{
        Trash *t = e->trash;
        bool idle = !t->request && strv_len(t->waiting) == 0;

        for (size_t i = 0; paths && paths[i]; i++) {
                strv_push(&t->waiting, paths[i]);
                e->counters.swept_folders++;
        }
        if (idle)
                sweep_next(t);
}

void trash_put(Engine *e, const char *path)
{
        _cleanup_free_ char *moved = NULL;
        Err err = {};

        if (content_trash(e->content, path, &moved, &err) == 0)
                trash_sweep(e, (char *[]){ moved, NULL });
        else if (err.kind != ERR_NOT_FOUND)
                log_warning("%s, ignoring", err.msg);
}
