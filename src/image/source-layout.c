/* SPDX-License-Identifier: Apache-2.0 */
/* source-layout.c - an OCI image layout as a source: index.json names images, blobs/ has their
 * bytes. A docker archive is handed on to source-docker.c. See source.h. */
#include "image/source-layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "content/digest.h"
#include "image/limits.h"

/* The first that is there names the image in full; the second may be a tag alone. */
static const char *const name_annotations[] = { "io.containerd.image.name",
                                                "org.opencontainers.image.ref.name" };

typedef struct Layout {
        Source source;
        LayoutFiles *files;
        char *asked; /* reference of the request; NULL: none */
        StrBuf index_text;
        ImageIndex *index;
        const ImageDescriptor *chosen; /* NULL: index.json itself is the image's index */
        char *name;                    /* what the layout calls it; NULL: nothing */
} Layout;

static const char *annotation(const ImageDescriptor *d, const char *key)
{
        for (size_t i = 0; i < d->n_annotations; i++)
                if (str_eq(d->annotations[i].key, key))
                        return d->annotations[i].value;
        return NULL;
}

static const char *entry_name(const ImageDescriptor *d)
{
        for (size_t i = 0; i < array_len(name_annotations); i++) {
                const char *name = annotation(d, name_annotations[i]);
                if (!str_empty(name))
                        return name;
        }
        return NULL;
}

char *source_full_name(const char *text)
{
        ImageRef ref = {};

        if (image_ref_parse(text, &ref, NULL) < 0)
                return xstrdup(text);
        char *full = ref.tag ? image_ref_tagged(&ref) : xstrdup(text);
        image_ref_done(&ref);
        return full;
}

/* Whether the entry is what was asked for: by its full name, or by its tag alone. */
static bool is_asked(const Layout *l, const ImageDescriptor *d, const char *asked)
{
        ImageRef ref = {};

        for (size_t i = 0; i < array_len(name_annotations); i++) {
                const char *name = annotation(d, name_annotations[i]);
                if (str_empty(name))
                        continue;
                _cleanup_free_ char *full = source_full_name(name);
                bool same = str_eq(full, asked);
                if (!same && image_ref_parse(asked, &ref, NULL) == 0) {
                        same = str_eq(ref.tag, name);
                        image_ref_done(&ref);
                }
                if (same)
                        return true;
        }
        return false;
}

static int several(const Layout *l, ErrKind kind, const char *what, Err *err)
{
        _cleanup_strv_ char **names = NULL;

        for (size_t i = 0; i < l->index->n_manifests && i < 20; i++) {
                const char *name = entry_name(&l->index->manifests[i]);
                if (name && !strv_contains(names, name))
                        strv_push(&names, name);
        }
        _cleanup_free_ char *list = strv_join(names, ", ");
        return err_set(err, kind, "%s %s; it has: %s", layout_files_path(l->files), what, list);
}

static int choose_asked(Layout *l, Err *err)
{
        _cleanup_free_ char *asked = source_full_name(l->asked);
        size_t named = 0;

        for (size_t i = 0; i < l->index->n_manifests; i++) {
                const ImageDescriptor *d = &l->index->manifests[i];
                named += entry_name(d) != NULL;
                if (is_asked(l, d, asked)) {
                        l->chosen = d;
                        return 0;
                }
        }
        if (l->index->n_manifests == 1)
                l->chosen = &l->index->manifests[0]; /* whatever it is called there */
        else if (named > 0)
                return several(l, ERR_NOT_FOUND, "has no image of that name", err);
        return 0;
}

static int choose(Layout *l, Err *err)
{
        const char *first = NULL;

        if (l->index->n_manifests == 0)
                return err_set(err, ERR_NOT_FOUND, "%s has no image", layout_files_path(l->files));
        if (l->asked)
                return choose_asked(l, err);
        for (size_t i = 0; i < l->index->n_manifests; i++) {
                const char *name = entry_name(&l->index->manifests[i]);
                if (i == 0)
                        first = name;
                else if (!str_eq(name, first))
                        return several(l, ERR_INVALID,
                                       "holds several images; say which one by a reference", err);
        }
        /* several of one name, or of none: one image for several platforms */
        if (l->index->n_manifests == 1)
                l->chosen = &l->index->manifests[0];
        str_assign(&l->name, first);
        return 0;
}

