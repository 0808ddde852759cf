/* SPDX-License-Identifier: Apache-2.0 */
/* tls-none.c - for tare-stream, which is static and speaks no TLS. */
#include <stddef.h>

#include "stream/stream.h"

int stream_tls_new(const StreamTlsFiles *files, int fd, StreamTls **ret, Err *err)
{
        if (!files->certificate && !files->key && !files->client_ca) {
                *ret = NULL;
                return 0;
        }
        return err_set(err, ERR_UNSUPPORTED, "this program speaks no TLS: use tare-stream-tls");
}

void stream_tls_free(StreamTls *t)
{
}
