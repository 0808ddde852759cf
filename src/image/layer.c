/* SPDX-License-Identifier: Apache-2.0 */
/* layer.c - the pipeline within the fetcher. See layer.h.
 *
 *   source --bytes--> [sink: inflate into a chunk] --chunks--> [reader thread: sha256, tar]
 * --frames--> applier
 *
 * Two threads, because inflating and hashing a layer cost about the same as making its files: with
 * the applier three things run side by side. The queue holds chunk numbers only, so its length is
 * bounded by the ring. When one side fails the other goes on to the end of the bytes: only then is
 * it known whether they were the right bytes, which explains more than a parse error does. */
#include "image/layer.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "content/digest.h"
#include "image/inflate.h"
#include "image/limits.h"
#include "image/tar-read.h"

#define PROGRESS_NS (100 * NS_PER_MS)

typedef struct Full {
        uint32_t chunk, len;
} Full;

typedef struct Pipeline {
        const LayerJob *job;

        /* shared, under the lock */
        pthread_mutex_t lock;
        pthread_cond_t more;
        Full queue[IMAGE_CHUNKS];
        uint32_t head, n_queued;
        bool ended;          /* no more chunks will come */
        uint64_t compressed; /* bytes received */

        /* the sink's */
        Inflater *inflater;
        bool has_chunk, broken; /* broken: inflating failed; bytes are only passed through */
        Full filling;
        uint64_t unpacked;
        Err sink_err;

        /* the reader's */
        Digest *tar_digest;
        bool has_current;
        Full current;
        uint64_t progress_ns;
        Err reader_err;
} Pipeline;

static void push_chunk(Pipeline *p)
{
        pthread_mutex_lock(&p->lock);
        tare_assert(p->n_queued < IMAGE_CHUNKS);
        p->queue[(p->head + p->n_queued++) % IMAGE_CHUNKS] = p->filling;
        pthread_cond_signal(&p->more);
        pthread_mutex_unlock(&p->lock);
        p->has_chunk = false;
}

/* A layer that grows out of proportion, or beyond what is allowed, is not worth the disk. */
static int check_growth(Pipeline *p, Err *err)
{
        if (p->unpacked > p->job->max_bytes)
                return err_set(err, ERR_TOO_LARGE, "it unpacks to more than %llu bytes",
                               (unsigned long long)p->job->max_bytes);
        if (p->unpacked > IMAGE_RATIO_FREE && p->unpacked / IMAGE_RATIO_MAX > p->compressed)
                return err_set(err, ERR_TOO_LARGE,
                               "it unpacks to more than %d times its size; refused as a bomb",
                               IMAGE_RATIO_MAX);
        return 0;
}

/* Inflates what it can: in == NULL says that this was all. */
static int inflate_some(Pipeline *p, InflateInput *in, Err *err)
{
        for (;;) {
                size_t n = 0;
                if (!p->has_chunk) {
                        p->filling.len = 0;
                        int r = ring_get(p->job->ring, &p->filling.chunk, err);
                        if (r < 0)
                                return r;
                        p->has_chunk = true;
                }
                char *out = ring_chunk(p->job->ring, p->filling.chunk) + p->filling.len;
                size_t room = IMAGE_CHUNK_SIZE - p->filling.len;
                int r = in ? inflater_run(p->inflater, in, out, room, &n, err)
                           : inflater_finish(p->inflater, out, room, &n, err);
                p->filling.len += (uint32_t)n;
                p->unpacked += n;
                if (r == 0)
                        r = check_growth(p, err);
                if (r < 0)
                        return r;
                bool full = p->filling.len == IMAGE_CHUNK_SIZE;
                if (full)
                        push_chunk(p);
                if (!full && (in ? in->left == 0 : n == 0))
                        return 0;
        }
}

static int sink(void *data, const void *bytes, size_t n, Err *err)
{
        Pipeline *p = data;
        InflateInput in = { bytes, n };

        pthread_mutex_lock(&p->lock);
        p->compressed += n;
        pthread_mutex_unlock(&p->lock);
        if (p->broken)
                return 0;
        int r = inflate_some(p, &in, &p->sink_err);
        if (r < 0 && p->sink_err.kind != ERR_CORRUPT)
                return err_copy(err, &p->sink_err);
        p->broken = r < 0;
        return 0;
}

/* The reader is past its chunk: the applier may give it back once it has seen all frames before. */
static int give_back(Pipeline *p, Err *err)
{
        FrameWriter *out = p->job->out;
        uint64_t now = clock_mono_ns(), done;

        if (p->has_current) {
                frame_begin(out, FRAME_CHUNK);
                frame_put_u32(out, p->current.chunk);
                frame_end(out);
                p->has_current = false;
        }
        if (now - p->progress_ns > PROGRESS_NS) {
                p->progress_ns = now;
                pthread_mutex_lock(&p->lock);
                done = p->compressed;
                pthread_mutex_unlock(&p->lock);
                frame_begin(out, FRAME_PROGRESS);
                frame_put_str(out, p->job->desc->digest);
                frame_put_u64(out, done);
                frame_put_u64(out, p->job->desc->size);
                frame_end(out);
        }
        return frame_flush(out, err);
}

