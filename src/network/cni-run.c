/* SPDX-License-Identifier: Apache-2.0 */
/* cni-run.c - the walk over the plugins of one operation.
 *
 * Runs in tared; blocks on nothing but small files.
 *
 *     new -> next 1 -> (the caller executes) -> done -+-> next 0: complete; ADD: recorded in the
 * cache ^                                      |             DEL: record removed
 *              +--------------------------------------+-> failed: next and done say so again
 *
 * ADD, CHECK and STATUS go first to last and stop at the first failure. DEL goes last to first, GC
 * first to last, whatever fails; they report the first failure at their end. */
#include <errno.h>

#include "base/path.h"
#include "network/cni-internal.h"

struct CniRun {
        CniConfig *config; /* NULL: nothing to do */
        CniVerb verb;
        CniAttachment att; /* strings of our own; lists and ports are in caps */
        Json *args, *caps; /* NULL with STATUS and GC */
        Json *valid;       /* GC: attachments that stay */
        Json *result;      /* ADD: of the last plugin; else the recorded one; may be NULL */
        char *record_path; /* DEL: the cache file to remove */
        size_t taken;      /* plugins that are behind us */
        size_t n;
        bool running, finished;
        char *program; /* what replaces the plugins, and */
        Json *request; /*   what it is asked */
        Err failure;   /* num 0: none */

        char *type, *path, *input; /* of the running plugin */
        char **env;
};

DEFINE_CLEANUP(CniRun, cni_run_free)

void cni_run_free(CniRun *run)
{
        if (!run)
                return;
        cni_config_unref(run->config);
        free((char *)run->att.container_id);
        free((char *)run->att.netns);
        free((char *)run->att.ifname);
        free((char *)run->att.cache_dir);
        json_object_put(run->args);
        json_object_put(run->caps);
        json_object_put(run->valid);
        json_object_put(run->result);
        free(run->record_path);
        free(run->program);
        json_object_put(run->request);
        free(run->type);
        free(run->path);
        free(run->input);
        strv_free(run->env);
        free(run);
}

/* --- setting up --- */

/* What ADD recorded is what DEL and CHECK go by: the configuration may have changed since. A record
 * that cannot be read is passed over by DEL when there is a configuration, and removed at its end:
 * the pod has to go. */
static int use_record(CniRun *run, Err *err)
{
        CniRecord record = {};
        const CniConfig *c = run->config;
        int r = cni_cache_find(run->att.cache_dir, c ? c->name : NULL, run->att.container_id,
                               run->att.ifname, c ? c->bin_dirs : NULL, &record, err);

        if (r == -EBADMSG && run->verb == CNI_DEL && c) {
                run->record_path = take_ptr(record.path);
                return 0;
        }
        if (r < 0) {
                cni_cache_done(&record);
                return r;
        }
        if (r == 0 || (run->verb == CNI_CHECK && !record.result)) {
                cni_cache_done(&record);
                return run->verb == CNI_DEL
                               ? 0
                               : err_set(err, ERR_NOT_FOUND,
                                         "network: there is no record of an ADD of %s for %s",
                                         run->att.ifname, run->att.container_id);
        }
        cni_config_unref(run->config);
        run->config = take_ptr(record.config);
        run->record_path = take_ptr(record.path);
        run->result = take_ptr(record.result);
        if (record.args) {
                json_object_put(run->args);
                run->args = take_ptr(record.args);
        }
        json_object_put(run->caps);
        run->caps = take_ptr(record.caps);
        cni_cache_done(&record);
        return 0;
}

static int set_up(CniRun *run, const CniAttachment *att, Err *err)
{
        int r = cni_request_args(att, &run->args, err);

        if (r >= 0)
                r = cni_request_caps(att, &run->caps, err);
        if (r >= 0 && run->verb != CNI_ADD)
                r = use_record(run, err);
        if (r < 0)
                return r;
        if (!run->config)
                return run->verb == CNI_DEL
                               ? 0
                               : err_set(err, ERR_INVALID, "network: no configuration for %s",
                                         att->container_id);
        run->n = cni_config_count(run->config);
        if (run->verb != CNI_CHECK)
                return 0;
        if (!cni_version_at_least(run->config->version, "0.4.0"))
                return err_set(err, ERR_UNSUPPORTED,
                               "network \"%s\": version %s has no CHECK (0.4.0 has)",
                               run->config->name, run->config->version);
        if (run->config->disable_check)
                run->n = 0;
        return 0;
}

