/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.c - runtime handlers: the [runtimes.NAME] of the configuration, and what each can do.
 *
 * A program of another's is asked once, by its `features` command, when the daemon starts; until it
 * has answered, and when it does not know the command, it is taken to have none of them. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/engine-internal.h"
#include "sys/cgroup.h"

#define FEATURES_MAX        ((size_t)1 << 20) /* bytes of the answer */
#define FEATURES_DEADLINE_S 20
#define SEARCH_PATH         "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct RuntimeFacts {
        const EngineRuntime *runtime;
        WorldProcess *asked; /* NULL: not, or it has answered */
        EngineFeatures features;
};
typedef struct RuntimeFacts RuntimeFacts;

int engine_find_runtime(const EngineConfig *c, const char *handler, const EngineRuntime **ret,
                        Err *err)
{
        _cleanup_strbuf_ StrBuf known = {};

        handler = str_or(handler, c->default_runtime);
        for (size_t i = 0; i < c->n_runtimes; i++) {
                if (str_eq(c->runtimes[i].name, handler)) {
                        *ret = &c->runtimes[i];
                        return 0;
                }
                strbuf_addf(&known, "%s%s", i ? ", " : "", c->runtimes[i].name);
        }
        return err_set(
                err, ERR_NOT_FOUND,
                "no runtime handler \"%s\" (known: %s): change the pod's RuntimeClass, or add "
                "to %s and restart tared: [runtimes.%s] kind = \"oci\" path = "
                "\"/usr/bin/%s\"",
                handler, strbuf_bytes(&known), str_or(c->file, "tared's configuration"), handler,
                handler);
}

const EngineRuntime *pod_runtime(const Pod *p)
{
        const EngineRuntime *r = NULL;

        (void)engine_find_runtime(p->engine->config, p->request->runtime_handler, &r, NULL);
        return r;
}

const char *engine_pod_runtime_kind(const Pod *p)
{
        return runtime_is_program(pod_runtime(p)) ? "oci" : "builtin";
}

bool runtime_is_program(const EngineRuntime *r)
{
        return r && str_eq(r->kind, "oci");
}

void runtime_message(const EngineRuntime *r, Tare__Shim__V1__OciRuntime *ret)
{
        tare__shim__v1__oci_runtime__init(ret);
        ret->name = (char *)r->name;
        ret->path = (char *)r->path;
        ret->root = (char *)r->root;
        ret->args = r->options;
        ret->n_args = strv_len(r->options);
        ret->wait = r->wait;
}

/* --- what each can do --- */

static EngineFeatures features_of(const Engine *e, const EngineRuntime *r)
{
        EngineFeatures all = { .recursive_read_only = e->node.recursive_read_only,
                               .user_namespaces = !e->node.no_user_namespaces };

        if (!runtime_is_program(r))
                return all;
        const EngineFeatures *own = &e->runtimes[r - e->config->runtimes].features;
        return (EngineFeatures){
                .recursive_read_only = all.recursive_read_only && own->recursive_read_only,
                /* what a sandbox can do is not what its host's program can: runsc's do not enter
                 * the one that the pod has */
                .user_namespaces = all.user_namespaces && own->user_namespaces && !r->infra,
        };
}

EngineFeatures engine_features(const Engine *e, const char *name)
{
        const EngineRuntime *r = NULL;

        (void)engine_find_runtime(e->config, name, &r, NULL);
        return features_of(e, r);
}

int runtime_check_answered(const Engine *e, const EngineRuntime *r, Err *err)
{
        if (!runtime_is_program(r) || !e->runtimes[r - e->config->runtimes].asked)
                return 0;
        return err_set(err, ERR_UNAVAILABLE,
                       "runtime handler \"%s\": '%s features' has not answered yet, so it is not "
                       "known whether it can do user namespaces: ask again in a moment",
                       r->name, r->path);
}