/* tar_read() wants bytes. */
static ssize_t next_chunk(void *data, const void **ret, Err *err)
{
        Pipeline *p = data;

        int r = give_back(p, err);
        if (r < 0)
                return r;
        pthread_mutex_lock(&p->lock);
        while (p->n_queued == 0 && !p->ended)
                pthread_cond_wait(&p->more, &p->lock);
        p->has_current = p->n_queued > 0;
        if (p->has_current) {
                p->current = p->queue[p->head];
                p->head = (p->head + 1) % IMAGE_CHUNKS;
                p->n_queued--;
        }
        pthread_mutex_unlock(&p->lock);
        if (!p->has_current)
                return 0;
        *ret = ring_chunk(p->job->ring, p->current.chunk);
        digest_add(p->tar_digest, *ret, p->current.len);
        return (ssize_t)p->current.len;
}

static int send_entry(void *data, const Entry *e, Err *err)
{
        FrameWriter *out = ((Pipeline *)data)->job->out;

        frame_begin(out, FRAME_ENTRY);
        frame_put_entry(out, e);
        frame_end(out);
        /* many small entries in one chunk: do not let the applier wait for all of them */
        return out->buf.len > 32768 ? frame_flush(out, err) : 0;
}

static int send_bytes(void *data, uint64_t offset, const void *bytes, size_t n, Err *err)
{
        Pipeline *p = data;
        FrameWriter *out = p->job->out;
        uint32_t chunk, start;

        if (ring_find(p->job->ring, bytes, n, &chunk, &start)) {
                frame_begin(out, FRAME_DATA);
                frame_put_u64(out, offset);
                frame_put_u32(out, chunk);
                frame_put_u32(out, start);
                frame_put_u32(out, (uint32_t)n);
                frame_end(out);
                return 0;
        }
        /* libarchive copied it, because it lay across two chunks */
        for (size_t done = 0; done < n;) {
                size_t part = n - done < IMAGE_CHUNK_SIZE ? n - done : IMAGE_CHUNK_SIZE;
                frame_begin(out, FRAME_BYTES);
                frame_put_u64(out, offset + done);
                frame_put_bytes(out, (const char *)bytes + done, part);
                frame_end(out);
                int r = frame_flush(out, err);
                if (r < 0)
                        return r;
                done += part;
        }
        return 0;
}

static void *reader_main(void *data)
{
        Pipeline *p = data;
        const TarHandlers handlers = {
                .data = p, .read = next_chunk, .entry = send_entry, .bytes = send_bytes
        };
        const void *ignored;
        Err late = {};

        (void)tar_read(&handlers, &p->reader_err); /* the error is in reader_err */
        /* what follows the archive, or all that is left after an error: it counts for the digest */
        while (next_chunk(p, &ignored, &late) > 0)
                continue;
        if (p->has_current)
                (void)give_back(p, &late);
        if (p->reader_err.kind == ERR_NONE)
                p->reader_err = late;
        return NULL;
}

/* No more bytes: the last chunk goes, the reader comes to its end. */
static void end_stream(Pipeline *p, bool complete, pthread_t reader)
{
        if (complete && !p->broken && inflate_some(p, NULL, &p->sink_err) < 0)
                p->broken = true;
        if (p->has_chunk)
                push_chunk(p); /* also when empty: the ring wants its chunks back in order */
        pthread_mutex_lock(&p->lock);
        p->ended = true;
        pthread_cond_signal(&p->more);
        pthread_mutex_unlock(&p->lock);
        pthread_join(reader, NULL);
}

/* What went wrong, the best explanation first. */
static int judge(Pipeline *p, int transfer, const Err *transfer_err, Err *err)
{
        char got[DIGEST_TEXT_SIZE];

        digest_finish(p->tar_digest, got);
        p->tar_digest = NULL;
        if (transfer < 0)
                return err_copy(err, transfer_err);
        if (p->sink_err.kind != ERR_NONE)
                return err_copy(err, &p->sink_err);
        if (p->reader_err.kind == ERR_CORRUPT && !str_eq(got, p->job->diff_id))
                return err_set(err, ERR_CORRUPT,
                               "it unpacks to %s, but the configuration says %s (diff id); %s", got,
                               p->job->diff_id, p->reader_err.msg);
        if (p->reader_err.kind != ERR_NONE)
                return err_copy(err, &p->reader_err);
        if (!str_eq(got, p->job->diff_id))
                return err_set(err, ERR_CORRUPT,
                               "it unpacks to %s, but the configuration says %s (diff id)", got,
                               p->job->diff_id);
        return 0;
}

static int run(Pipeline *p, Err *err)
{
        pthread_t reader;
        Err transfer_err = {};

        int r = pthread_create(&reader, NULL, reader_main, p);
        if (r != 0)
                return err_sys(err, r, "start a thread");
        r = prefetch_get(p->job->from, sink, p, &transfer_err);
        end_stream(p, r == 0, reader);
        return judge(p, r, &transfer_err, err);
}

int layer_fetch(const LayerJob *job, Err *err)
{
        Pipeline *p = xnew(Pipeline);

        p->job = job;
        p->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
        p->more = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
        p->inflater = inflater_new();
        p->tar_digest = digest_new();
        p->progress_ns = clock_mono_ns();
        int r = run(p, err);
        inflater_free(p->inflater);
        digest_free(p->tar_digest);
        free(p);
        return err_wrap(err, r, "layer %s", job->desc->digest);
}
