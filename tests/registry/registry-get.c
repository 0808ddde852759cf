/* SPDX-License-Identifier: Apache-2.0 */
/* registry-get.c - asks a registry for manifests and blobs, and prints what came.
 *
 *     registry-get [OPTION=VALUE ...] REFERENCE [blob=DIGEST:SIZE ...] [all]
 *
 * Prints "manifest DIGEST MEDIA BYTES"; for each blob "blob DIGEST BYTES"; with "all" those that
 * the manifest names. An error: "error KIND: TEXT" and exit status 1. Options: hosts-dir, username,
 * password, auth, identity-token, registry-token, server-address, deadline-ms, stall-ms,
 * connect-ms, backoff-ms, wait-max-ms, tries, tries-in-total, stop-after (the sink fails after so
 * many bytes), threads (get "all" so often at once). */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "oci/image-spec.h"
#include "registry/registry.h"

typedef struct Options {
        const char *hosts_dir, *reference;
        RegistryAuth auth;
        uint64_t deadline_ms, stall_ms, connect_ms, backoff_ms, wait_max_ms, tries, total,
                stop_after, threads;
        bool all;
} Options;

static int fail(const Err *e)
{
        printf("error %s: %s\n", err_kind_symbol(e->kind), e->msg);
        return 1;
}

static int parse_option(Options *o, char *arg)
{
        const struct {
                const char *name;
                const char **text;
                uint64_t *number;
        } table[] = {
                { "hosts-dir=", &o->hosts_dir, NULL },
                { "username=", &o->auth.username, NULL },
                { "password=", &o->auth.password, NULL },
                { "auth=", &o->auth.auth, NULL },
                { "identity-token=", &o->auth.identity_token, NULL },
                { "registry-token=", &o->auth.registry_token, NULL },
                { "server-address=", &o->auth.server_address, NULL },
                { "deadline-ms=", NULL, &o->deadline_ms },
                { "stall-ms=", NULL, &o->stall_ms },
                { "connect-ms=", NULL, &o->connect_ms },
                { "backoff-ms=", NULL, &o->backoff_ms },
                { "wait-max-ms=", NULL, &o->wait_max_ms },
                { "tries=", NULL, &o->tries },
                { "tries-in-total=", NULL, &o->total },
                { "stop-after=", NULL, &o->stop_after },
                { "threads=", NULL, &o->threads },
        };

        for (size_t i = 0; i < array_len(table); i++) {
                const char *value = str_skip_prefix(arg, table[i].name);
                if (!value)
                        continue;
                if (table[i].text)
                        *table[i].text = value;
                return table[i].number ? str_to_u64(value, table[i].number) : 0;
        }
        o->all = o->all || str_eq(arg, "all");
        if (!strchr(arg, '=') && !str_eq(arg, "all"))
                o->reference = arg;
        return str_eq(arg, "all") || !strchr(arg, '=') || str_skip_prefix(arg, "blob=") ? 0
                                                                                        : -EINVAL;
}

typedef struct Count {
        uint64_t bytes, stop_after;
} Count;

static int sink(void *data, const void *p, size_t n, Err *err)
{
        Count *c = data;

        c->bytes += n;
        if (c->stop_after && c->bytes >= c->stop_after)
                return err_set(err, ERR_NO_SPACE, "the sink is full");
        return 0;
}

static int get_blob(Registry *r, const Options *o, const ImageDescriptor *d, Err *err)
{
        Count c = { .stop_after = o->stop_after };

        int x = registry_get_blob(r, d, sink, &c, err);
        if (x == 0)
                printf("blob %s %" PRIu64 "\n", d->digest, c.bytes);
        return x;
}

static int get_blobs_of(Registry *r, const Options *o, const StrBuf *body, Err *err)
{
        _cleanup_(image_manifest_freep) ImageManifest *m = NULL;

        int x = image_manifest_parse(body->data, body->len, &m, err);
        if (x == 0)
                x = get_blob(r, o, &m->config, err);
        for (size_t i = 0; x == 0 && i < m->n_layers; i++)
                x = get_blob(r, o, &m->layers[i], err);
        return x;
}

