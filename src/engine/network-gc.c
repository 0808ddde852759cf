/* SPDX-License-Identifier: Apache-2.0 */
/* network-gc.c - what attachments have left that nobody will delete any more.
 *
 * Two kinds. Records in CNI's cache that this program has written, of a pod it does not know and a
 * namespace that is gone: of a boot before this one, since pods are forgotten with it. They get
 * their DEL. And what the plugins themselves hold (addresses, rules): they are asked by GC, once
 * for each network that comes into use, to keep only what is valid.
 *
 * GC is dangerous where somebody else uses the same network. So valid is: every pod of ours in any
 * state, and every attachment of the cache, whoever wrote it, whose namespace is still there. When
 * a record of the network cannot be read there is no GC. The specification forbids it beside ADD
 * and DEL: it begins when none is under way, and those that come meanwhile wait for it. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "engine/network.h"

static bool is_gone(const char *netns)
{
        return str_empty(netns) || (access(netns, F_OK) < 0 && errno == ENOENT);
}

/* --- DEL of what was left --- */

typedef struct Stale { /* op->data */
        CniCached *attachment;
        bool begun;
} Stale;

static int stale_run(Op *op, Err *err)
{
        Engine *e = op->engine;
        Stale *s = op->data;
        CniAttachment att = { .container_id = s->attachment->container_id,
                              .ifname = s->attachment->ifname,
                              .cache_dir = e->config->cni_cache_dir };
        CniRun *run = NULL;

        if (s->begun)
                return 0;
        s->begun = true;
        int r = cni_run_new(e->cni, CNI_DEL, &att, &run, err);
        return r < 0 ? r : network_walk(op, run, CNI_DEL, err);
}

static void stale_finish(Op *op, const Err *err)
{
        Network *n = op->engine->network;

        if (err)
                log_warning("network: what pod %.13s of an earlier boot had is not deleted: %s; it "
                            "is tried again at the next start",
                            op->subject, err->msg);
        n->deleting = false;
        network_collect(op->engine);
}

static const OpStep stale_steps[] = { { "plugins", stale_run, NULL, OP_OWN_DEADLINE }, {} };
static const OpVerb verb_stale = {
        .name = "DelOldAttachment", .steps = stale_steps, .finish = stale_finish, .free_data = free
};

/* True: one is being deleted. */
static bool delete_next(Engine *e)
{
        Network *n = e->network;

        for (; n->next_cached < n->n_cached; n->next_cached++) {
                CniCached *c = &n->cached[n->next_cached];
                if (c->broken || !c->ours || engine_pod(e, c->container_id) || !is_gone(c->netns))
                        continue;
                _cleanup_free_ char *object = engine_object("attachment", c->container_id);
                Stale *s = xnew(Stale);
                s->attachment = c;
                n->next_cached++;
                n->deleting = true;
                op_start(e->ops, &verb_stale, object, c->container_id, "", s);
                return true;
        }
        return false;
}

/* --- GC --- */

static void add_valid(Json *list, const char *container_id, const char *ifname)
{
        Json *j = json_object_new_object();

        json_add_str(j, "containerID", container_id);
        json_add_str(j, "ifname", ifname);
        json_object_array_add(list, j);
}

static void add_valid_pod(const Engine *e, Json *list, const Pod *p)
{
        for (unsigned i = 0; p->netns_path && i < NETWORK_MAX; i++) {
                _cleanup_free_ char *ifname = xasprintf(NETWORK_IFNAME "%u", i);
                if (i < e->config->cni_networks_max || (int)i < p->n_networks)
                        add_valid(list, p->id, ifname);
        }
}

/* Of pods all that they may have; of others what the cache says. */
static int find_valid(Engine *e, const char *network, Json *list, Err *err)
{
        CniCached *cached = NULL;
        size_t n = 0;
        const char *key;
        void *value;
        int r = cni_cache_list(e->config->cni_cache_dir, &cached, &n, err);

        for (size_t i = 0; map_next(e->pods, &i, &key, &value);)
                add_valid_pod(e, list, value);
        for (size_t i = 0; r == 0 && i < n; i++) {
                const CniCached *c = &cached[i];
                if (c->broken && str_skip_prefix(path_basename(c->file), network))
                        r = err_set(err, ERR_CORRUPT,
                                    "record %s cannot be read: whose it is is not "
                                    "known",
                                    c->file);
                else if (!c->broken && str_eq(c->network, network) && !is_gone(c->netns) &&
                         !engine_pod(e, c->container_id))
                        add_valid(list, c->container_id, c->ifname);
        }
        cni_cached_free(cached, n);
        return r;
}

