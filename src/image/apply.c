/* SPDX-License-Identifier: Apache-2.0 */
/* apply.c - what the applier does with each frame. See apply.h.
 *
 * Runs with the few capabilities that making files takes, and treats the fetcher as if it were
 * taken over: each frame has a row in a table that says when it may come; names of folders are
 * checked to be hex digests; entries pass entry_check(); bytes outside the ring are refused.
 * Nothing is reported before it is on disk. */
#include "image/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/path.h"
#include "content/digest.h"
#include "image/event.h"
#include "image/frame.h"
#include "image/limits.h"
#include "image/tree.h"
#include "oci/image-spec.h"

typedef struct Apply {
        const ApplyOptions *opt;
        int layers_fd, blobs_fd; /* ingest/layers, ingest/blobs */
        TreeBudget budget;

        /* the layer at hand */
        Tree *tree;
        char *hex, *diff_id, *digest;
        uint64_t size;
        int *lower_fds;
        size_t n_lower;

        StrBuf finished; /* events of what is whole: told after the sync */
        StrBuf last;     /* the image event */
        bool has_layers, ended, sync_failed;
        size_t n_layers; /* begun */
} Apply;

typedef struct FrameHandler {
        FrameType type;
        bool in_layer, outside; /* when it may come */
        int (*handle)(Apply *a, FrameCursor *c, Err *err);
} FrameHandler;

static int malformed(Err *err)
{
        return err_set(err, ERR_CORRUPT, "a malformed message from the fetcher");
}

/* A string of 64 hex digits: safe as a file name. */
static const char *get_hex(FrameCursor *c)
{
        const char *hex = frame_get_str(c);
        _cleanup_free_ char *digest = xasprintf("sha256:%s", hex);

        if (!digest_hex(digest))
                c->bad = true;
        return hex;
}

static const char *get_digest(FrameCursor *c)
{
        const char *digest = frame_get_str(c);

        if (!digest_hex(digest))
                c->bad = true;
        return digest;
}

/* An existing layer's root: one of this transfer, or one that was there. */
static int open_layer(Apply *a, const char *hex)
{
        _cleanup_free_ char *fs = path_join(hex, "fs");
        const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        int fd = openat(a->layers_fd, fs, flags);

        if (fd < 0 && errno == ENOENT && a->opt->layers_fd >= 0)
                fd = openat(a->opt->layers_fd, fs, flags);
        return fd < 0 ? -errno : fd;
}

static int open_lowers(Apply *a, FrameCursor *c, Err *err)
{
        uint32_t n = frame_get_u32(c);

        if (n > IMAGE_LAYERS_MAX)
                return malformed(err);
        a->lower_fds = xnew_array(int, n + 1);
        for (uint32_t i = 0; i < n; i++) {
                const char *hex = get_hex(c);
                if (c->bad)
                        return malformed(err);
                int fd = open_layer(a, hex);
                if (fd < 0)
                        return err_sys(err, -fd, "open the layer below, %s", hex);
                a->lower_fds[a->n_lower++] = fd;
        }
        return 0;
}

static void leave_layer(Apply *a)
{
        tree_free(a->tree);
        a->tree = NULL;
        while (a->n_lower > 0)
                (void)fd_close(a->lower_fds[--a->n_lower]);
        free(a->lower_fds);
        a->lower_fds = NULL;
        str_assign(&a->hex, NULL);
        str_assign(&a->diff_id, NULL);
        str_assign(&a->digest, NULL);
}

