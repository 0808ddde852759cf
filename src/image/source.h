/* SPDX-License-Identifier: Apache-2.0 */
/* source.h - where an image comes from: a registry, an OCI layout, a docker archive. Used by the
 * fetcher.
 *
 * Opened as whoever started the worker (files that only root may read), used after all rights are
 * gone. */
#ifndef TARE_IMAGE_SOURCE_H
#define TARE_IMAGE_SOURCE_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"
#include "oci/image-spec.h"

typedef struct Source Source;

/* Gets bytes in order; a negative return ends the transfer with it. */
typedef int (*SourceSink)(void *data, const void *p, size_t n, Err *err);

typedef struct SourceOps {
        /* The document that the reference names. *ret_digest: of its bytes. */
        int (*get_top)(Source *s, StrBuf *ret, char **ret_digest, Err *err);
        /* A small document by digest and size, verified. */
        int (*get_document)(Source *s, const ImageDescriptor *desc, StrBuf *ret, Err *err);
        /* A layer; size and digest are verified before 0 is returned. */
        int (*get_blob)(Source *s, const ImageDescriptor *desc, SourceSink sink, void *data,
                        Err *err);
        /* What the image is called when the request does not say; NULL: nothing is known. Borrowed.
         */
        const char *(*reference)(Source *s);
        void (*free)(Source *s);
} SourceOps;

struct Source {
        const SourceOps *ops;
};

static inline void source_free(Source *s)
{
        if (s)
                s->ops->free(s);
}
DEFINE_CLEANUP(Source, source_free)

#endif
