/* SPDX-License-Identifier: Apache-2.0 */
/* spec-env.c - environment of a container: defaults, then the image's, then the request's; a later
 * value takes the place of an earlier one. Pure.
 *
 * The list may be long (the kubelet adds seven variables for every service), so that equal names
 * are found by sorting. */
#include "spec/spec-internal.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

typedef struct EnvItem {
        char *text; /* NAME=value, owned */
        size_t name_len, order;
        const struct EnvItem *last; /* of the same name; only in the first of them */
} EnvItem;

typedef struct EnvList {
        EnvItem *items;
        size_t n, room;
} EnvList;

static void env_add(EnvList *l, char *text)
{
        tare_assert(l->n < l->room);
        l->items[l->n] = (EnvItem){ .text = text, .name_len = strcspn(text, "="), .order = l->n };
        l->n++;
}

static void env_list_done(EnvList *l)
{
        for (size_t i = 0; i < l->n; i++)
                free(l->items[i].text);
        free(l->items);
}

static int compare(const void *pa, const void *pb)
{
        const EnvItem *a = *(EnvItem *const *)pa, *b = *(EnvItem *const *)pb;
        size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
        int r = memcmp(a->text, b->text, n);
        if (r != 0)
                return r;
        if (a->name_len != b->name_len)
                return a->name_len < b->name_len ? -1 : 1;
        return a->order < b->order ? -1 : 1;
}

static bool same_name(const EnvItem *a, const EnvItem *b)
{
        return a->name_len == b->name_len && memcmp(a->text, b->text, a->name_len) == 0;
}

/* Each name once: at the place of its first item, with the value of its last. */
static char **env_take(EnvList *l)
{
        _cleanup_free_ EnvItem **sorted = xnew_array(EnvItem *, l->n + 1);
        for (size_t i = 0; i < l->n; i++)
                sorted[i] = l->items + i;
        qsort(sorted, l->n, sizeof(*sorted), compare);
        for (size_t i = 0; i < l->n;) {
                size_t end = i + 1;
                while (end < l->n && same_name(sorted[i], sorted[end]))
                        end++;
                sorted[i]->last = sorted[end - 1];
                i = end;
        }
        char **env = xnew_array(char *, l->n + 1);
        size_t n = 0;
        for (size_t i = 0; i < l->n; i++)
                if (l->items[i].last)
                        env[n++] = xstrdup(l->items[i].last->text);
        return env;
}

static void add_defaults(EnvList *l, const SpecInput *in)
{
        env_add(l, xstrdup(DEFAULT_PATH));
        if (in->config->tty)
                env_add(l, xstrdup("TERM=xterm"));
        const char *hostname = in->pod->hostname;
        if (str_empty(hostname))
                hostname = in->pod->config->hostname;
        if (!str_empty(hostname))
                env_add(l, xasprintf("HOSTNAME=%s", hostname));
        if (!str_empty(in->user->home))
                env_add(l, xasprintf("HOME=%s", in->user->home));
}

static int add_request(EnvList *l, SpecBuild *b, Err *err)
{
        const CriContainer *c = b->in->config;
        for (size_t i = 0; i < c->n_envs; i++) {
                const Runtime__V1__KeyValue *kv = c->envs[i];
                const char *value = kv->value.data ? (const char *)kv->value.data : "";
                if (memchr(value, 0, kv->value.len))
                        return err_set(err, ERR_INVALID,
                                       "envs[%zu] (%.200s): the value holds a NUL byte, which no "
                                       "environment can",
                                       i, kv->key);
                _cleanup_free_ char *text = NULL;
                if (str_is_utf8(value, kv->value.len))
                        text = xstrndup(value, kv->value.len);
                else {
                        /* config.json is JSON: other bytes have no form in it. */
                        text = str_make_utf8(value, kv->value.len);
                        spec_note(
                                &b->notes,
                                "envs[%zu] (%.200s): bytes that are not UTF-8 were replaced by '?'",
                                i, kv->key);
                }
                env_add(l, xasprintf("%s=%s", kv->key, text));
        }
        return 0;
}

int spec_env_build(SpecBuild *b, Err *err)
{
        const SpecInput *in = b->in;
        char **image = in->image->config ? in->image->config->env : NULL;
        size_t n_image = strv_len(image);

        if (n_image > SPEC_ENV_MAX)
                return err_set(err, ERR_TOO_LARGE, "the image sets %zu variables; at most %d",
                               n_image, SPEC_ENV_MAX);
        EnvList l = { .room = 4 + n_image + in->config->n_envs };
        l.items = xnew_array(EnvItem, l.room);
        add_defaults(&l, in);
        for (size_t i = 0; i < n_image; i++)
                if (strchr(image[i], '=') > image[i]) /* "NAME" alone and "=x" say nothing */
                        env_add(&l, xstrdup(image[i]));
        int r = add_request(&l, b, err);
        if (r == 0)
                b->spec->process->env = env_take(&l);
        env_list_done(&l);
        return r;
}