/* The empty folder ingest/layers/<hex>/fs. */
static int make_layer_folder(Apply *a, const char *hex, int *ret, Err *err)
{
        _cleanup_free_ char *fs = path_join(hex, "fs");

        /* 0711: a container's mapped root crosses it once it is among the layers */
        if (mkdirat(a->layers_fd, hex, 0711) < 0 || mkdirat(a->layers_fd, fs, 0755) < 0)
                return err_sys(err, errno, "make the folder of layer %s", hex);
        int fd = openat(a->layers_fd, fs, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return err_sys(err, errno, "open the folder of layer %s", hex);
        *ret = fd;
        return 0;
}

static int on_layer(Apply *a, FrameCursor *c, Err *err)
{
        int fd = -EBADF;
        const char *hex = get_hex(c), *diff_id = get_digest(c), *digest = get_digest(c);
        uint64_t size = frame_get_u64(c);

        if (c->bad || ++a->n_layers > IMAGE_LAYERS_MAX)
                return malformed(err);
        int r = open_lowers(a, c, err);
        if (r == 0 && !frame_cursor_ok(c))
                r = malformed(err);
        if (r == 0)
                r = make_layer_folder(a, hex, &fd, err);
        if (r < 0) {
                leave_layer(a);
                return r;
        }
        str_assign(&a->hex, hex);
        str_assign(&a->diff_id, diff_id);
        str_assign(&a->digest, digest);
        a->size = size;
        a->tree = tree_new(&(TreeOptions){ .root_fd = fd,
                                           .lower_fds = a->lower_fds,
                                           .n_lower = a->n_lower,
                                           .privileged = a->opt->privileged,
                                           .budget = &a->budget });
        return 0;
}

static int on_entry(Apply *a, FrameCursor *c, Err *err)
{
        Entry e;

        frame_get_entry(c, &e);
        if (!frame_cursor_ok(c))
                return malformed(err);
        int r = entry_check(&e, err);
        return r < 0 ? r : tree_entry(a->tree, &e, err);
}

static int on_data(Apply *a, FrameCursor *c, Err *err)
{
        uint64_t offset = frame_get_u64(c);
        uint32_t chunk = frame_get_u32(c), start = frame_get_u32(c), n = frame_get_u32(c);
        const char *p = ring_bytes(a->opt->ring, chunk, start, n);

        if (!frame_cursor_ok(c) || !p)
                return malformed(err);
        return tree_data(a->tree, offset, p, n, err);
}

static int on_bytes(Apply *a, FrameCursor *c, Err *err)
{
        size_t n;
        uint64_t offset = frame_get_u64(c);
        const char *p = frame_get_bytes(c, &n);

        if (!frame_cursor_ok(c))
                return malformed(err);
        return tree_data(a->tree, offset, p, n, err);
}

static int on_chunk(Apply *a, FrameCursor *c, Err *err)
{
        (void)frame_get_u32(c);
        if (!frame_cursor_ok(c))
                return malformed(err);
        return ring_release(a->opt->ring, err);
}

static int on_layer_end(Apply *a, FrameCursor *c, Err *err)
{
        TreeUsage usage;

        if (!frame_cursor_ok(c))
                return malformed(err);
        int r = tree_finish(a->tree, &usage, err);
        if (r < 0)
                return r;
        Json *ev = event_new("layer");
        _cleanup_free_ char *chain_id = xasprintf("sha256:%s", a->hex);
        json_add_str(ev, "chain_id", chain_id);
        json_add_str(ev, "diff_id", a->diff_id);
        json_add_str(ev, "digest", a->digest);
        json_add_u64(ev, "size", a->size);
        json_add_u64(ev, "unpacked_bytes", usage.bytes);
        json_add_u64(ev, "inodes", usage.inodes);
        event_append(&a->finished, ev);
        a->has_layers = true;
        leave_layer(a);
        return 0;
}

static int write_blob(Apply *a, const char *hex, const char *p, size_t n)
{
        _cleanup_close_ int fd = openat(a->blobs_fd, hex,
                                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        int r = io_write_full(fd, p, n);
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        return r;
}

static int on_blob(Apply *a, FrameCursor *c, Err *err)
{
        size_t n;
        char got[DIGEST_TEXT_SIZE];
        const char *hex = get_hex(c), *p = frame_get_bytes(c, &n);

        if (!frame_cursor_ok(c))
                return malformed(err);
        if (n > a->budget.bytes || a->budget.entries == 0)
                return err_set(err, ERR_TOO_LARGE, "the image is larger than allowed");
        a->budget.bytes -= n;
        a->budget.entries--;
        _cleanup_free_ char *digest = xasprintf("sha256:%s", hex);
        digest_of(p, n, got);
        if (!str_eq(got, digest))
                return err_set(err, ERR_CORRUPT, "blob %s: its bytes are %s", digest, got);
        int r = write_blob(a, hex, p, n);
        if (r == -EEXIST)
                return 0; /* named twice by one image */
        if (r < 0)
                return err_sys(err, -r, "write blob %s", digest);
        Json *ev = event_new("blob");
        json_add_str(ev, "digest", digest);
        json_add_u64(ev, "size", n);
        event_append(&a->finished, ev);
        return 0;
}

static int on_progress(Apply *a, FrameCursor *c, Err *err)
{
        const char *digest = get_digest(c);
        uint64_t done = frame_get_u64(c), total = frame_get_u64(c);

        if (!frame_cursor_ok(c))
                return malformed(err);
        Json *ev = event_new("progress");
        json_add_str(ev, "digest", digest);
        json_add_u64(ev, "done", done);
        json_add_u64(ev, "total", total);
        return event_print(a->opt->events_fd, ev, err);
}

static int on_image(Apply *a, FrameCursor *c, Err *err)
{
        static const char *const digests[] = { "manifest_digest", "target_digest",
                                               "config_digest" };
        Json *ev = event_new("image");

        json_add_str(ev, "reference", frame_get_str(c));
        for (size_t i = 0; i < array_len(digests); i++)
                json_add_str(ev, digests[i], get_digest(c));
        json_add_u64(ev, "size", frame_get_u64(c));
        _cleanup_strv_ char **chain_ids = NULL;
        uint32_t n = frame_get_u32(c);
        for (uint32_t i = 0; i < n && n <= IMAGE_LAYERS_MAX && !c->bad; i++)
                strv_push(&chain_ids, get_digest(c));
        if (!frame_cursor_ok(c) || a->last.len > 0) {
                json_object_put(ev);
                return malformed(err);
        }
        json_add_strv(ev, "chain_ids", chain_ids);
        event_append(&a->last, ev);
        return 0;
}

static int on_error(Apply *a, FrameCursor *c, Err *err)
{
        uint32_t kind = frame_get_u32(c);
        const char *message = frame_get_str(c);

        if (!frame_cursor_ok(c) || kind == ERR_NONE || kind >= _ERR_KIND_MAX)
                return malformed(err);
        a->ended = true;
        return err_set(err, (ErrKind)kind, "%s", message);
}

static int on_end(Apply *a, FrameCursor *c, Err *err)
{
        if (!frame_cursor_ok(c))
                return malformed(err);
        a->ended = true;
        return 0;
}

static const FrameHandler handlers[] = {
        { FRAME_LAYER, false, true, on_layer }, { FRAME_ENTRY, true, false, on_entry },
        { FRAME_DATA, true, false, on_data },   { FRAME_BYTES, true, false, on_bytes },
        { FRAME_CHUNK, true, false, on_chunk }, { FRAME_LAYER_END, true, false, on_layer_end },
        { FRAME_BLOB, false, true, on_blob },   { FRAME_PROGRESS, true, true, on_progress },
        { FRAME_IMAGE, false, true, on_image }, { FRAME_ERROR, true, true, on_error },
        { FRAME_END, false, true, on_end },
};

static int handle_frame(Apply *a, FrameType type, FrameCursor *c, Err *err)
{
        for (size_t i = 0; i < array_len(handlers); i++) {
                const FrameHandler *h = &handlers[i];
                if (h->type != type)
                        continue;
                if (a->tree ? !h->in_layer : !h->outside)
                        return err_set(err, ERR_CORRUPT, "message %d out of order", type);
                return h->handle(a, c, err);
        }
        return malformed(err);
}

static int run_frames(Apply *a, Err *err)
{
        FrameReader reader = { .fd = a->opt->frames_fd };
        FrameType type;
        FrameCursor c;
        int r = 0;

        while (r == 0 && !a->ended) {
                r = frame_read(&reader, &type, &c, err);
                if (r == 0)
                        r = err_set(err, ERR_INTERNAL, "the fetcher ended too early");
                else if (r > 0)
                        r = handle_frame(a, type, &c, err);
                if (r < 0 && a->digest && !a->ended)
                        r = err_wrap(err, r, "layer %s", a->digest);
        }
        frame_reader_done(&reader);
        return r;
}

/* On disk before it is told (invariant 4). A whole sync is for layers only: it waits for others'
 * bytes too. After a failure there is no second try: the kernel reports lost writes once. */
static int sync_all(Apply *a, Err *err)
{
        int r = 0;

        if (a->finished.len == 0)
                return 0;
        if (a->sync_failed)
                return err_set(err, ERR_INTERNAL, "an earlier sync failed");
        if (fault_point("image.sync"))
                r = err_set(err, ERR_INTERNAL, "fault at image.sync");
        else if (a->has_layers ? syncfs(a->opt->ingest_fd) < 0
                               : fsync(a->blobs_fd) < 0 || fsync(a->opt->ingest_fd) < 0)
                r = err_sys(err, errno, "write the image to disk");
        a->sync_failed = r < 0;
        return r;
}

static int tell(Apply *a, const StrBuf *events, Err *err)
{
        int r = io_write_full(a->opt->events_fd, events->data, events->len);

        return r < 0 ? err_sys(err, -r, "print the events") : 0;
}

static int make_folder(int dir_fd, const char *name, int *ret, Err *err)
{
        if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
                return err_sys(err, errno, "make folder %s in the ingest folder", name);
        *ret = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return *ret < 0 ? err_sys(err, errno, "open folder %s in the ingest folder", name) : 0;
}

/* The layer that was being made goes; those that are whole are worth keeping. */
static void clean_up(Apply *a)
{
        Err late = {};
        _cleanup_free_ char *hex = a->tree ? xstrdup(a->hex) : NULL;

        leave_layer(a);
        /* what cannot be removed here goes with the ingest folder */
        if (hex)
                (void)io_remove_tree(a->layers_fd, hex, &late);
        if (a->has_layers && sync_all(a, &late) == 0)
                (void)tell(a, &a->finished, &late);
}

int apply_run(const ApplyOptions *opt, bool *ret_ended, Err *err)
{
        Apply a = {
                .opt = opt,
                .layers_fd = -EBADF,
                .blobs_fd = -EBADF,
                .budget = { .entries = IMAGE_ENTRIES_MAX, .bytes = opt->max_unpacked_bytes },
        };

        int r = make_folder(opt->ingest_fd, "layers", &a.layers_fd, err);
        if (r == 0)
                r = make_folder(opt->ingest_fd, "blobs", &a.blobs_fd, err);
        if (r == 0)
                r = run_frames(&a, err);
        *ret_ended = a.ended;
        if (r == 0)
                r = sync_all(&a, err);
        if (r == 0 && a.finished.len > 0)
                r = tell(&a, &a.finished, err);
        if (r == 0 && a.last.len > 0)
                r = tell(&a, &a.last, err);
        if (r < 0)
                clean_up(&a);
        leave_layer(&a);
        (void)fd_close(a.layers_fd);
        (void)fd_close(a.blobs_fd);
        strbuf_done(&a.finished);
        strbuf_done(&a.last);
        return r;
}
