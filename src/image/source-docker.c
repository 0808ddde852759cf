/* SPDX-License-Identifier: Apache-2.0 */
/* source-docker.c - a docker archive as a source: manifest.json names files, and there are no
 * digests but those of the configuration. A manifest is made up from it, so that all that follows
 * is as with any other image. */
#include "image/source-layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "content/digest.h"
#include "image/entry.h"
#include "image/limits.h"

typedef struct Docker {
        Source source;
        LayoutFiles *files;
        char *name;
        StrBuf manifest, config;
        char config_digest[DIGEST_TEXT_SIZE];
        Map *names; /* digest -> char *, the file */
} Docker;

/* The image that was asked for, or the only one. */
static int choose(Docker *d, Json *list, const char *asked, Json **ret, Err *err)
{
        size_t n = json_object_array_length(list);
        _cleanup_free_ char *wanted = asked ? source_full_name(asked) : NULL;
        _cleanup_strv_ char **all = NULL;

        for (size_t i = 0; i < n; i++) {
                Json *item = json_object_array_get_idx(list, i);
                _cleanup_strv_ char **tags = NULL;
                if (!json_object_is_type(item, json_type_object))
                        return err_set(err, ERR_INVALID, "item %zu is no object", i);
                int r = json_get_strv(item, "RepoTags", "", &tags, err);
                if (r < 0)
                        return r;
                if (n == 1 && tags)
                        str_assign(&d->name, tags[0]);
                for (size_t k = 0; tags && tags[k]; k++) {
                        _cleanup_free_ char *full = source_full_name(tags[k]);
                        if (wanted && str_eq(full, wanted)) {
                                *ret = item;
                                return 0;
                        }
                        strv_push(&all, tags[k]);
                }
        }
        if (n == 1) {
                *ret = json_object_array_get_idx(list, 0);
                return 0;
        }
        _cleanup_free_ char *names = strv_join(all, ", ");
        return err_set(err, asked ? ERR_NOT_FOUND : ERR_INVALID, "%s; it has: %s",
                       asked ? "no image of that name"
                             : "several images; say which one by a reference",
                       names ? names : "");
}

static int first_bytes(void *data, const void *p, size_t n, Err *err)
{
        memcpy(data, p, n < 4 ? n : 4);
        return -ECANCELED; /* enough */
}

/* Layers are plain tars as a rule, whose digest is the diff id. */
static bool is_compressed(Docker *d, const LayoutFile *f)
{
        unsigned char head[4] = {};

        (void)layout_file_stream(d->files, f, first_bytes, head, NULL); /* empty is plain too */
        return (head[0] == 0x1f && head[1] == 0x8b) || memcmp(head, "\x28\xb5\x2f\xfd", 4) == 0;
}

static int digest_some(void *data, const void *p, size_t n, Err *err)
{
        digest_add(data, p, n);
        return 0;
}

static int digest_file(Docker *d, const LayoutFile *f, char ret[static DIGEST_TEXT_SIZE], Err *err)
{
        Digest *digest = digest_new();

        int r = layout_file_stream(d->files, f, digest_some, digest, err);
        digest_finish(digest, ret);
        return r;
}

static void remember(Docker *d, const char *digest, const char *name)
{
        free(map_set(d->names, digest, xstrdup(name)));
}

static int add_layer(Docker *d, Json *layers, const char *name, const char *diff_id, Err *err)
{
        _cleanup_strbuf_ StrBuf clean = {};
        LayoutFile f = { .fd = -EBADF };
        char digest[DIGEST_TEXT_SIZE];

        int r = entry_path_clean(name, &clean, err);
        if (r == 0)
                r = layout_files_get(d->files, clean.data, &f, err);
        if (r < 0)
                return r;
        snprintf(digest, sizeof(digest), "%s", diff_id);
        bool compressed = is_compressed(d, &f);
        if (compressed)
                r = digest_file(d, &f, digest, err);
        Json *desc = json_object_new_object();
        json_add_str(desc, "mediaType",
                     compressed ? "application/vnd.oci.image.layer.v1.tar+gzip"
                                : "application/vnd.oci.image.layer.v1.tar");
        json_add_str(desc, "digest", digest);
        json_add_u64(desc, "size", f.size);
        json_object_array_add(layers, desc);
        remember(d, digest, clean.data);
        layout_file_done(&f);
        return r;
}

