/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-image-layout.c - bytes as an image archive: a tar with an OCI layout or a docker archive, of
 * which all is read that an import would read. */
/* links: image */
#include "fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "content/digest.h"
#include "image/limits.h"
#include "image/source-layout.h"

static int ignore(void *data, const void *p, size_t n, Err *err)
{
        *(uint64_t *)data += n;
        return 0;
}

/* All that a manifest names; what is said to be right is right. */
static void read_manifest(Source *s, const StrBuf *text)
{
        _cleanup_(image_manifest_freep) ImageManifest *m = NULL;
        _cleanup_strbuf_ StrBuf config = {};
        char digest[DIGEST_TEXT_SIZE];

        if (image_manifest_parse(text->data, text->len, &m, NULL) < 0)
                return;
        if (s->ops->get_document(s, &m->config, &config, NULL) == 0) {
                digest_of(config.data, config.len, digest);
                tare_assert(str_eq(digest, m->config.digest));
        }
        for (size_t i = 0; i < m->n_layers; i++) {
                uint64_t n = 0;
                if (s->ops->get_blob(s, &m->layers[i], ignore, &n, NULL) == 0)
                        tare_assert(n == m->layers[i].size);
        }
}

static void read_index(Source *s, const StrBuf *text)
{
        _cleanup_(image_index_freep) ImageIndex *index = NULL;

        if (image_index_parse(text->data, text->len, &index, NULL) < 0)
                return;
        for (size_t i = 0; i < index->n_manifests; i++) {
                _cleanup_strbuf_ StrBuf manifest = {};
                if (s->ops->get_document(s, &index->manifests[i], &manifest, NULL) == 0)
                        read_manifest(s, &manifest);
        }
}

static void read_archive(const char *path, const char *asked)
{
        LayoutFiles *files = NULL;
        _cleanup_(source_freep) Source *s = NULL;
        _cleanup_strbuf_ StrBuf top = {};
        _cleanup_free_ char *digest = NULL;

        if (layout_files_open(path, &files, NULL) < 0 ||
            source_open_layout(files, asked, &s, NULL) < 0)
                return;
        (void)s->ops->reference(s);
        if (s->ops->get_top(s, &top, &digest, NULL) < 0)
                return;
        read_manifest(s, &top);
        read_index(s, &top);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_close_ int fd = memfd_create("archive", MFD_CLOEXEC);
        _cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);

        tare_assert(fd >= 0 && io_write_full(fd, data, size) == 0);
        read_archive(path, NULL);
        read_archive(path, "tare.test/image:1");
        return 0;
}
