/* SPDX-License-Identifier: Apache-2.0 */
/* adjust.c - a plugin's adjustment of config.json: annotations, environment, arguments, mounts,
 * hooks, rlimits, CDI devices. A key with "-" in front takes away. Pure. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "nri/nri-internal.h"
#include "oci/cdi.h"

static int claim(const Adjustment *a, Nri__Field field, const char *key, Err *err)
{
        return owners_claim(a->owners, a->container, field, key, a->plugin, err);
}

static void clear(const Adjustment *a, Nri__Field field, const char *key)
{
        owners_clear(a->owners, a->container, field, key, a->plugin);
}

/* --- annotations --- */

static void drop_annotation(OciSpec *spec, const char *key)
{
        size_t kept = 0;

        for (size_t i = 0; i < spec->n_annotations; i++) {
                if (!str_eq(spec->annotations[i].key, key)) {
                        spec->annotations[kept++] = spec->annotations[i];
                        continue;
                }
                free(spec->annotations[i].key);
                free(spec->annotations[i].value);
        }
        spec->n_annotations = kept;
}

static int adjust_annotations(const Adjustment *a, const Nri__ContainerAdjustment *with, Err *err)
{
        int r = 0;

        for (size_t i = 0; i < with->n_annotations; i++) {
                const char *gone = removal_of(with->annotations[i]->key);
                if (!gone)
                        continue;
                clear(a, NRI__FIELD__FIELD_ANNOTATIONS, gone);
                drop_annotation(a->spec, gone);
        }
        for (size_t i = 0; r == 0 && i < with->n_annotations; i++) {
                const Nri__KeyValue *kv = with->annotations[i];
                if (removal_of(kv->key))
                        continue;
                r = claim(a, NRI__FIELD__FIELD_ANNOTATIONS, kv->key, err);
                if (r == 0)
                        oci_spec_set_annotation(a->spec, kv->key, kv->value);
        }
        return r;
}

/* --- environment, arguments --- */

static void drop_env(OciProcess *p, const char *name)
{
        size_t len = strlen(name), kept = 0;

        for (size_t i = 0; p->env && p->env[i]; i++) {
                if (strncmp(p->env[i], name, len) == 0 && p->env[i][len] == '=')
                        free(p->env[i]);
                else
                        p->env[kept++] = p->env[i];
        }
        if (p->env)
                p->env[kept] = NULL;
}

static int adjust_env(const Adjustment *a, const Nri__ContainerAdjustment *with, Err *err)
{
        int r = 0;

        for (size_t i = 0; i < with->n_env; i++) {
                const char *gone = removal_of(with->env[i]->key);
                if (!gone)
                        continue;
                clear(a, NRI__FIELD__FIELD_ENV, gone);
                drop_env(a->spec->process, gone);
        }
        for (size_t i = 0; r == 0 && i < with->n_env; i++) {
                const Nri__KeyValue *kv = with->env[i];
                if (removal_of(kv->key))
                        continue;
                if (str_empty(kv->key) || strchr(kv->key, '='))
                        return err_set(err, ERR_INVALID, "environment variable \"%.60s\": no name",
                                       kv->key);
                r = claim(a, NRI__FIELD__FIELD_ENV, kv->key, err);
                if (r == 0)
                        strv_env_set(&a->spec->process->env, kv->key, kv->value);
        }
        return r;
}

/* A first empty word says that those of a plugin before are to be replaced. */
static int adjust_args(const Adjustment *a, const Nri__ContainerAdjustment *with, Err *err)
{
        char **words = NULL;
        size_t first = 0;

        if (with->n_args == 0)
                return 0;
        if (str_empty(with->args[0])) {
                clear(a, NRI__FIELD__FIELD_ARGS, "");
                first = 1;
        }
        int r = claim(a, NRI__FIELD__FIELD_ARGS, "", err);
        if (r < 0)
                return r;
        if (first == with->n_args)
                return err_set(err, ERR_INVALID, "args are taken away, and there are no others");
        for (size_t i = first; i < with->n_args; i++)
                strv_push(&words, with->args[i]);
        strv_free(a->spec->process->args);
        a->spec->process->args = words;
        return 0;
}