typedef struct Worker {
        pthread_t thread;
        Registry *r;
        const Options *o;
        const StrBuf *body;
        int result;
        Err err;
} Worker;

static void *work(void *data)
{
        Worker *w = data;

        w->result = get_blobs_of(w->r, w->o, w->body, &w->err);
        return NULL;
}

static int get_all(Registry *r, const Options *o, const StrBuf *body, Err *err)
{
        Worker workers[64] = {};
        size_t n = o->threads < 64 ? o->threads : 64;
        int result = 0;

        if (n == 0)
                return get_blobs_of(r, o, body, err);
        for (size_t i = 0; i < n; i++) {
                workers[i] = (Worker){ .r = r, .o = o, .body = body };
                tare_assert(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
        }
        for (size_t i = 0; i < n; i++) {
                pthread_join(workers[i].thread, NULL);
                if (workers[i].result < 0)
                        result = err_copy(err, &workers[i].err);
        }
        return result;
}

static int get_named(Registry *r, const Options *o, const char *arg, Err *err)
{
        _cleanup_free_ char *digest = xstrdup(arg);
        char *colon = strrchr(digest, ':');
        ImageDescriptor d = { .digest = digest };

        if (!colon || str_to_u64(colon + 1, &d.size) < 0)
                return err_set(err, ERR_INVALID, "blob=%s: expected DIGEST:SIZE", arg);
        *colon = 0;
        return get_blob(r, o, &d, err);
}

static void set_limits(Registry *r, const Options *o)
{
        RegistryLimits limits;

        registry_get_limits(r, &limits);
        limits.stall_ns = o->stall_ms ? o->stall_ms * NS_PER_MS : limits.stall_ns;
        limits.connect_ns = o->connect_ms ? o->connect_ms * NS_PER_MS : limits.connect_ns;
        limits.backoff_ns = o->backoff_ms ? o->backoff_ms * NS_PER_MS : limits.backoff_ns;
        limits.wait_max_ns = o->wait_max_ms ? o->wait_max_ms * NS_PER_MS : limits.wait_max_ns;
        limits.tries = o->tries ? (unsigned)o->tries : limits.tries;
        limits.tries_in_total = o->total ? (unsigned)o->total : limits.tries_in_total;
        registry_set_limits(r, &limits);
}

static int get(Registry *r, const Options *o, const ImageRef *ref, char **args, Err *err)
{
        _cleanup_strbuf_ StrBuf body = {};
        _cleanup_free_ char *media = NULL, *digest = NULL;
        bool only_blobs = false;
        int x = 0;

        set_limits(r, o);
        for (char **a = args; x == 0 && *a; a++) {
                const char *blob = str_skip_prefix(*a, "blob=");
                only_blobs = only_blobs || blob;
                x = blob ? get_named(r, o, blob, err) : 0;
        }
        if (x < 0 || only_blobs)
                return x;
        x = registry_get_manifest(r, ref->digest ? ref->digest : ref->tag, &body, &media, &digest,
                                  err);
        if (x < 0)
                return x;
        printf("manifest %s %s %zu\n", digest, media, body.len);
        return o->all ? get_all(r, o, &body, err) : 0;
}

int main(int argc, char **argv)
{
        _cleanup_(registry_freep) Registry *r = NULL;
        Options o = {};
        ImageRef ref = {};
        Err err = {};

        for (int i = 1; i < argc; i++)
                if (parse_option(&o, argv[i]) < 0) {
                        fprintf(stderr, "registry-get: bad argument '%s'\n", argv[i]);
                        return 2;
                }
        if (!o.reference || image_ref_parse(o.reference, &ref, &err) < 0) {
                fprintf(stderr, "registry-get: a reference is missing: %s\n", err.msg);
                return 2;
        }
        uint64_t deadline = o.deadline_ms ? clock_mono_ns() + o.deadline_ms * NS_PER_MS : 0;
        int x = registry_open(&ref, o.hosts_dir, &o.auth, deadline, &r, &err);
        if (x == 0)
                x = get(r, &o, &ref, argv + 1, &err);
        image_ref_done(&ref);
        return x < 0 ? fail(&err) : 0;
}