int cni_run_new(CniConfig *config, CniVerb verb, const CniAttachment *att, CniRun **ret, Err *err)
{
        int r = cni_request_check(verb, att, err);

        if (r < 0)
                return r;
        _cleanup_(cni_run_freep) CniRun *run = xnew(CniRun);
        run->config = cni_config_ref(config);
        run->verb = verb;
        run->att = (CniAttachment){
                .container_id = xstrdup(att->container_id),
                .netns = xstrdup(att->netns),
                .ifname = xstrdup(att->ifname),
                .cache_dir = xstrdup(att->cache_dir),
        };
        r = set_up(run, att, err);
        if (r < 0)
                return r;
        *ret = take_ptr(run);
        return 0;
}

int cni_run_new_network(CniConfig *config, CniVerb verb, Json *valid, CniRun **ret, Err *err)
{
        _cleanup_free_ char *text = valid ? json_print(valid) : NULL;

        tare_assert(verb == CNI_STATUS || verb == CNI_GC);
        if (text && strlen(text) > CNI_CAPS_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "network \"%s\": the attachments take %zu bytes, %zu at most",
                               config->name, strlen(text), CNI_CAPS_MAX);
        CniRun *run = xnew(CniRun);
        run->config = cni_config_ref(config);
        run->verb = verb;
        run->valid = json_object_get(valid);
        if (verb == CNI_GC ? cni_config_has_gc(config) : cni_config_has_status(config))
                run->n = cni_config_count(config);
        *ret = run;
        return 0;
}

/* --- a program in place of the plugins --- */

/* DEL got no result before 0.4.0, and the first ADD has none before it. */
static Json *result_before(const CniRun *run)
{
        return run->verb != CNI_DEL || cni_version_at_least(run->config->version, "0.4.0")
                       ? run->result
                       : NULL;
}

Json *cni_run_request(const CniRun *run)
{
        Json *request = json_object_new_object();
        Json *plugins = json_add_array(request, "plugins");

        if (!run->config)
                return request;
        json_add_str(request, "cniVersion", run->config->version);
        json_add_str(request, "name", run->config->name);
        for (size_t i = 0; i < cni_config_count(run->config); i++)
                json_object_array_add(plugins,
                                      cni_request_object(run->config, i, run->caps, NULL, NULL));
        if (result_before(run))
                json_object_object_add(request, "prevResult", json_object_get(result_before(run)));
        return request;
}

void cni_run_replace(CniRun *run, const char *path, Json *request)
{
        tare_assert(run->verb != CNI_CHECK && run->taken == 0 && !run->running);
        run->program = xstrdup(path);
        run->request = json_object_get(request);
        run->n = run->n ? 1 : 0;
}

/* --- one plugin --- */

static size_t current(const CniRun *run)
{
        return run->verb == CNI_DEL ? run->n - 1 - run->taken : run->taken;
}

/* Whether it is about an attachment, not the network as a whole. */
static bool has_attachment(const CniRun *run)
{
        return run->verb != CNI_STATUS && run->verb != CNI_GC;
}

static int make_env(CniRun *run, char ***ret, Err *err)
{
        _cleanup_free_ char *args = NULL;
        _cleanup_free_ char *dirs = strv_join(run->config->bin_dirs, ":");
        char **env = NULL;
        int r = has_attachment(run) ? cni_request_args_text(run->args, &args, err) : 0;

        if (r < 0)
                return r;
        for (char **v = environ; v && *v; v++)
                if (!str_skip_prefix(*v, "CNI_"))
                        strv_push(&env, *v);
        strv_env_set(&env, "CNI_COMMAND", cni_verb_name(run->verb));
        strv_env_set(&env, "CNI_PATH", str_or(dirs, ""));
        if (has_attachment(run)) {
                strv_env_set(&env, "CNI_CONTAINERID", run->att.container_id);
                strv_env_set(&env, "CNI_NETNS", str_or(run->att.netns, ""));
                strv_env_set(&env, "CNI_IFNAME", run->att.ifname);
                strv_env_set(&env, "CNI_ARGS", args);
        }
        *ret = env;
        return 0;
}