SpecNode runtime_node(const Engine *e, const EngineRuntime *r)
{
        SpecNode node = e->node;
        EngineFeatures features = features_of(e, r);

        if (!r)
                return node;
        /* Programs know the controllers of one version: where both are, those of version 1. */
        if (runtime_is_program(r) && !node.cgroup_v2 && cgroup_controller_is_v2("hugetlb"))
                node.has_hugetlb = false;
        node.pod_annotations = r->pod_annotations;
        node.recursive_read_only = features.recursive_read_only;
        if (!features.user_namespaces && !node.no_user_namespaces)
                node.no_user_namespaces =
                        "the pod's runtime handler does not have them; use another RuntimeClass, "
                        "or mode NODE (in a pod: hostUsers: true)";
        return node;
}

static bool has_string(Json *list, const char *wanted)
{
        for (size_t i = 0; list && i < json_object_array_length(list); i++)
                if (str_eq(json_object_get_string(json_object_array_get_idx(list, i)), wanted))
                        return true;
        return false;
}

/* Of the specification's features document. As for containerd, user namespaces need id-mapped
 * mounts. */
static void read_features(RuntimeFacts *f, Json *j)
{
        Json *linux_part = NULL, *namespaces = NULL, *options = NULL, *mounts = NULL, *idmap = NULL;
        bool enabled = false;

        (void)json_get_array(j, "mountOptions", "", &options, NULL);
        f->features.recursive_read_only = has_string(options, "rro");
        if (json_get_obj(j, "linux", "", &linux_part, NULL) <= 0)
                return;
        (void)json_get_array(linux_part, "namespaces", "linux", &namespaces, NULL);
        if (json_get_obj(linux_part, "mountExtensions", "linux", &mounts, NULL) > 0 &&
            json_get_obj(mounts, "idmap", "mountExtensions", &idmap, NULL) > 0)
                (void)json_get_bool(idmap, "enabled", "idmap", &enabled, NULL);
        f->features.user_namespaces = enabled && has_string(namespaces, "user");
}

static void answered(void *data, int code, const StrBuf *out, const StrBuf *err_out)
{
        RuntimeFacts *f = data;
        _cleanup_json_ Json *j = NULL;
        Err err = {};

        f->asked = NULL;
        if (code != 0)
                err_set(&err, ERR_INTERNAL, "it ended with %d: %.200s", code,
                        strbuf_bytes(err_out));
        else if (json_parse(strbuf_bytes(out), out->len, FEATURES_MAX, &j, &err) >= 0)
                read_features(f, j);
        if (err.kind != ERR_NONE)
                log_info("runtime handler \"%s\": '%s features': %s; taken to have none",
                         f->runtime->name, f->runtime->path, err.msg);
}

static void ask(Engine *e, RuntimeFacts *f)
{
        World *w = e->world;
        _cleanup_strv_ char **argv = NULL;
        char *env[] = { (char *)SEARCH_PATH, NULL };
        Err err = {};
        WorldExec x = {
                .path = f->runtime->path,
                .env = env,
                .output_max = FEATURES_MAX,
                .dies_with_us = true,
                .deadline_ns = w->now_mono(w) + FEATURES_DEADLINE_S * NS_PER_S,
                .done = answered,
                .data = f,
        };

        strv_push(&argv, f->runtime->path);
        strv_push(&argv, "features");
        x.argv = argv;
        f->asked = w->exec(w, &x, &err);
        if (!f->asked)
                log_warning("runtime handler \"%s\": %s: pods that ask for it will fail",
                            f->runtime->name, err.msg);
}

void runtimes_learn(Engine *e)
{
        e->runtimes = xnew_array(RuntimeFacts, e->config->n_runtimes);
        for (size_t i = 0; i < e->config->n_runtimes; i++) {
                e->runtimes[i].runtime = &e->config->runtimes[i];
                if (runtime_is_program(e->runtimes[i].runtime))
                        ask(e, &e->runtimes[i]);
        }
}

void runtimes_done(Engine *e)
{
        for (size_t i = 0; e->runtimes && i < e->config->n_runtimes; i++)
                if (e->runtimes[i].asked)
                        e->world->exec_cancel(e->world, e->runtimes[i].asked);
        free(e->runtimes);
}
