/* SPDX-License-Identifier: Apache-2.0 */
/* tar-read.c - libarchive reads the headers, we judge them. See tar-read.h.
 *
 * Names: pax says UTF-8, and libarchive converts to the charset of the locale; with LC_CTYPE
 * C.UTF-8 (set in worker.c) that is a copy, and what cannot be converted is taken as it is, with a
 * warning. */
#include "image/tar-read.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META   ".wh..wh." /* notes of an old union file system */
#define WHITEOUT_OPAQUE ".wh..wh..opq"

typedef struct Reader {
        const TarHandlers *h;
        struct archive *a;
        Err read_err; /* why read() failed, when it did */
        StrBuf path, link;
} Reader;

static la_ssize_t read_block(struct archive *a, void *data, const void **ret)
{
        Reader *rd = data;

        ssize_t n = rd->h->read(rd->h->data, ret, &rd->read_err);
        if (n < 0)
                archive_set_error(a, (int)-n, "%s", rd->read_err.msg);
        return n < 0 ? -1 : n;
}

static int archive_failed(Reader *rd, const char *what, Err *err)
{
        if (rd->read_err.kind != ERR_NONE)
                return err_copy(err, &rd->read_err);
        const char *text = archive_error_string(rd->a);
        return err_set(err, ERR_CORRUPT, "tar archive: %s: %s", what, str_or(text, "damaged"));
}

static int open_archive(Reader *rd, Err *err)
{
        rd->a = archive_read_new();
        tare_assert(rd->a);
        archive_read_support_format_tar(rd->a);
        archive_read_support_format_empty(rd->a);
        if (archive_read_open2(rd->a, rd, NULL, read_block, NULL, NULL) != ARCHIVE_OK)
                return archive_failed(rd, "first header", err);
        return 0;
}

static int id_in_range(int64_t v, const char *what, const char *path, uint32_t *ret, Err *err)
{
        if (v < 0 || v >= UINT32_MAX)
                return err_set(err, ERR_INVALID, "entry '%s': %s %lld out of range", path, what,
                               (long long)v);
        *ret = (uint32_t)v;
        return 0;
}

static int take_xattrs(struct archive_entry *ae, Entry *e, Err *err)
{
        const char *name;
        const void *value;
        size_t size;

        archive_entry_xattr_reset(ae);
        while (archive_entry_xattr_next(ae, &name, &value, &size) == ARCHIVE_OK) {
                if (!name || !entry_xattr_is_taken(name))
                        continue;
                if (e->n_xattrs == IMAGE_XATTRS_MAX)
                        return err_set(err, ERR_TOO_LARGE, "entry '%s': more than %d attributes",
                                       e->path, IMAGE_XATTRS_MAX);
                e->xattrs[e->n_xattrs++] =
                        (EntryXattr){ .name = name, .value = value, .size = size };
        }
        return 0;
}

static const struct {
        mode_t mode;
        EntryType type;
} types[] = {
        { S_IFREG, ENTRY_FILE }, { S_IFDIR, ENTRY_DIR },  { S_IFLNK, ENTRY_SYMLINK },
        { S_IFIFO, ENTRY_FIFO }, { S_IFCHR, ENTRY_CHAR }, { S_IFBLK, ENTRY_BLOCK },
};

static int take_type(Reader *rd, struct archive_entry *ae, Entry *e, Err *err)
{
        mode_t mode = archive_entry_filetype(ae);
        const char *target = archive_entry_hardlink(ae);

        if (target) {
                e->type = ENTRY_HARDLINK;
                int r = entry_path_clean(target, &rd->link, err);
                if (r < 0)
                        return err_wrap(err, r, "hard link '%s'", e->path);
                e->link = rd->link.data;
                return 0;
        }
        for (size_t i = 0; i < array_len(types); i++) {
                if (types[i].mode != mode)
                        continue;
                e->type = types[i].type;
                if (e->type == ENTRY_SYMLINK)
                        e->link = archive_entry_symlink(ae);
                return 0;
        }
        return err_set(err, ERR_UNSUPPORTED, "entry '%s': unknown kind %o", e->path, mode);
}