static void forget_plugin(CniRun *run)
{
        free(take_ptr(run->path));
        free(take_ptr(run->input));
        strv_free(take_ptr(run->env));
        run->running = false;
}

static int prepare_plugin(CniRun *run, Err *err)
{
        size_t i = current(run);

        if (run->program) {
                str_assign(&run->type, path_basename(run->program));
                str_assign(&run->path, run->program);
                run->input = json_print(run->request);
                return make_env(run, &run->env, err);
        }
        str_assign(&run->type, cni_config_type(run->config, i));
        int r = cni_config_find_plugin(run->config, run->type, &run->path, err);
        if (r >= 0)
                r = make_env(run, &run->env, err);
        if (r < 0)
                return r;
        run->input = cni_request_input(run->config, i, run->caps, result_before(run), run->valid);
        return 0;
}

/* The plugin is behind us; `e` says why it failed. 0: the walk goes on all the same. */
static int plugin_failed(CniRun *run, Err *e, Err *err)
{
        err_wrap(e, -e->num, "network \"%s\": plugin %s (%s)", run->config->name, run->type,
                 cni_verb_name(run->verb));
        if (run->failure.num == 0)
                run->failure = *e;
        if (run->verb == CNI_DEL || run->verb == CNI_GC)
                return 0;
        run->finished = true;
        return err_copy(err, &run->failure);
}

/* --- the walk --- */

static int finish(CniRun *run, Err *err)
{
        Err e = {};
        CniResult parsed = {};

        run->finished = true;
        if (run->failure.num != 0)
                return err_copy(err, &run->failure);
        if (run->verb == CNI_ADD) {
                int r = cni_result_parse(run->result, run->att.ifname, &parsed, &e);
                cni_result_done(&parsed);
                if (r >= 0)
                        r = cni_cache_write(run->config, &run->att, run->args, run->caps,
                                            run->result, &e);
                if (r < 0)
                        err_wrap(&e, r, "network \"%s\"", run->config->name);
        } else if (run->verb == CNI_DEL && run->record_path) {
                (void)cni_cache_remove(run->record_path, &e); /* judged by e */
        }
        if (e.num == 0)
                return 0;
        run->failure = e;
        return err_copy(err, &e);
}

int cni_run_next(CniRun *run, CniExec *ret, Err *err)
{
        tare_assert(!run->running);
        if (run->finished)
                return run->failure.num ? err_copy(err, &run->failure) : 0;
        while (run->taken < run->n) {
                Err e = {};
                int r = prepare_plugin(run, &e);
                if (r >= 0) {
                        run->running = true;
                        *ret = (CniExec){ .path = run->path,
                                          .plugin = run->type,
                                          .env = run->env,
                                          .input = run->input,
                                          .input_len = strlen(run->input) };
                        return 1;
                }
                forget_plugin(run);
                run->taken++;
                r = plugin_failed(run, &e, err);
                if (r < 0)
                        return r;
        }
        return finish(run, err);
}

static int take_output(CniRun *run, int exit_code, const char *out, size_t out_len,
                       const char *errout, Err *err)
{
        Json *result = NULL;

        if (out_len > CNI_OUTPUT_MAX)
                exit_code = -E2BIG;
        if (exit_code != 0)
                return cni_result_failure(exit_code, out, out_len, errout, run->verb, err);
        if (run->verb != CNI_ADD)
                return 0;
        int r = cni_result_read(out, out_len, run->config->version, &result, err);
        if (r < 0)
                return r;
        json_object_put(run->result);
        run->result = result;
        return 0;
}

int cni_run_done(CniRun *run, int exit_code, const char *out, size_t out_len, const char *errout,
                 Err *err)
{
        Err e = {};

        tare_assert(run->running);
        forget_plugin(run);
        run->taken++;
        int r = take_output(run, exit_code, out, out_len, errout, &e);
        return r < 0 ? plugin_failed(run, &e, err) : 0;
}

int cni_run_result(CniRun *run, CniResult *ret, Err *err)
{
        if (run->verb != CNI_ADD || !run->finished || run->failure.num)
                return err_set(err, ERR_PRECONDITION,
                               "network: there is no result before ADD is complete");
        return cni_result_parse(run->result, run->att.ifname, ret, err);
}