/* --- mounts --- */

static void drop_mount(OciSpec *spec, const char *destination)
{
        size_t kept = 0;

        for (size_t i = 0; i < spec->n_mounts; i++) {
                OciMount *m = &spec->mounts[i];
                if (!str_eq(m->destination, destination)) {
                        spec->mounts[kept++] = *m;
                        continue;
                }
                free(m->destination);
                free(m->type);
                free(m->source);
                strv_free(m->options);
                free(m->uid_maps);
                free(m->gid_maps);
        }
        spec->n_mounts = kept;
}

static size_t depth(const char *path)
{
        size_t n = 0;

        for (; *path; path++)
                n += path[0] == '/' && path[1];
        return n;
}

/* In front of the first one that lies deeper, so that none hides another. */
static void add_mount(OciSpec *spec, const char *destination, const Nri__Mount *m)
{
        oci_spec_add_mount(spec, destination, str_or(m->type, "bind"), m->source, "");
        OciMount added = spec->mounts[spec->n_mounts - 1];
        size_t i = spec->n_mounts - 1;

        strv_free(added.options);
        added.options = NULL;
        for (size_t k = 0; k < m->n_options; k++)
                strv_push(&added.options, m->options[k]);
        for (; i > 0 && depth(spec->mounts[i - 1].destination) > depth(destination); i--)
                spec->mounts[i] = spec->mounts[i - 1];
        spec->mounts[i] = added;
}

/* Mounts come from or go to the host only through a root that does so too. */
static void set_root_propagation(OciSpec *spec, const Nri__Mount *m)
{
        const char *now = spec->linux.rootfs_propagation;

        for (size_t i = 0; i < m->n_options; i++) {
                if (str_eq(m->options[i], "rshared"))
                        str_assign(&spec->linux.rootfs_propagation, "rshared");
                else if (str_eq(m->options[i], "rslave") && !str_eq(now, "rshared"))
                        str_assign(&spec->linux.rootfs_propagation, "rslave");
        }
}

static int add_one_mount(const Adjustment *a, const Nri__Mount *m, Err *err)
{
        if (!path_is_absolute(m->destination))
                return err_set(err, ERR_INVALID,
                               "mount destination \"%.200s\": an absolute path is expected",
                               m->destination);
        _cleanup_free_ char *destination = path_normalize(m->destination);
        int r = claim(a, NRI__FIELD__FIELD_MOUNTS, destination, err);
        if (r < 0)
                return r;
        drop_mount(a->spec, destination);
        add_mount(a->spec, destination, m);
        set_root_propagation(a->spec, m);
        return 0;
}

static int adjust_mounts(const Adjustment *a, const Nri__ContainerAdjustment *with, Err *err)
{
        int r = 0;

        for (size_t i = 0; i < with->n_mounts; i++) {
                const char *gone = removal_of(with->mounts[i]->destination);
                if (!gone)
                        continue;
                clear(a, NRI__FIELD__FIELD_MOUNTS, gone);
                drop_mount(a->spec, gone);
        }
        for (size_t i = 0; r == 0 && i < with->n_mounts; i++)
                if (!removal_of(with->mounts[i]->destination))
                        r = add_one_mount(a, with->mounts[i], err);
        return r;
}

/* --- hooks, rlimits, CDI devices --- */

static char **words_of(char *const *words, size_t n)
{
        char **list = NULL;

        for (size_t i = 0; i < n; i++)
                strv_push(&list, words[i]);
        return list;
}

static int add_hooks(OciHookList *l, Nri__Hook *const *hooks, size_t n, Err *err)
{
        for (size_t i = 0; i < n; i++) {
                const Nri__Hook *h = hooks[i];
                if (!path_is_absolute(h->path) ||
                    (h->timeout && (h->timeout->value <= 0 || h->timeout->value > UINT32_MAX)))
                        return err_set(err, ERR_INVALID,
                                       "hook \"%.200s\": an absolute path, and a time-out above 0, "
                                       "are expected",
                                       h->path);
                l->items = xrealloc(l->items, (l->n + 1) * sizeof(*l->items));
                l->items[l->n++] =
                        (OciHook){ .path = xstrdup(h->path),
                                   .args = words_of(h->args, h->n_args),
                                   .env = words_of(h->env, h->n_env),
                                   .timeout_s = h->timeout ? (uint32_t)h->timeout->value : 0 };
        }
        return 0;
}