static int make_manifest(Docker *d, char *const *names, Err *err)
{
        _cleanup_(image_config_freep) ImageConfig *config = NULL;
        _cleanup_json_ Json *j = json_object_new_object();

        int r = image_config_parse(d->config.data, d->config.len, &config, err);
        if (r < 0)
                return r;
        if (strv_len(names) != strv_len(config->diff_ids))
                return err_set(err, ERR_CORRUPT, "%zu layers, but its configuration names %zu",
                               strv_len(names), strv_len(config->diff_ids));
        json_object_object_add(j, "schemaVersion", json_object_new_int(2));
        json_add_str(j, "mediaType", "application/vnd.oci.image.manifest.v1+json");
        Json *desc = json_add_obj(j, "config");
        json_add_str(desc, "mediaType", "application/vnd.oci.image.config.v1+json");
        json_add_str(desc, "digest", d->config_digest);
        json_add_u64(desc, "size", d->config.len);
        Json *layers = json_add_array(j, "layers");
        for (size_t i = 0; names && names[i]; i++) {
                r = add_layer(d, layers, names[i], config->diff_ids[i], err);
                if (r < 0)
                        return r;
        }
        _cleanup_free_ char *text = json_print(j);
        strbuf_adds(&d->manifest, text);
        return 0;
}

static int read_archive(Docker *d, const char *asked, Err *err)
{
        _cleanup_json_ Json *list = NULL;
        _cleanup_strbuf_ StrBuf text = {}, clean = {};
        _cleanup_free_ char *config = NULL;
        _cleanup_strv_ char **layers = NULL;
        Json *image = NULL;

        int r = layout_files_read(d->files, "manifest.json", IMAGE_DOCUMENT_MAX, &text, err);
        if (r == 0)
                r = json_parse(text.data, text.len, IMAGE_DOCUMENT_MAX, &list, err);
        if (r == 0 && !json_object_is_type(list, json_type_array))
                r = err_set(err, ERR_INVALID, "expected a list");
        if (r == 0)
                r = choose(d, list, asked, &image, err);
        if (r >= 0)
                r = json_get_str(image, "Config", "", &config, err);
        if (r >= 0)
                r = json_get_strv(image, "Layers", "", &layers, err);
        if (r >= 0 && !config)
                r = err_set(err, ERR_INVALID, "an image without Config");
        if (r >= 0)
                r = entry_path_clean(config, &clean, err);
        if (r >= 0)
                r = layout_files_read(d->files, clean.data, IMAGE_DOCUMENT_MAX, &d->config, err);
        if (r < 0)
                return r;
        digest_of(d->config.data, d->config.len, d->config_digest);
        return make_manifest(d, layers, err);
}

static int get_top(Source *s, StrBuf *ret, char **ret_digest, Err *err)
{
        Docker *d = (Docker *)s;
        char digest[DIGEST_TEXT_SIZE];

        strbuf_add(ret, d->manifest.data, d->manifest.len);
        digest_of(ret->data, ret->len, digest);
        *ret_digest = xstrdup(digest);
        return 0;
}

static int get_document(Source *s, const ImageDescriptor *desc, StrBuf *ret, Err *err)
{
        Docker *d = (Docker *)s;

        if (!str_eq(desc->digest, d->config_digest))
                return err_set(err, ERR_NOT_FOUND, "the archive has no %s", desc->digest);
        strbuf_add(ret, d->config.data, d->config.len);
        return 0;
}

static int get_blob(Source *s, const ImageDescriptor *desc, SourceSink sink, void *data, Err *err)
{
        Docker *d = (Docker *)s;
        const char *name = map_get(d->names, desc->digest);

        if (!name)
                return err_set(err, ERR_NOT_FOUND, "the archive has no %s", desc->digest);
        return layout_files_verify(d->files, name, desc, sink, data, err);
}

static const char *reference(Source *s)
{
        return ((Docker *)s)->name;
}

static void docker_free(Source *s)
{
        Docker *d = (Docker *)s;
        size_t i = 0;
        const char *digest;
        void *name;

        while (map_next(d->names, &i, &digest, &name))
                free(name);
        map_free(d->names);
        layout_files_free(d->files);
        strbuf_done(&d->manifest);
        strbuf_done(&d->config);
        free(d->name);
        free(d);
}

static const SourceOps docker_ops = {
        .get_top = get_top,
        .get_document = get_document,
        .get_blob = get_blob,
        .reference = reference,
        .free = docker_free,
};

int source_open_docker(LayoutFiles *files, const char *asked, Source **ret, Err *err)
{
        Docker *d = xnew(Docker);

        d->source.ops = &docker_ops;
        d->files = files;
        d->names = map_new();
        int r = read_archive(d, asked, err);
        if (r < 0) {
                err_wrap(err, r, "%s: manifest.json", layout_files_path(files));
                docker_free(&d->source);
                return r;
        }
        *ret = &d->source;
        return 0;
}
