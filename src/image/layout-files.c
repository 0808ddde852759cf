/* SPDX-License-Identifier: Apache-2.0 */
/* layout-files.c - see layout-files.h. */
#include "image/layout-files.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/path.h"
#include "content/digest.h"
#include "image/entry.h"
#include "image/limits.h"

#define READ_SIZE ((size_t)256 << 10)
#define LINKS_MAX 8 /* symbolic links within a tar, one after the other */

/* A name in a tar: bytes of it, or a link to another name. */
typedef struct TarItem {
        uint64_t offset, size;
        char *link; /* NULL: a file */
} TarItem;

struct LayoutFiles {
        char *path;
        int fd;
        uint64_t tar_size;
        Map *items; /* of a tar; NULL: a folder */
};

int layout_files_open(const char *path, LayoutFiles **ret, Err *err)
{
        struct stat st;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0 || fstat(fd, &st) < 0)
                return err_sys(err, errno, "open %s", path);
        if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
                return err_set(err, ERR_INVALID, "%s is neither a folder nor a file", path);
        LayoutFiles *lf = xnew(LayoutFiles);
        lf->path = xstrdup(path);
        lf->fd = take_fd(fd);
        if (S_ISREG(st.st_mode)) {
                lf->items = map_new();
                lf->tar_size = (uint64_t)st.st_size;
        }
        *ret = lf;
        return 0;
}

void layout_files_free(LayoutFiles *lf)
{
        size_t i = 0;
        const char *name;
        void *value;

        if (!lf)
                return;
        while (lf->items && map_next(lf->items, &i, &name, &value)) {
                TarItem *item = value;
                free(item->link);
                free(item);
        }
        map_free(lf->items);
        lf->fd = fd_close(lf->fd);
        free(lf->path);
        free(lf);
}

int layout_files_fd(const LayoutFiles *lf)
{
        return lf->fd;
}

const char *layout_files_path(const LayoutFiles *lf)
{
        return lf->path;
}

static int tar_failed(LayoutFiles *lf, struct archive *a, Err *err)
{
        return err_set(err, ERR_CORRUPT, "%s: not a tar archive that can be read: %s", lf->path,
                       str_or(archive_error_string(a), "damaged"));
}

/* Where the bytes of the entry are: the reader gives pointers into the mapping. */
static int locate(LayoutFiles *lf, struct archive *a, const char *base, TarItem *item, Err *err)
{
        const void *p;
        size_t n;
        la_int64_t offset;

        if (item->size == 0)
                return 0;
        int status = archive_read_data_block(a, &p, &n, &offset);
        uintptr_t at = (uintptr_t)p, start = (uintptr_t)base;
        if (status != ARCHIVE_OK || offset != 0 || n != item->size || at < start ||
            at - start > lf->tar_size || n > lf->tar_size - (at - start))
                return err_set(err, ERR_CORRUPT, "%s: a file in it is truncated or sparse",
                               lf->path);
        item->offset = at - start;
        return 0;
}

/* A link's target relative to the folder of name; NULL when it leads out. */
static char *link_target(const char *name, const char *target)
{
        const char *slash = strrchr(name, '/');
        _cleanup_free_ char *text =
                xasprintf("/%.*s/%s", slash ? (int)(slash - name) : 0, name, target);

        if (target[0] == '/')
                return NULL;
        _cleanup_free_ char *whole = path_normalize(text);
        return xstrdup(whole + 1);
}

static int index_entry(LayoutFiles *lf, struct archive *a, struct archive_entry *ae,
                       const char *base, Err *err)
{
        _cleanup_strbuf_ StrBuf name = {};
        const char *raw = archive_entry_pathname(ae), *target = archive_entry_hardlink(ae);
        bool is_file = archive_entry_filetype(ae) == S_IFREG && !target;

        if (!raw || (!is_file && archive_entry_filetype(ae) != S_IFLNK && !target))
                return 0;
        int r = entry_path_clean(raw, &name, err);
        if (r < 0)
                return err_wrap(err, r, "%s", lf->path);
        if (map_len(lf->items) >= IMAGE_LAYOUT_ENTRIES)
                return err_set(err, ERR_TOO_LARGE, "%s has more than %d files", lf->path,
                               IMAGE_LAYOUT_ENTRIES);
        TarItem *item = xnew(TarItem);
        TarItem *old = map_set(lf->items, name.data, item);
        if (old)
                free(old->link);
        free(old);
        if (target)
                item->link = link_target("", target);
        else if (!is_file)
                item->link = link_target(name.data, archive_entry_symlink(ae));
        if (!is_file)
                return 0;
        item->size = (uint64_t)archive_entry_size(ae);
        return locate(lf, a, base, item, err);
}

static int index_archive(LayoutFiles *lf, struct archive *a, const char *base, Err *err)
{
        struct archive_entry *ae;

        archive_read_support_format_tar(a);
        if (archive_read_open_memory(a, base, lf->tar_size) != ARCHIVE_OK)
                return tar_failed(lf, a, err);
        for (;;) {
                int status = archive_read_next_header(a, &ae);
                if (status == ARCHIVE_EOF)
                        return 0;
                if (status < ARCHIVE_WARN)
                        return tar_failed(lf, a, err);
                int r = index_entry(lf, a, ae, base, err);
                if (r < 0)
                        return r;
        }
}