static int adjust_hooks(const Adjustment *a, const Nri__Hooks *h, Err *err)
{
        OciHooks *to = &a->spec->hooks;
        bool any = false;
        int r = 0;

        if (!h)
                return 0;
        const struct {
                OciHookList *list;
                Nri__Hook **hooks;
                size_t n;
        } lists[] = {
                { &to->prestart, h->prestart, h->n_prestart },
                { &to->create_runtime, h->create_runtime, h->n_create_runtime },
                { &to->create_container, h->create_container, h->n_create_container },
                { &to->start_container, h->start_container, h->n_start_container },
                { &to->poststart, h->poststart, h->n_poststart },
                { &to->poststop, h->poststop, h->n_poststop },
        };
        for (size_t i = 0; r == 0 && i < array_len(lists); i++) {
                any = any || lists[i].n > 0;
                r = add_hooks(lists[i].list, lists[i].hooks, lists[i].n, err);
        }
        return r == 0 && any ? claim(a, NRI__FIELD__FIELD_OCI_HOOKS, "", err) : r;
}

static int adjust_rlimits(const Adjustment *a, const Nri__ContainerAdjustment *with, Err *err)
{
        OciProcess *p = a->spec->process;
        int r = 0;

        for (size_t i = 0; r == 0 && i < with->n_rlimits; i++) {
                const Nri__POSIXRlimit *l = with->rlimits[i];
                size_t k = 0;
                r = claim(a, NRI__FIELD__FIELD_RLIMITS, l->type, err);
                if (r < 0)
                        return r;
                while (k < p->n_rlimits && !str_eq(p->rlimits[k].type, l->type))
                        k++;
                if (k == p->n_rlimits) {
                        p->rlimits = xrealloc(p->rlimits, (k + 1) * sizeof(*p->rlimits));
                        p->rlimits[p->n_rlimits++] = (OciRlimit){ .type = xstrdup(l->type) };
                }
                p->rlimits[k].soft = l->soft;
                p->rlimits[k].hard = l->hard;
        }
        return r;
}

static int take_cdi(const Adjustment *a, const Nri__ContainerAdjustment *with, Err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < with->n_cdi_devices; i++) {
                const char *name = with->cdi_devices[i]->name, *device;
                r = cdi_name_check(name, &device, err);
                if (r == 0)
                        r = claim(a, NRI__FIELD__FIELD_CDI_DEVICES, name, err);
                if (r == 0 && strv_len(*a->cdi) >= CDI_DEVICES_MAX)
                        r = err_set(err, ERR_TOO_LARGE, "more than %d CDI devices",
                                    CDI_DEVICES_MAX);
                if (r == 0)
                        strv_push(a->cdi, name);
        }
        return r;
}

static int adjust_all(const Adjustment *a, const Nri__ContainerAdjustment *with, Err *err)
{
        int r = adjust_annotations(a, with, err);

        if (r == 0)
                r = adjust_env(a, with, err);
        if (r == 0)
                r = adjust_args(a, with, err);
        if (r == 0)
                r = adjust_hooks(a, with->hooks, err);
        if (r == 0)
                r = adjust_mounts(a, with, err);
        if (r == 0)
                r = adjust_rlimits(a, with, err);
        if (r == 0)
                r = take_cdi(a, with, err);
        if (r == 0 && with->linux)
                r = adjust_linux(a, with->linux, err);
        return r == 0 ? oci_spec_check(a->spec, err) : r;
}

int adjust_spec(const Adjustment *a, const Nri__ContainerAdjustment *with, Err *err)
{
        Err why = {};
        int r = adjust_all(a, with, &why);

        return r == 0 ? 0
                      : err_set(err, why.kind, "adjustment of NRI plugin \"%s\": %s", a->plugin,
                                why.msg);
}
