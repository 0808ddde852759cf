/* SPDX-License-Identifier: Apache-2.0 */
/* source-registry.c - see source-registry.h. Runs in the fetcher. */
#include "image/source-registry.h"

#include <stdlib.h>

#include "base/clock.h"
#include "image/limits.h"
#include "registry/registry.h"

typedef struct RegistrySource {
        Source base;
        ImageRef ref;
        char *name; /* normalised */
        Registry *registry;
} RegistrySource;

static int get_top(Source *base, StrBuf *ret, char **ret_digest, Err *err)
{
        RegistrySource *s = (RegistrySource *)base;
        _cleanup_free_ char *media = NULL;

        return registry_get_manifest(s->registry, s->ref.digest ? s->ref.digest : s->ref.tag, ret,
                                     &media, ret_digest, err);
}

static int collect(void *data, const void *p, size_t n, Err *err)
{
        StrBuf *b = data;

        if (b->len + n > IMAGE_DOCUMENT_MAX)
                return err_set(err, ERR_TOO_LARGE, "document of over %zu bytes",
                               (size_t)IMAGE_DOCUMENT_MAX);
        strbuf_add(b, p, n);
        return 0;
}

/* Manifests and indexes have a place of their own in a registry; the configuration is a blob. */
static int get_document(Source *base, const ImageDescriptor *desc, StrBuf *ret, Err *err)
{
        RegistrySource *s = (RegistrySource *)base;
        _cleanup_free_ char *media = NULL, *digest = NULL;

        if (desc->media == IMAGE_MEDIA_CONFIG)
                return registry_get_blob(s->registry, desc, collect, ret, err);
        return registry_get_manifest(s->registry, desc->digest, ret, &media, &digest, err);
}

static int get_blob(Source *base, const ImageDescriptor *desc, SourceSink sink, void *data,
                    Err *err)
{
        return registry_get_blob(((RegistrySource *)base)->registry, desc, sink, data, err);
}

static const char *reference(Source *base)
{
        return ((RegistrySource *)base)->name;
}

static void registry_source_free(Source *base)
{
        RegistrySource *s = (RegistrySource *)base;

        if (s->registry)
                registry_free(s->registry);
        image_ref_done(&s->ref);
        free(s->name);
        free(s);
}

static const SourceOps ops = {
        .get_top = get_top,
        .get_document = get_document,
        .get_blob = get_blob,
        .reference = reference,
        .free = registry_source_free,
};

int source_open_registry(const ImageRequest *req, Source **ret, Err *err)
{
        RegistrySource *s = xnew(RegistrySource);
        const ImageAuth *a = &req->auth;
        const RegistryAuth auth = { a->username,       a->password,       a->auth,
                                    a->identity_token, a->registry_token, a->server_address };
        uint64_t deadline = req->timeout_ms ? clock_mono_ns() + req->timeout_ms * NS_PER_MS : 0;
        int r;

        s->base.ops = &ops;
        r = image_ref_parse(req->reference, &s->ref, err);
        if (r == 0) {
                s->name = s->ref.digest ? image_ref_digested(&s->ref, s->ref.digest)
                                        : image_ref_tagged(&s->ref);
                r = registry_open(&s->ref, req->hosts_dir, req->has_auth ? &auth : NULL, deadline,
                                  &s->registry, err);
        }
        if (r < 0) {
                source_free(&s->base);
                return r;
        }
        *ret = &s->base;
        return 0;
}
