/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.c - from a reference to layers. See fetch.h.
 *
 * reference -> index (perhaps of indexes) -> manifest of the platform -> configuration -> layers,
 * each step verified by the digest that the one before names. */
#include "image/fetch.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "content/digest.h"
#include "image/layer.h"
#include "image/limits.h"
#include "oci/image-spec.h"

typedef struct Fetch {
        const FetchOptions *opt;
        char *architecture, *variant; /* wanted; variant may be NULL */
        StrBuf document;
        char *target_digest, *manifest_digest;
        ImageManifest *manifest;
        ImageConfig *config;
        char **chain_ids;
        uint64_t size;
} Fetch;

static void send_blob(Fetch *f, const char *digest, const StrBuf *bytes)
{
        FrameWriter *out = f->opt->out;

        frame_begin(out, FRAME_BLOB);
        frame_put_str(out, digest_hex(digest));
        frame_put_bytes(out, bytes->data, bytes->len);
        frame_end(out);
}

static int parse_platform(Fetch *f, Err *err)
{
        const char *text = f->opt->platform;

        if (!text) {
                str_assign(&f->architecture, image_host_architecture());
                return 0;
        }
        _cleanup_strv_ char **parts = strv_split(text, "/");
        size_t n = strv_len(parts);
        if (n < 2 || n > 3 || !str_eq(parts[0], "linux"))
                return err_set(
                        err, ERR_INVALID,
                        "platform '%s': expected linux/ARCHITECTURE or linux/ARCHITECTURE/VARIANT",
                        text);
        str_assign(&f->architecture, parts[1]);
        str_assign(&f->variant, parts[2]);
        return 0;
}

/* What the document in f->document is. */
static int document_media(Fetch *f, const char *digest, ImageMedia *ret, Err *err)
{
        _cleanup_json_ Json *j = NULL;

        int r = json_parse(f->document.data, f->document.len, IMAGE_DOCUMENT_MAX, &j, err);
        if (r < 0)
                return err_wrap(err, r, "manifest %s", digest);
        *ret = image_document_media(j);
        if (*ret != IMAGE_MEDIA_INDEX && *ret != IMAGE_MEDIA_MANIFEST)
                return err_set(err, ERR_UNSUPPORTED,
                               "manifest %s: neither an image index nor an image manifest (Docker "
                               "schema 1 is not supported; push the image again)",
                               digest);
        return 0;
}

/* The document is an index: fetches the entry for the platform into f->document. */
static int enter_index(Fetch *f, char **digest, Err *err)
{
        _cleanup_(image_index_freep) ImageIndex *index = NULL;
        const ImageDescriptor *chosen;

        int r = image_index_parse(f->document.data, f->document.len, &index, err);
        if (r == 0)
                r = image_index_select(index, f->architecture, f->variant, &chosen, err);
        if (r < 0)
                return err_wrap(err, r, "index %s", *digest);
        str_assign(digest, chosen->digest);
        strbuf_reset(&f->document);
        Source *s = f->opt->source;
        return s->ops->get_document(s, chosen, &f->document, err);
}

/* From the top document down to the manifest. */
static int find_manifest(Fetch *f, Err *err)
{
        Source *s = f->opt->source;
        ImageMedia media = IMAGE_MEDIA_UNKNOWN;
        _cleanup_free_ char *digest = NULL;

        int r = s->ops->get_top(s, &f->document, &digest, err);
        if (r < 0)
                return r;
        str_assign(&f->target_digest, digest);
        for (int depth = 0; depth <= IMAGE_INDEX_DEPTH; depth++) {
                r = document_media(f, digest, &media, err);
                if (r < 0)
                        return r;
                send_blob(f, digest, &f->document);
                if (media == IMAGE_MEDIA_MANIFEST) {
                        f->size += f->document.len;
                        f->manifest_digest = take_ptr(digest);
                        r = image_manifest_parse(f->document.data, f->document.len, &f->manifest,
                                                 err);
                        return err_wrap(err, r, "manifest %s", f->manifest_digest);
                }
                r = enter_index(f, &digest, err);
                if (r < 0)
                        return r;
        }
        return err_set(err, ERR_TOO_LARGE, "index %s: more than %d indexes within each other",
                       f->target_digest, IMAGE_INDEX_DEPTH);
}

/* A manifest may be for another machine, and an entry of an index may not say: the configuration is
 * judged by the rules for an index that has it alone. */
static int check_platform(Fetch *f, Err *err)
{
        ImageDescriptor alone = { .media = IMAGE_MEDIA_MANIFEST, .platform = f->config->platform };
        const ImageIndex index = { .manifests = &alone, .n_manifests = 1 };
        const ImageDescriptor *chosen;

        int r = image_index_select(&index, f->architecture, f->variant, &chosen, err);
        return err_wrap(err, r, "manifest %s", f->manifest_digest);
}

static int check_layers(Fetch *f, Err *err)
{
        const ImageManifest *m = f->manifest;
        size_t n = strv_len(f->config->diff_ids);

        if (n != m->n_layers)
                return err_set(err, ERR_CORRUPT,
                               "manifest %s has %zu layers, its configuration names %zu",
                               f->manifest_digest, m->n_layers, n);
        for (size_t i = 0; i < n; i++) {
                const ImageDescriptor *d = &m->layers[i];
                if (d->media != IMAGE_MEDIA_LAYER_TAR && d->media != IMAGE_MEDIA_LAYER_GZIP &&
                    d->media != IMAGE_MEDIA_LAYER_ZSTD)
                        return err_set(err, ERR_UNSUPPORTED,
                                       "layer %s is of type '%s', which is no tar archive",
                                       d->digest, str_or(d->media_type, ""));
                char id[DIGEST_TEXT_SIZE];
                digest_chain(i ? f->chain_ids[i - 1] : NULL, f->config->diff_ids[i], id);
                strv_push(&f->chain_ids, id);
                f->size += d->size;
        }
        return 0;
}