typedef struct Collection { /* op->data */
        CniConfig *config;
        bool begun;
} Collection;

static void collection_free(void *data)
{
        Collection *c = data;

        cni_config_unref(c->config);
        free(c);
}

static int gc_run(Op *op, Err *err)
{
        Collection *c = op->data;
        _cleanup_json_ Json *valid = json_object_new_array();
        CniRun *run = NULL;

        if (c->begun)
                return 0;
        c->begun = true;
        int r = find_valid(op->engine, cni_config_name(c->config), valid, err);
        if (r == 0)
                r = cni_run_new_network(c->config, CNI_GC, valid, &run, err);
        return r < 0 ? r : network_walk(op, run, CNI_GC, err);
}

static void gc_finish(Op *op, const Err *err)
{
        Engine *e = op->engine;
        Network *n = e->network;
        Op **gate = n->gate;
        size_t n_gate = n->n_gate;

        if (err)
                log_warning("network \"%s\": GC, which clears up after old attachments: %s",
                            op->subject, err->msg);
        else
                log_debug("network \"%s\": GC: it has been told what is valid", op->subject);
        n->collecting = false;
        n->gate = NULL;
        n->n_gate = 0;
        for (size_t i = 0; i < n_gate; i++)
                op_resume(gate[i], OP_AGAIN, NULL);
        free(gate);
        network_collect(e);
}

static const OpStep gc_steps[] = { { "plugins", gc_run, NULL, OP_OWN_DEADLINE }, {} };
static const OpVerb verb_gc = {
        .name = "NetworkGC", .steps = gc_steps, .finish = gc_finish, .free_data = collection_free
};

/* The next network that GC was not asked of. */
static CniConfig *next_network(const Network *n)
{
        for (size_t i = 0; i < n->known.n; i++) {
                CniConfig *c = n->known.items[i];
                if (cni_config_has_gc(c) && !strv_contains(n->collected, cni_config_name(c)))
                        return c;
        }
        return NULL;
}

void network_collect(Engine *e)
{
        Network *n = e->network;
        CniConfig *next = next_network(n);

        if (n->deleting || n->collecting || delete_next(e) || !next || n->walks > 0)
                return;
        strv_push(&n->collected, cni_config_name(next));
        Collection *c = xnew(Collection);
        c->config = cni_config_ref(next);
        n->collecting = true;
        op_start(e->ops, &verb_gc, "network-gc", cni_config_name(next), "", c);
}

/* --- beside ADD and DEL --- */

static void leave_gate(Op *op)
{
        Network *n = op->engine->network;

        for (size_t i = 0; i < n->n_gate; i++)
                if (n->gate[i] == op)
                        n->gate[i--] = n->gate[--n->n_gate];
}

bool network_gate(Op *op)
{
        Network *n = op->engine->network;

        if (!n->collecting)
                return false;
        n->gate = xrealloc(n->gate, (n->n_gate + 1) * sizeof(Op *));
        n->gate[n->n_gate++] = op;
        op_waits(op, NULL, leave_gate, "GC of the network's plugins");
        return true;
}

void network_walk_begun(Engine *e)
{
        e->network->walks++;
}

void network_walk_ended(Engine *e)
{
        Network *n = e->network;

        if (--n->walks == 0 && next_network(n))
                loop_timer_set(n->collect, e->world->now_mono(e->world));
}

/* --- life --- */

static void on_collect(void *userdata)
{
        network_collect(userdata);
}

void network_gc_start(Engine *e)
{
        Network *n = e->network;
        Err err = {};

        n->collect = loop_add_timer(e->world->loop, 0, on_collect, e);
        if (cni_cache_list(e->config->cni_cache_dir, &n->cached, &n->n_cached, &err) < 0)
                log_warning("network: old attachments are not looked for: %s", err.msg);
        network_collect(e);
}

void network_gc_free(Engine *e)
{
        Network *n = e->network;

        loop_source_free(n->collect);
        cni_cached_free(n->cached, n->n_cached);
        strv_free(n->collected);
        free(n->gate);
}
