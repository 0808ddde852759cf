/* SPDX-License-Identifier: Apache-2.0 */
/* ops.c - tare ops and tare timeline: what the daemon's operations wait for, and took. */
#include <stdlib.h>

#include "base/clock.h"
#include "cli/cli-internal.h"

#define BAR_COLUMNS  40
#define RECENT_SHOWN 20 /* operations that have ended, without --all */

typedef Tare__V1__Operation Operation;
typedef Tare__V1__Step Step;

static double to_ms(int64_t ns)
{
        return (double)ns / (double)NS_PER_MS;
}

/* --- ops --- */

/* The step that is under way; NULL: none. */
static const Step *present(const Operation *o)
{
        const Step *last = o->n_steps ? o->steps[o->n_steps - 1] : NULL;

        return o->duration_ns < 0 && last && last->duration_ns < 0 ? last : NULL;
}

static void add_operation(Table *t, const Operation *o)
{
        _cleanup_free_ char *age = cli_age(o->started_at), *object = cli_short_id(o->object);
        const Step *s = present(o);
        bool runs = o->duration_ns < 0, failed = !str_empty(o->error);
        int64_t took = runs ? clock_real_ns() - o->started_at : o->duration_ns;

        table_add(t, "%llu", (unsigned long long)o->id);
        table_add(t, "%s", o->verb);
        table_add(t, "%s", object);
        table_add(t, "%s", runs ? (failed ? "undoing" : "under way") : failed ? "failed" : "done");
        table_add(t, "%s", age);
        table_add(t, "%.1f ms", to_ms(took));
        if (s)
                table_add(t, "%s%s%s", s->name, str_empty(s->waits_for) ? "" : ": waits for ",
                          s->waits_for);
        else
                table_add(t, "%s", o->error);
}

int cmd_ops(Cli *cli, char **args, Err *err)
{
        Tare__V1__ListOperationsRequest q = TARE__V1__LIST_OPERATIONS_REQUEST__INIT;
        _cleanup_message_ Tare__V1__ListOperationsResponse *l = NULL;
        _cleanup_table_ Table *t = table_new(">ID|VERB|OBJECT|STATE|>AGE|>TOOK|STEP OR ERROR");
        int r;

        q.recent = true;
        r = ask_tare(cli, ListOperations, list_operations, &q, ASK_TIMEOUT_MS, &l, err);
        if (r < 0)
                return r;
        if (cli->opt.json) {
                cli_print_json(pb_to_proto_json(&l->base));
                return 0;
        }
        for (size_t i = 0; i < l->n_operations; i++)
                if (cli->opt.all || l->operations[i]->duration_ns < 0 ||
                    i + RECENT_SHOWN >= l->n_operations)
                        add_operation(t, l->operations[i]);
        table_print(t, stdout);
        return 0;
}

/* --- timeline --- */

/* Start-up is these verbs; a pod's later life (exec, stop) is in tare ops. */
static bool is_start_up(const Operation *o)
{
        static const char *const verbs[] = { "RunPodSandbox", "CreateContainer", "StartContainer" };

        for (size_t i = 0; i < array_len(verbs); i++)
                if (str_eq(o->verb, verbs[i]))
                        return true;
        return false;
}

/* The axis of the bars has the times at which an operation runs, without the pauses between: those
 * are the client's. */
typedef struct Axis {
        int64_t first, end; /* of the operations so far */
        int64_t paused;     /* of this, without an operation */
        int64_t now;
        int64_t whole; /* length of the axis, once all are known */
} Axis;

static int64_t end_of(const Axis *a, int64_t started, int64_t duration)
{
        return duration < 0 ? (a->now > started ? a->now : started) : started + duration;
}

/* Operations come in the order of their beginning, nearly: ids are given when they are queued. */
static void axis_add(Axis *a, const Operation *o)
{
        int64_t end = end_of(a, o->started_at, o->duration_ns);

        if (a->first == 0)
                a->first = a->end = o->started_at;
        if (o->started_at > a->end)
                a->paused += o->started_at - a->end;
        a->end = end > a->end ? end : a->end;
        a->whole = a->end - a->first - a->paused;
}

