/* SPDX-License-Identifier: Apache-2.0 */
/* network.c - the networks of the node: which configuration is in use, and whether it works.
 *
 * The folders of configuration and plugins are watched by inotify. A change is taken from the loop
 * a moment later, or by the next question or pod at once, so nobody sees an old one. Where nothing
 * is told (no inotify left, a mount over the folder) the files are read anew now and then, when
 * somebody asks for the status.
 *
 * CNI's STATUS is an operation of its own, for lists of version 1.1.0: after a change, and when
 * somebody asks and the last answer is old. The question is answered with what was said last. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/log.h"
#include "bridge/bridge.h"
#include "engine/network.h"

#define SETTLE_NS     (50 * NS_PER_MS) /* a change comes as several events */
#define READ_AGE_NS   (60 * NS_PER_S)
#define STATUS_AGE_NS (10 * NS_PER_S)
#define READS_MAX     3 /* at a time, of what changes while it is read */

static uint64_t now(const Engine *e)
{
        return e->world->now_mono(e->world);
}

/* --- the watch --- */

static void on_event(void *userdata, int fd, uint32_t revents)
{
        Engine *e = userdata;
        Network *n = e->network;

        if (!path_watch_take(n->watch) || n->changed)
                return;
        n->changed = true;
        loop_timer_set(n->settle, now(e) + SETTLE_NS);
}

static int watch_all(Engine *e, PathWatch *w)
{
        const EngineConfig *c = e->config;
        _cleanup_strv_ char **files = NULL;
        int r = path_watch_add(w, c->cni_conf_dir, true);

        for (char **dir = c->cni_bin_dirs; r == 0 && dir && *dir; dir++)
                r = path_watch_add(w, *dir, true);
        (void)cni_config_files(c->cni_conf_dir, &files, NULL); /* reading them tells the error */
        for (char **file = files; r == 0 && file && *file; file++)
                r = path_watch_add(w, *file, false);
        for (size_t i = 0; r == 0 && i < e->network->known.n; i++) {
                const char *name = cni_config_name(e->network->known.items[i]);
                _cleanup_free_ char *more = xasprintf("%s/%s", c->cni_conf_dir, name);
                r = path_watch_add(w, more, true);
        }
        return r;
}

static void watch_again(Engine *e)
{
        Network *n = e->network;
        PathWatch *w = NULL;
        int r = path_watch_new(&w);

        loop_source_free(n->watch_source);
        n->watch_source = NULL;
        path_watch_free(n->watch);
        n->watch = NULL;
        if (r == 0)
                r = watch_all(e, w);
        if (r < 0) {
                path_watch_free(w);
                if (!n->blind)
                        log_warning("the folders of networks cannot be watched (inotify: %s): they "
                                    "are read anew for every pod and question",
                                    strerror(-r));
                n->blind = true;
                return;
        }
        n->blind = false;
        n->watch = w;
        n->watch_source = loop_add_fd(e->world->loop, path_watch_fd(w), EPOLLIN, on_event, e);
}

/* --- who does it --- */

bool network_is_builtin(const Engine *e, Json *document, Err *err)
{
        if (!e->config->network_worker) {
                err_set(err, ERR_UNSUPPORTED, "cni.builtin is off");
                return false;
        }
        return bridge_check(document, e->config->cni_bin_dirs, getenv("PATH"), err) >= 0;
}

Json *engine_network_json(const Engine *e)
{
        Json *list = json_object_new_array();

        for (size_t i = 0; i < e->network->known.n; i++) {
                const CniConfig *c = e->network->known.items[i];
                Json *j = json_object_new_object();
                Err why = {};
                bool builtin = network_is_builtin(e, cni_config_json(c), &why);
                json_add_str(j, "name", cni_config_name(c));
                json_add_str(j, "file", cni_config_file(c));
                json_add_bool(j, "builtin", builtin);
                json_add_str_opt(j, "notBuiltin", why.msg);
                json_object_array_add(list, j);
        }
        return list;
}

/* --- what is read --- */

/* Of the one before: an object that says the same stays, and with it what STATUS said. */
static void keep_same(CniNetworks *networks, const CniNetworks *before)
{
        for (size_t i = 0; i < networks->n; i++)
                for (size_t k = 0; k < before->n; k++)
                        if (cni_config_same(networks->items[i], before->items[k])) {
                                cni_config_unref(networks->items[i]);
                                networks->items[i] = cni_config_ref(before->items[k]);
                        }
}

static bool same_networks(const CniNetworks *a, const CniNetworks *b)
{
        bool same = a->n == b->n;

        for (size_t i = 0; same && i < a->n; i++)
                same = a->items[i] == b->items[i];
        return same;
}

static void say_networks(const Engine *e)
{
        const Network *n = e->network;

        for (size_t i = 0; i < n->known.n; i++) {
                const CniConfig *c = n->known.items[i];
                Err why = {};
                bool builtin = network_is_builtin(e, cni_config_json(c), &why);
                log_info("network \"%s\" of %s (CNI %s) is in use%s, %s%s", cni_config_name(c),
                         cni_config_file(c), cni_config_version(c), i ? ", besides" : "",
                         builtin ? "built in" : "by its plugins: ", why.msg);
        }
}