/* 1: not for the tree, skip it; 0: an ordinary entry; 2: a whiteout, and e says what of. */
static int take_whiteout(Reader *rd, Entry *e, Err *err)
{
        char *path = rd->path.data, *slash = strrchr(path, '/');
        char *last = slash ? slash + 1 : path;

        if (strncmp(path, WHITEOUT_META, strlen(WHITEOUT_META)) == 0 && strchr(path, '/'))
                return 1;
        const char *hidden = str_skip_prefix(last, WHITEOUT_PREFIX);
        if (!hidden)
                return 0;
        bool opaque = str_eq(last, WHITEOUT_OPAQUE);
        if (!opaque && str_skip_prefix(last, WHITEOUT_META))
                return 1;
        *e = (Entry){ .type = opaque ? ENTRY_OPAQUE : ENTRY_WHITEOUT, .path = path };
        if (opaque)
                *(slash ? slash : path) = 0;
        else if (!path_is_component(hidden))
                return err_set(err, ERR_INVALID, "entry '%s': a whiteout of nothing", path);
        else
                memmove(last, hidden, strlen(hidden) + 1);
        return 2;
}

static int take_numbers(struct archive_entry *ae, Entry *e, Err *err)
{
        int64_t size = archive_entry_size_is_set(ae) ? archive_entry_size(ae) : 0;
        long nsec = archive_entry_mtime_nsec(ae);

        if (size < 0)
                return err_set(err, ERR_INVALID, "entry '%s': negative size", e->path);
        e->mode = archive_entry_perm(ae) & 07777;
        e->size = e->type == ENTRY_FILE ? (uint64_t)size : 0;
        e->mtime_s = archive_entry_mtime(ae);
        e->mtime_ns = nsec > 0 && nsec < 1000000000 ? (uint32_t)nsec : 0;
        if (e->type == ENTRY_CHAR || e->type == ENTRY_BLOCK) {
                e->dev_major = (uint32_t)archive_entry_rdevmajor(ae);
                e->dev_minor = (uint32_t)archive_entry_rdevminor(ae);
        }
        int r = id_in_range(archive_entry_uid(ae), "uid", e->path, &e->uid, err);
        return r < 0 ? r : id_in_range(archive_entry_gid(ae), "gid", e->path, &e->gid, err);
}

/* Bytes of a file, in blocks with their places: a sparse file has gaps. */
static int read_bytes(Reader *rd, const Entry *e, Err *err)
{
        const void *p;
        size_t n;
        la_int64_t offset;

        for (;;) {
                int status = archive_read_data_block(rd->a, &p, &n, &offset);
                if (status == ARCHIVE_EOF)
                        return 0;
                if (status < ARCHIVE_WARN) {
                        int r = archive_failed(rd, "content", err);
                        return err_wrap(err, r, "file '%s'", e->path);
                }
                if (n == 0)
                        continue;
                if (offset < 0 || (uint64_t)offset > e->size || n > e->size - (uint64_t)offset)
                        return err_set(err, ERR_CORRUPT, "file '%s': content beyond its size",
                                       e->path);
                int r = rd->h->bytes(rd->h->data, (uint64_t)offset, p, n, err);
                if (r < 0)
                        return r;
        }
}

static int read_entry(Reader *rd, struct archive_entry *ae, Err *err)
{
        const char *name = archive_entry_pathname(ae);
        Entry e = {};

        if (!name)
                return err_set(err, ERR_CORRUPT, "tar archive: an entry whose name cannot be read");
        int r = entry_path_clean(name, &rd->path, err);
        if (r < 0)
                return r;
        e.path = rd->path.data;
        r = take_whiteout(rd, &e, err);
        if (r < 0 || r == 1)
                return r < 0 ? r : 0;
        if (r == 0) {
                r = take_type(rd, ae, &e, err);
                if (r == 0)
                        r = take_numbers(ae, &e, err);
                if (r == 0 && (e.type == ENTRY_FILE || e.type == ENTRY_DIR))
                        r = take_xattrs(ae, &e, err);
                if (r < 0)
                        return r;
        }
        r = entry_check(&e, err);
        if (r == 0)
                r = rd->h->entry(rd->h->data, &e, err);
        if (r == 0 && e.type == ENTRY_FILE && e.size > 0)
                r = read_bytes(rd, &e, err);
        return r;
}

int tar_read(const TarHandlers *h, Err *err)
{
        Reader rd = { .h = h };
        struct archive_entry *ae;

        int r = open_archive(&rd, err);
        while (r == 0) {
                int status = archive_read_next_header(rd.a, &ae);
                if (status == ARCHIVE_EOF)
                        break;
                if (status < ARCHIVE_WARN)
                        r = archive_failed(&rd, "header", err);
                else
                        r = read_entry(&rd, ae, err);
        }
        archive_read_free(rd.a);
        strbuf_done(&rd.path);
        strbuf_done(&rd.link);
        return r;
}