static int read_index(Layout *l, Err *err)
{
        int r = layout_files_read(l->files, "index.json", IMAGE_DOCUMENT_MAX, &l->index_text, err);
        if (r < 0)
                return r;
        r = image_index_parse(l->index_text.data, l->index_text.len, &l->index, err);
        if (r < 0)
                return err_wrap(err, r, "%s: index.json", layout_files_path(l->files));
        return choose(l, err);
}

static char *blob_name(const char *digest)
{
        return xasprintf("blobs/sha256/%s", digest_hex(digest));
}

static int collect(void *data, const void *p, size_t n, Err *err)
{
        strbuf_add(data, p, n);
        return 0;
}

static int get_document(Source *s, const ImageDescriptor *desc, StrBuf *ret, Err *err)
{
        Layout *l = (Layout *)s;
        _cleanup_free_ char *name = blob_name(desc->digest);

        if (desc->size > IMAGE_DOCUMENT_MAX)
                return err_set(err, ERR_TOO_LARGE, "document %s is larger than %zu bytes",
                               desc->digest, IMAGE_DOCUMENT_MAX);
        /* the size is foreign, the file too: look before it is read into memory */
        LayoutFile f = { .fd = -EBADF };
        int r = layout_files_get(l->files, name, &f, err);
        if (r == 0 && f.size > IMAGE_DOCUMENT_MAX)
                r = err_set(err, ERR_TOO_LARGE, "document %s is larger than %zu bytes",
                            desc->digest, IMAGE_DOCUMENT_MAX);
        layout_file_done(&f);
        return r < 0 ? r : layout_files_verify(l->files, name, desc, collect, ret, err);
}

static int get_top(Source *s, StrBuf *ret, char **ret_digest, Err *err)
{
        Layout *l = (Layout *)s;
        char digest[DIGEST_TEXT_SIZE];

        if (l->chosen) {
                int r = get_document(s, l->chosen, ret, err);
                if (r == 0)
                        *ret_digest = xstrdup(l->chosen->digest);
                return r;
        }
        strbuf_add(ret, l->index_text.data, l->index_text.len);
        digest_of(ret->data, ret->len, digest);
        *ret_digest = xstrdup(digest);
        return 0;
}

static int get_blob(Source *s, const ImageDescriptor *desc, SourceSink sink, void *data, Err *err)
{
        Layout *l = (Layout *)s;
        _cleanup_free_ char *name = blob_name(desc->digest);

        return layout_files_verify(l->files, name, desc, sink, data, err);
}

static const char *reference(Source *s)
{
        return ((Layout *)s)->name;
}

static void layout_free(Source *s)
{
        Layout *l = (Layout *)s;

        layout_files_free(l->files);
        image_index_free(l->index);
        strbuf_done(&l->index_text);
        free(l->asked);
        free(l->name);
        free(l);
}

static const SourceOps layout_ops = {
        .get_top = get_top,
        .get_document = get_document,
        .get_blob = get_blob,
        .reference = reference,
        .free = layout_free,
};

int source_open_layout(LayoutFiles *files, const char *asked, Source **ret, Err *err)
{
        int r = layout_files_index(files, err);
        if (r < 0) {
                layout_files_free(files);
                return r;
        }
        if (!layout_files_has(files, "index.json") && layout_files_has(files, "manifest.json"))
                return source_open_docker(files, asked, ret, err);
        Layout *l = xnew(Layout);
        l->source.ops = &layout_ops;
        l->files = files;
        str_assign(&l->asked, asked);
        r = read_index(l, err);
        if (r < 0) {
                layout_free(&l->source);
                return r;
        }
        *ret = &l->source;
        return 0;
}