static void say_notice(const char *before, const char *words)
{
        if (!str_empty(words) && !str_eq(before, words))
                log_warning("network: %s", words);
}

static bool take_networks(Engine *e, CniNetworks *networks)
{
        Network *n = e->network;
        bool changed;

        keep_same(networks, &n->known);
        changed = !same_networks(networks, &n->known);
        say_notice(n->known.notice, networks->notice);
        cni_networks_done(&n->known);
        n->known = *networks;
        if (changed)
                say_networks(e);
        if (n->known.n == 0)
                str_assign(&n->status, NULL);
        if (changed) {
                n->status_ns = 0;
                n->ask_again = n->asking;
        }
        cni_config_unref(e->cni);
        e->cni = n->known.n ? cni_config_ref(n->known.items[0]) : NULL;
        return changed;
}

/* Whether they are others than before. */
static bool read_networks(Engine *e)
{
        const EngineConfig *c = e->config;
        CniChoice choice = {
                .conf_dir = c->cni_conf_dir,
                .bin_dirs = c->cni_bin_dirs,
                .default_network = c->cni_default_network,
                .networks_max = c->cni_networks_max,
        };
        CniNetworks networks = {};
        Err err = {};

        e->network->read_ns = now(e);
        if (cni_networks_load(&choice, &e->network->known, &networks, &err) < 0) {
                say_notice(e->cni_reason, err.msg);
                str_assign(&e->cni_reason, err.msg);
        } else {
                str_assign(&e->cni_reason, NULL);
        }
        return take_networks(e, &networks);
}

static void read_again(void *userdata)
{
        Engine *e = userdata;
        Network *n = e->network;
        n->changed = false;
        loop_timer_set(n->settle, 0);
        /* The folders of their names count, too: what is watched follows from what is read, which
         * is then read once more, since something may have happened between the two. */
        for (unsigned i = 0; i < READS_MAX; i++) {
                watch_again(e);
                if (!read_networks(e))
                        break;
        }
        network_ask_status(e);
        if (n->collect) /* else: the start is not over */
                network_collect(e);
}

void network_refresh(Engine *e)
{
        Network *n = e->network;

        if (n->changed || !n->watch || path_watch_take(n->watch))
                read_again(e);
}

/* --- STATUS --- */

static int status_run(Op *op, Err *err)
{
        const CniNetworks *known = &op->engine->network->known;
        size_t *at = op->data; /* the network whose turn it is */
        int r = 0;

        while (r == 0 && *at < known->n) {
                CniRun *run = NULL;
                r = cni_run_new_network(known->items[(*at)++], CNI_STATUS, NULL, &run, err);
                if (r == 0)
                        r = network_walk(op, run, CNI_STATUS, err);
        }
        return r;
}

static void status_finish(Op *op, const Err *err)
{
        Engine *e = op->engine;
        Network *n = e->network;
        const char *words = err ? err->msg : "";

        n->asking = false;
        if (n->ask_again) { /* the answer is that of another configuration */
                n->ask_again = false;
                network_ask_status(e);
                return;
        }
        n->status_ns = now(e);
        if (n->known.n == 0 || str_eq(n->status, words))
                return;
        if (err)
                log_warning("the pod network is not ready: %s", words);
        else
                log_info("the pod network is ready");
        str_assign(&n->status, words);
}

static const OpStep status_steps[] = { { "plugins", status_run, NULL, OP_OWN_DEADLINE }, {} };
static const OpVerb verb_status = { .name = "NetworkStatus",
                                    .steps = status_steps,
                                    .finish = status_finish,
                                    .free_data = free,
                                    .unrecorded = true };

static bool has_status(const Network *n)
{
        bool has = false;

        for (size_t i = 0; i < n->known.n; i++)
                has = has || cni_config_has_status(n->known.items[i]);
        return has;
}

void network_ask_status(Engine *e)
{
        Network *n = e->network;

        if (!has_status(n)) {
                str_assign(&n->status, NULL);
                return;
        }
        if (n->asking || (n->status_ns && now(e) - n->status_ns < STATUS_AGE_NS))
                return;
        n->asking = true;
        op_start(e->ops, &verb_status, "network-status", "network", "", xnew(size_t));
}

/* --- the question --- */

bool engine_network_ready(Engine *e, const char **ret_words)
{
        Network *n = e->network;

        network_refresh(e);
        if (now(e) - n->read_ns > READ_AGE_NS)
                read_again(e);
        network_ask_status(e);
        *ret_words = e->cni_reason;
        if (n->known.n == 0)
                return false;
        *ret_words = n->known.notice;
        if (!has_status(n))
                return true;
        if (n->status && !*n->status)
                return true;
        *ret_words = n->status ? n->status : "the plugins have not answered STATUS yet";
        return false;
}

/* --- life --- */

void network_start(Engine *e)
{
        e->network = xnew(Network);
        e->network->settle = loop_add_timer(e->world->loop, 0, read_again, e);
        read_again(e);
        network_gc_start(e);
}

void network_free(Engine *e)
{
        Network *n = e->network;

        if (!n)
                return;
        loop_source_free(n->watch_source);
        loop_source_free(n->settle);
        path_watch_free(n->watch);
        cni_networks_done(&n->known);
        free(n->status);
        network_gc_free(e);
        free(n);
        e->network = NULL;
}
