/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-image-spec.c - the same bytes as index, manifest, configuration and reference. */
/* links: oci jsonc */
#include "fuzz/fuzz.h"
#include "oci/image-spec.h"

static void check_descriptor(const ImageDescriptor *d)
{
        tare_assert(image_digest_is_valid(d->digest) && d->media_type && d->size <= INT64_MAX);
}

static void as_index(const char *text, size_t len)
{
        static const char *const machines[][2] = {
                { "amd64", NULL },
                { "arm64", "v8.2" },
                { "arm", "v7" },
                { "s390x", "" },
        };
        _cleanup_(image_index_freep) ImageIndex *index = NULL;

        if (image_index_parse(text, len, &index, NULL) < 0)
                return;
        for (size_t i = 0; i < index->n_manifests; i++)
                check_descriptor(&index->manifests[i]);
        for (size_t i = 0; i < array_len(machines); i++) {
                const ImageDescriptor *d = NULL;
                Err err = {};
                int r = image_index_select(index, machines[i][0], machines[i][1], &d, &err);
                tare_assert(r < 0 ? err.kind == ERR_NOT_FOUND && !d : d != NULL);
        }
}

static void as_manifest(const char *text, size_t len)
{
        _cleanup_(image_manifest_freep) ImageManifest *m = NULL;

        if (image_manifest_parse(text, len, &m, NULL) < 0)
                return;
        check_descriptor(&m->config);
        for (size_t i = 0; i < m->n_layers; i++)
                check_descriptor(&m->layers[i]);
}

static void as_config(const char *text, size_t len)
{
        _cleanup_(image_config_freep) ImageConfig *c = NULL;

        if (image_config_parse(text, len, &c, NULL) < 0)
                return;
        for (size_t i = 0; c->diff_ids && c->diff_ids[i]; i++)
                tare_assert(image_digest_is_valid(c->diff_ids[i]));
}

/* What is accepted, completed, is accepted again as the same. */
static void as_ref(const char *text, size_t len)
{
        _cleanup_(image_ref_done) ImageRef ref = {}, again = {};
        _cleanup_free_ char *s = xstrndup(text, len), *full = NULL;

        if (image_ref_parse(s, &ref, NULL) < 0)
                return;
        tare_assert(ref.domain && ref.repository && (ref.tag || ref.digest));
        full = image_ref_tagged(&ref);
        if (!full)
                full = image_ref_digested(&ref, ref.digest);
        tare_assert(image_ref_parse(full, &again, NULL) == 0);
        tare_assert(str_eq(again.domain, ref.domain));
        tare_assert(str_eq(again.repository, ref.repository) && str_eq(again.tag, ref.tag));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data;

        as_index(text, size);
        as_manifest(text, size);
        as_config(text, size);
        as_ref(text, size);
        return 0;
}