static void add_bar(Table *t, const Axis *a, int64_t from, int64_t to)
{
        double scale = a->whole > 0 ? (double)BAR_COLUMNS / (double)a->whole : 0;
        int begin = (int)((double)(from < 0 ? 0 : from) * scale), len;
        char bar[BAR_COLUMNS + 1];

        begin = begin >= BAR_COLUMNS ? BAR_COLUMNS - 1 : begin;
        len = (int)((double)to * scale + 0.5) - begin;
        len = len < 1 ? 1 : len;
        len = begin + len > BAR_COLUMNS ? BAR_COLUMNS - begin : len;
        memset(bar, ' ', sizeof(bar));
        memset(bar + begin, '=', (size_t)len);
        bar[begin + len] = 0;
        table_add(t, "%s", bar);
}

static void add_row(Table *t, const Axis *a, const char *name, const char *object, int64_t started,
                    int64_t duration, int64_t paused)
{
        int64_t end = end_of(a, started, duration);

        table_add(t, "%s", name);
        if (object)
                table_add(t, "%s", object);
        else
                table_add_blank(t);
        table_add(t, "%.1f", to_ms(started - a->first));
        table_add(t, "%.1f%s", to_ms(end - started), duration < 0 ? "+" : "");
        add_bar(t, a, started - a->first - paused, end - a->first - paused);
}

static const char *container_name(const Runtime__V1__PodSandboxStatusResponse *s, const char *id)
{
        for (size_t i = 0; i < s->n_containers_statuses; i++)
                if (str_eq(s->containers_statuses[i]->id, id) &&
                    s->containers_statuses[i]->metadata)
                        return s->containers_statuses[i]->metadata->name;
        if (str_eq(s->status->id, id) && s->status->metadata)
                return s->status->metadata->name;
        return id;
}

static void add_verb(Table *t, const Axis *a, const Operation *o, const char *object,
                     int64_t paused)
{
        _cleanup_free_ char *shown = cli_short_id(object);

        add_row(t, a, o->verb, shown, o->started_at, o->duration_ns, paused);
        for (size_t i = 0; i < o->n_steps; i++) {
                _cleanup_free_ char *name = xasprintf("  %s", o->steps[i]->name);
                add_row(t, a, name, NULL, o->steps[i]->started_at, o->steps[i]->duration_ns,
                        paused);
        }
}

static void print_timeline(const Tare__V1__TimelineResponse *l,
                           const Runtime__V1__PodSandboxStatusResponse *s)
{
        _cleanup_table_ Table *t = table_new("VERB, STEP|OBJECT|>AT MS|>TOOK MS|WHEN");
        Axis whole = { .now = clock_real_ns() }, at = { .now = whole.now };

        for (size_t i = 0; i < l->n_operations; i++)
                if (is_start_up(l->operations[i]))
                        axis_add(&whole, l->operations[i]);
        for (size_t i = 0; i < l->n_operations; i++) {
                const Operation *o = l->operations[i];
                if (!is_start_up(o))
                        continue;
                axis_add(&at, o);
                add_verb(t, &whole, o, container_name(s, o->object), at.paused);
        }
        table_print(t, stdout);
        printf("%.1f ms in all, without %.1f ms between the calls\n", to_ms(whole.whole),
               to_ms(whole.paused));
}

int cmd_timeline(Cli *cli, char **args, Err *err)
{
        Tare__V1__TimelineRequest q = TARE__V1__TIMELINE_REQUEST__INIT;
        _cleanup_message_ Tare__V1__TimelineResponse *l = NULL;
        _cleanup_message_ Runtime__V1__PodSandboxStatusResponse *s = NULL;
        _cleanup_free_ char *id = NULL;
        int r = cli_find_pod(cli, args[0], &id, err);

        if (r == 0)
                r = cli_pod_status(cli, id, false, &s, err);
        if (r < 0)
                return r;
        q.pod_sandbox_id = id;
        r = ask_tare(cli, Timeline, timeline, &q, ASK_TIMEOUT_MS, &l, err);
        if (r < 0)
                return r;
        if (cli->opt.json)
                cli_print_json(pb_to_proto_json(&l->base));
        else
                print_timeline(l, s);
        return 0;
}
