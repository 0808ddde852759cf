/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c - the shared chunks. See ring.h. Anonymous memory: no descriptor by which one half could
 * shrink it under the other. */
#include "image/ring.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/limits.h"

#define RING_SIZE (IMAGE_CHUNK_SIZE * IMAGE_CHUNKS)

int ring_map(Ring *r)
{
        void *p = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                return -errno;
        *r = (Ring){ .mem = p, .credit_fd = -EBADF };
        return 0;
}

void ring_unmap(Ring *r)
{
        if (r->mem)
                (void)munmap(r->mem, RING_SIZE); /* it was mapped: cannot fail */
        r->mem = NULL;
}

int ring_get(Ring *r, uint32_t *ret_chunk, Err *err)
{
        char credits[IMAGE_CHUNKS];

        while (r->out == IMAGE_CHUNKS) {
                ssize_t n = read(r->credit_fd, credits, sizeof(credits));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(err, errno, "read from the applier");
                if (n == 0)
                        return err_set(err, ERR_CANCELED, "the applier has ended");
                tare_assert((uint32_t)n <= r->out);
                r->out -= (uint32_t)n;
        }
        *ret_chunk = r->next;
        r->next = (r->next + 1) % IMAGE_CHUNKS;
        r->out++;
        return 0;
}

char *ring_chunk(const Ring *r, uint32_t chunk)
{
        tare_assert(chunk < IMAGE_CHUNKS);
        return r->mem + (size_t)chunk * IMAGE_CHUNK_SIZE;
}

bool ring_find(const Ring *r, const void *p, size_t n, uint32_t *ret_chunk, uint32_t *ret_start)
{
        uintptr_t at = (uintptr_t)p, base = (uintptr_t)r->mem;

        if (at < base || at >= base + RING_SIZE)
                return false;
        size_t start = (at - base) % IMAGE_CHUNK_SIZE;
        if (n > IMAGE_CHUNK_SIZE - start)
                return false;
        *ret_chunk = (uint32_t)((at - base) / IMAGE_CHUNK_SIZE);
        *ret_start = (uint32_t)start;
        return true;
}

int ring_release(Ring *r, Err *err)
{
        for (;;) {
                ssize_t n = write(r->credit_fd, "", 1);
                /* a fetcher that has ended needs no chunks; how it ended, the frames tell */
                if (n == 1 || (n < 0 && errno == EPIPE))
                        return 0;
                if (n < 0 && errno == EINTR)
                        continue;
                return err_sys(err, n < 0 ? errno : EIO, "give a chunk back to the fetcher");
        }
}

const char *ring_bytes(const Ring *r, uint32_t chunk, uint32_t start, uint32_t n)
{
        if (chunk >= IMAGE_CHUNKS || start > IMAGE_CHUNK_SIZE || n > IMAGE_CHUNK_SIZE - start)
                return NULL;
        return ring_chunk(r, chunk) + start;
}