int layout_files_index(LayoutFiles *lf, Err *err)
{
        if (!lf->items)
                return 0;
        if (lf->tar_size < 512)
                return err_set(err, ERR_CORRUPT, "%s: too short for a tar archive", lf->path);
        void *p = mmap(NULL, lf->tar_size, PROT_READ, MAP_PRIVATE, lf->fd, 0);
        if (p == MAP_FAILED)
                return err_sys(err, errno, "map %s", lf->path);
        const unsigned char *magic = p;
        int r;
        if ((magic[0] == 0x1f && magic[1] == 0x8b) || memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0) {
                r = err_set(err, ERR_UNSUPPORTED, "%s is compressed; decompress it first",
                            lf->path);
        } else {
                struct archive *a = archive_read_new();
                tare_assert(a);
                r = index_archive(lf, a, p, err);
                archive_read_free(a);
        }
        (void)munmap(p, lf->tar_size);
        return r;
}

static int get_from_tar(LayoutFiles *lf, const char *name, LayoutFile *ret)
{
        for (int i = 0; i < LINKS_MAX && name; i++) {
                const TarItem *item = map_get(lf->items, name);
                if (!item)
                        return -ENOENT;
                if (!item->link) {
                        *ret = (LayoutFile){ -EBADF, item->offset, item->size };
                        return 0;
                }
                name = item->link;
        }
        return -ENOENT;
}

static int get_from_folder(LayoutFiles *lf, const char *name, LayoutFile *ret)
{
        struct stat st;
        _cleanup_close_ int fd = openat(lf->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        *ret = (LayoutFile){ take_fd(fd), 0, (uint64_t)st.st_size };
        return 0;
}

int layout_files_get(LayoutFiles *lf, const char *name, LayoutFile *ret, Err *err)
{
        int r = lf->items ? get_from_tar(lf, name, ret) : get_from_folder(lf, name, ret);

        if (r == -ENOENT)
                return err_set(err, ERR_NOT_FOUND, "%s has no %s", lf->path, name);
        if (r == -EACCES)
                return err_set(err, ERR_DENIED,
                               "%s/%s: not readable for everybody, and the import runs without "
                               "rights; chmod a+r it",
                               lf->path, name);
        return r < 0 ? err_sys(err, -r, "open %s in %s", name, lf->path) : 0;
}

void layout_file_done(LayoutFile *f)
{
        f->fd = fd_close(f->fd);
}

bool layout_files_has(LayoutFiles *lf, const char *name)
{
        LayoutFile f = { .fd = -EBADF };

        bool has = layout_files_get(lf, name, &f, NULL) == 0;
        layout_file_done(&f);
        return has;
}

int layout_file_stream(LayoutFiles *lf, const LayoutFile *f, SourceSink sink, void *data, Err *err)
{
        _cleanup_free_ char *buf = xcalloc(1, READ_SIZE);
        int fd = f->fd >= 0 ? f->fd : lf->fd;

        for (uint64_t done = 0; done < f->size;) {
                uint64_t left = f->size - done;
                size_t want = left < READ_SIZE ? (size_t)left : READ_SIZE;
                ssize_t n = pread(fd, buf, want, (off_t)(f->offset + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_sys(err, errno, "read %s", lf->path);
                if (n == 0)
                        return err_set(err, ERR_CORRUPT, "%s became shorter while it was read",
                                       lf->path);
                int r = sink(data, buf, (size_t)n, err);
                if (r < 0)
                        return r;
                done += (uint64_t)n;
        }
        return 0;
}

static int append(void *data, const void *p, size_t n, Err *err)
{
        strbuf_add(data, p, n);
        return 0;
}

int layout_files_read(LayoutFiles *lf, const char *name, size_t limit, StrBuf *ret, Err *err)
{
        LayoutFile f = { .fd = -EBADF };

        int r = layout_files_get(lf, name, &f, err);
        if (r == 0 && f.size > limit)
                r = err_set(err, ERR_TOO_LARGE, "%s in %s is larger than %zu bytes", name, lf->path,
                            limit);
        if (r == 0)
                r = layout_file_stream(lf, &f, append, ret, err);
        layout_file_done(&f);
        return r;
}

typedef struct Verify {
        Digest *digest;
        SourceSink sink;
        void *data;
} Verify;

static int verify_some(void *data, const void *p, size_t n, Err *err)
{
        Verify *v = data;

        digest_add(v->digest, p, n);
        return v->sink ? v->sink(v->data, p, n, err) : 0;
}

int layout_files_verify(LayoutFiles *lf, const char *name, const ImageDescriptor *desc,
                        SourceSink sink, void *data, Err *err)
{
        LayoutFile f = { .fd = -EBADF };
        char got[DIGEST_TEXT_SIZE];

        int r = layout_files_get(lf, name, &f, err);
        if (r < 0)
                return r;
        Verify v = { .digest = digest_new(), .sink = sink, .data = data };
        r = layout_file_stream(lf, &f, verify_some, &v, err);
        digest_finish(v.digest, got);
        uint64_t size = f.size;
        layout_file_done(&f);
        if (r < 0)
                return r;
        if (!str_eq(got, desc->digest))
                return err_set(err, ERR_CORRUPT,
                               "%s/%s: expected %s (%llu bytes), its bytes are %s (%llu bytes)",
                               lf->path, name, desc->digest, (unsigned long long)desc->size, got,
                               (unsigned long long)size);
        if (size != desc->size)
                return err_set(err, ERR_CORRUPT, "%s/%s: expected %llu bytes, it has %llu",
                               lf->path, name, (unsigned long long)desc->size,
                               (unsigned long long)size);
        return 0;
}
