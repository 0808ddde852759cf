/* SPDX-License-Identifier: Apache-2.0 */
/* source-registry.c - a face of src/registry as a source. See source-registry.h. */
#include "image/source-registry.h"

#include <stdlib.h>

#include "base/clock.h"
#include "image/limits.h"
#include "registry/registry.h"

typedef struct Remote {
        Source source;
        ImageRef ref;
        Registry *registry;
} Remote;

static int get_top(Source *s, StrBuf *ret, char **ret_digest, Err *err)
{
        Remote *r = (Remote *)s;
        const char *which = r->ref.digest ? r->ref.digest : r->ref.tag;
        _cleanup_free_ char *media = NULL;

        return registry_get_manifest(r->registry, which, ret, &media, ret_digest, err);
}

static int collect(void *data, const void *p, size_t n, Err *err)
{
        strbuf_add(data, p, n);
        return 0;
}

static int get_document(Source *s, const ImageDescriptor *desc, StrBuf *ret, Err *err)
{
        Remote *r = (Remote *)s;
        _cleanup_free_ char *media = NULL, *digest = NULL;

        if (desc->size > IMAGE_DOCUMENT_MAX)
                return err_set(err, ERR_TOO_LARGE, "document %s is larger than %zu bytes",
                               desc->digest, IMAGE_DOCUMENT_MAX);
        if (desc->media == IMAGE_MEDIA_CONFIG)
                return registry_get_blob(r->registry, desc, collect, ret, err);
        int x = registry_get_manifest(r->registry, desc->digest, ret, &media, &digest, err);
        if (x == 0 && ret->len != desc->size)
                x = err_set(err, ERR_CORRUPT, "manifest %s: expected %llu bytes, it has %zu",
                            desc->digest, (unsigned long long)desc->size, ret->len);
        return x;
}

static int get_blob(Source *s, const ImageDescriptor *desc, SourceSink sink, void *data, Err *err)
{
        return registry_get_blob(((Remote *)s)->registry, desc, sink, data, err);
}

/* A pull always says what it wants. */
static const char *reference(Source *s)
{
        return NULL;
}

static void remote_free(Source *s)
{
        Remote *r = (Remote *)s;

        registry_free(r->registry);
        image_ref_done(&r->ref);
        free(r);
}

static const SourceOps remote_ops = {
        .get_top = get_top,
        .get_document = get_document,
        .get_blob = get_blob,
        .reference = reference,
        .free = remote_free,
};

int source_open_registry(const ImageRequest *req, Source **ret, Err *err)
{
        const RegistryAuth auth = {
                .username = req->auth.username,
                .password = req->auth.password,
                .auth = req->auth.auth,
                .identity_token = req->auth.identity_token,
                .registry_token = req->auth.registry_token,
                .server_address = req->auth.server_address,
        };
        uint64_t deadline = req->timeout_ms ? clock_mono_ns() + req->timeout_ms * NS_PER_MS : 0;
        _cleanup_(source_freep) Source *s = NULL;

        Remote *r = xnew(Remote);
        s = &r->source;
        s->ops = &remote_ops;
        int x = image_ref_parse(req->reference, &r->ref, err);
        if (x == 0)
                x = registry_open(&r->ref, req->hosts_dir, req->has_auth ? &auth : NULL, deadline,
                                  &r->registry, err);
        if (x < 0)
                return x;
        *ret = take_ptr(s);
        return 0;
}