static int get_config(Fetch *f, Err *err)
{
        Source *s = f->opt->source;
        const ImageDescriptor *d = &f->manifest->config;

        if (d->media != IMAGE_MEDIA_CONFIG)
                return err_set(
                        err, ERR_UNSUPPORTED,
                        "manifest %s is not a container image: its configuration is of type '%s'",
                        f->manifest_digest, str_or(d->media_type, ""));
        strbuf_reset(&f->document);
        int r = s->ops->get_document(s, d, &f->document, err);
        if (r < 0)
                return r;
        send_blob(f, d->digest, &f->document);
        f->size += f->document.len;
        r = image_config_parse(f->document.data, f->document.len, &f->config, err);
        if (r < 0)
                return err_wrap(err, r, "configuration %s", d->digest);
        r = check_platform(f, err);
        return r < 0 ? r : check_layers(f, err);
}

static int get_layer(Fetch *f, Prefetch *from, size_t i, Err *err)
{
        FrameWriter *out = f->opt->out;
        const ImageDescriptor *d = &f->manifest->layers[i];

        frame_begin(out, FRAME_LAYER);
        frame_put_str(out, digest_hex(f->chain_ids[i]));
        frame_put_str(out, f->config->diff_ids[i]);
        frame_put_str(out, d->digest);
        frame_put_u64(out, d->size);
        frame_put_u32(out, (uint32_t)i);
        for (size_t k = i; k > 0; k--)
                frame_put_str(out, digest_hex(f->chain_ids[k - 1]));
        frame_end(out);
        LayerJob job = {
                .from = from,
                .desc = d,
                .diff_id = f->config->diff_ids[i],
                .out = out,
                .ring = f->opt->ring,
                .max_bytes = f->opt->max_unpacked_bytes,
        };
        int r = layer_fetch(&job, err);
        if (r < 0)
                return r;
        frame_begin(out, FRAME_PROGRESS);
        frame_put_str(out, d->digest);
        frame_put_u64(out, d->size);
        frame_put_u64(out, d->size);
        frame_end(out);
        frame_begin(out, FRAME_LAYER_END);
        frame_end(out);
        return frame_flush(out, err);
}

static bool is_there(const Fetch *f, size_t i)
{
        return strv_contains(f->opt->have, f->chain_ids[i]);
}

static int get_layers(Fetch *f, Err *err)
{
        const FetchOptions *opt = f->opt;
        Prefetch *from = prefetch_new(opt->source, opt->slots, opt->n_slots);
        int r = 0;

        for (size_t i = 0; i < f->manifest->n_layers; i++)
                if (!is_there(f, i))
                        prefetch_add(from, &f->manifest->layers[i]);
        for (size_t i = 0; r == 0 && i < f->manifest->n_layers; i++)
                if (!is_there(f, i))
                        r = get_layer(f, from, i, err);
        return r;
}

/* The name of the image, written in full. */
static int full_reference(Fetch *f, char **ret, Err *err)
{
        Source *s = f->opt->source;
        const char *known = f->opt->reference ? f->opt->reference : s->ops->reference(s);
        ImageRef ref = {};

        if (!known)
                return err_set(
                        err, ERR_INVALID,
                        "the image has no name (annotation org.opencontainers.image.ref.name); "
                        "give a reference");
        int r = image_ref_parse(known, &ref, err);
        if (r < 0)
                return r;
        *ret = ref.digest ? image_ref_digested(&ref, ref.digest) : image_ref_tagged(&ref);
        image_ref_done(&ref);
        return 0;
}

static int send_image(Fetch *f, const char *reference, Err *err)
{
        FrameWriter *out = f->opt->out;
        size_t n = strv_len(f->chain_ids);

        frame_begin(out, FRAME_IMAGE);
        frame_put_str(out, reference);
        frame_put_str(out, f->manifest_digest);
        frame_put_str(out, f->target_digest);
        frame_put_str(out, f->manifest->config.digest);
        frame_put_u64(out, f->size);
        frame_put_u32(out, (uint32_t)n);
        for (size_t i = 0; i < n; i++)
                frame_put_str(out, f->chain_ids[i]);
        frame_end(out);
        return frame_flush(out, err);
}

int fetch_image(const FetchOptions *opt, Err *err)
{
        Fetch f = { .opt = opt };
        _cleanup_free_ char *reference = NULL;

        int r = parse_platform(&f, err);
        if (r == 0)
                r = full_reference(&f, &reference, err);
        if (r == 0)
                r = find_manifest(&f, err);
        if (r == 0)
                r = get_config(&f, err);
        if (r == 0)
                r = get_layers(&f, err);
        if (r == 0)
                r = send_image(&f, reference, err);
        if (r < 0)
                return r; /* threads that prefetch may still read f; all ends with the process */
        free(f.architecture);
        free(f.variant);
        free(f.target_digest);
        free(f.manifest_digest);
        strv_free(f.chain_ids);
        image_manifest_free(f.manifest);
        image_config_free(f.config);
        strbuf_done(&f.document);
        return r;
}

int fetch_end(FrameWriter *out, const Err *e)
{
        frame_begin(out, e ? FRAME_ERROR : FRAME_END);
        if (e) {
                frame_put_u32(out, e->kind);
                frame_put_str(out, e->msg);
        }
        frame_end(out);
        return frame_flush(out, NULL);
}
