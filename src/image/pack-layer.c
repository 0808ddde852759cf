/* SPDX-License-Identifier: Apache-2.0 */
/* pack-layer.c - see pack-layer.h. Entries in the order of their names; owner 0:0 unless the layer
 * says "keep_owners"; one time for all. Runs with the rights of whoever packs, on files of theirs.
 */
#include "image/pack-layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/map.h"
#include "base/path.h"
#include "image/entry.h"
#include "image/gzip-write.h"
#include "image/inflate.h"
#include "image/limits.h"

#define COPY_SIZE ((size_t)256 << 10)

typedef struct Packer {
        GzipWriter *gz;
        struct archive *a;
        Err write_err;
        int64_t mtime;
        bool keep_owners;
        Map *made;  /* folders that have an entry */
        Map *links; /* "dev:ino" -> char *, the first name */
        char *buf;
} Packer;

static la_ssize_t write_out(struct archive *a, void *data, const void *p, size_t n)
{
        Packer *k = data;

        int r = gzip_writer_add(k->gz, p, n, &k->write_err);
        if (r < 0)
                archive_set_error(a, -r, "%s", k->write_err.msg);
        return r < 0 ? -1 : (la_ssize_t)n;
}

static int failed(Packer *k, const char *path, Err *err)
{
        if (k->write_err.kind != ERR_NONE)
                return err_copy(err, &k->write_err);
        return err_set(err, ERR_INTERNAL, "pack '%s': %s", path,
                       str_or(archive_error_string(k->a), "cannot be written"));
}

static void start_entry(Packer *k, struct archive_entry *ae, const char *path, mode_t mode)
{
        archive_entry_copy_pathname(ae, path);
        archive_entry_set_mode(ae, mode);
        archive_entry_set_uid(ae, 0);
        archive_entry_set_gid(ae, 0);
        archive_entry_set_mtime(ae, k->mtime, 0);
        archive_entry_set_size(ae, 0);
}

static int put_header(Packer *k, struct archive_entry *ae, const char *path, Err *err)
{
        return archive_write_header(k->a, ae) < ARCHIVE_WARN ? failed(k, path, err) : 0;
}

static int put_data(Packer *k, const void *p, size_t n, const char *path, Err *err)
{
        return archive_write_data(k->a, p, n) < 0 ? failed(k, path, err) : 0;
}

static int put_content(Packer *k, int fd, uint64_t size, const char *path, Err *err)
{
        for (uint64_t left = size; left > 0;) {
                ssize_t n = io_read_full(fd, k->buf, left < COPY_SIZE ? (size_t)left : COPY_SIZE);
                if (n < 0)
                        return err_sys(err, (int)-n, "pack '%s': read", path);
                if (n == 0)
                        return err_set(err, ERR_BUSY, "pack '%s': became shorter meanwhile", path);
                int r = put_data(k, k->buf, (size_t)n, path, err);
                if (r < 0)
                        return r;
                left -= (uint64_t)n;
        }
        return 0;
}

/* Those attributes that an unpacker would take. */
static void add_xattrs(struct archive_entry *ae, int fd)
{
        _cleanup_free_ char *names = xcalloc(1, IMAGE_XATTR_VALUE_MAX);
        _cleanup_free_ char *value = xcalloc(1, IMAGE_XATTR_VALUE_MAX);
        ssize_t n = flistxattr(fd, names, IMAGE_XATTR_VALUE_MAX);

        for (const char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
                ssize_t size = entry_xattr_is_taken(p)
                                       ? fgetxattr(fd, p, value, IMAGE_XATTR_VALUE_MAX)
                                       : -1;
                if (size >= 0)
                        archive_entry_xattr_add_entry(ae, p, value, (size_t)size);
        }
}

/* A folder entry once; the folders above it first. */
static int put_folders(Packer *k, const char *path, Err *err)
{
        for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
                _cleanup_free_ char *dir = xstrndup(path, (size_t)(p - path));
                if (map_get(k->made, dir))
                        continue;
                struct archive_entry *ae = archive_entry_new();
                start_entry(k, ae, dir, S_IFDIR | 0755);
                int r = put_header(k, ae, dir, err);
                archive_entry_free(ae);
                if (r < 0)
                        return r;
                map_set(k->made, dir, k);
        }
        return 0;
}

/* True when a link to an earlier name is enough. */
static bool set_hardlink(Packer *k, struct archive_entry *ae, const char *path,
                         const struct stat *st)
{
        if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
                return false;
        _cleanup_free_ char *key = xasprintf("%llx:%llx", (unsigned long long)st->st_dev,
                                             (unsigned long long)st->st_ino);
        const char *first = map_get(k->links, key);
        if (first)
                archive_entry_copy_hardlink(ae, first);
        else
                free(map_set(k->links, key, xstrdup(path)));
        return first != NULL;
}

/* One thing of a folder, as it is there. */
static int put_file(Packer *k, int dir_fd, const char *name, const char *path,
                    const struct stat *st, Err *err)
{
        char target[IMAGE_LINK_MAX + 1];
        struct archive_entry *ae = archive_entry_new();
        _cleanup_close_ int fd = -EBADF;
        int r = 0;

        start_entry(k, ae, path, st->st_mode);
        if (k->keep_owners) {
                archive_entry_set_uid(ae, st->st_uid);
                archive_entry_set_gid(ae, st->st_gid);
        }
        bool linked = set_hardlink(k, ae, path, st);
        if (S_ISLNK(st->st_mode)) {
                ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);
                if (n < 0)
                        r = err_sys(err, errno, "pack '%s': read the link", path);
                target[n < 0 ? 0 : n] = 0;
                archive_entry_copy_symlink(ae, target);
        } else if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) {
                fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
                if (fd < 0)
                        r = err_sys(err, errno, "pack '%s': open", path);
                else if (!linked)
                        add_xattrs(ae, fd);
        } else if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
                archive_entry_set_rdev(ae, st->st_rdev);
        } else if (!S_ISFIFO(st->st_mode)) {
                archive_entry_free(ae);
                return 0; /* a socket: nothing that an image could hold */
        }
        bool content = r == 0 && S_ISREG(st->st_mode) && !linked;
        if (content)
                archive_entry_set_size(ae, st->st_size);
        if (r == 0)
                r = put_header(k, ae, path, err);
        archive_entry_free(ae);
        return r == 0 && content ? put_content(k, fd, (uint64_t)st->st_size, path, err) : r;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int put_tree(Packer *k, int dir_fd, const char *prefix, unsigned depth, Err *err);

static int put_dirent(Packer *k, int dir_fd, const char *name, const char *prefix, unsigned depth,
                      Err *err)
{
        struct stat st;
        _cleanup_free_ char *path = *prefix ? path_join(prefix, name) : xstrdup(name);

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "pack '%s': look", path);
        int r = put_file(k, dir_fd, name, path, &st, err);
        if (r < 0 || !S_ISDIR(st.st_mode))
                return r;
        map_set(k->made, path, k);
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return err_sys(err, errno, "pack '%s': open", path);
        return put_tree(k, fd, path, depth + 1, err);
}

static int put_tree(Packer *k, int dir_fd, const char *prefix, unsigned depth, Err *err)
{
        struct dirent **names = NULL;
        int r = 0;

        if (depth > IMAGE_DEPTH_MAX)
                return err_set(err, ERR_TOO_LARGE, "pack '%.100s...': more than %d folders deep",
                               prefix, IMAGE_DEPTH_MAX);
        int n = scandirat(dir_fd, ".", &names, NULL, by_name);
        if (n < 0)
                return err_sys(err, errno, "pack '%s': list", prefix);
        for (int i = 0; i < n; i++) {
                const char *name = names[i]->d_name;
                if (r == 0 && !str_eq(name, ".") && !str_eq(name, ".."))
                        r = put_dirent(k, dir_fd, name, prefix, depth, err);
                free(names[i]);
        }
        free(names);
        return r;
}

static int pack_dir(Packer *k, Json *item, const char *path, Err *err)
{
        _cleanup_free_ char *prefix = NULL;
        _cleanup_strbuf_ StrBuf clean = {};

        int r = json_get_str(item, "prefix", "", &prefix, err);
        if (r > 0)
                r = entry_path_clean(prefix, &clean, err);
        if (r < 0)
                return r;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return err_sys(err, errno, "pack %s: open", path);
        if (clean.len > 0) {
                _cleanup_free_ char *inside = xasprintf("%s/", clean.data);
                r = put_folders(k, inside, err);
        }
        return r < 0 ? r : put_tree(k, fd, clean.data ? clean.data : "", 0, err);
}

/* {"path","source"|"text"|"link"|"directory","mode"?} */
typedef struct FileItem {
        char *path, *source, *text, *link, *mode;
        bool directory;
} FileItem;

static int put_source(Packer *k, struct archive_entry *ae, const FileItem *f, const char *path,
                      Err *err)
{
        struct stat st;
        _cleanup_close_ int fd = open(f->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0 || fstat(fd, &st) < 0)
                return err_sys(err, errno, "pack %s: open", f->source);
        if (!S_ISREG(st.st_mode))
                return err_set(err, ERR_INVALID, "pack %s: not a file", f->source);
        if (!f->mode)
                archive_entry_set_mode(ae, S_IFREG | (st.st_mode & 0777));
        archive_entry_set_size(ae, st.st_size);
        int r = put_header(k, ae, path, err);
        return r < 0 ? r : put_content(k, fd, (uint64_t)st.st_size, path, err);
}

static int parse_mode(const FileItem *f, mode_t *ret, Err *err)
{
        char *end = NULL;

        if (!f->mode)
                return 0;
        errno = 0;
        unsigned long v = strtoul(f->mode, &end, 8);
        if (errno || !*f->mode || *end || v > 07777)
                return err_set(err, ERR_INVALID, "mode '%s': expected octal digits, as \"0755\"",
                               f->mode);
        *ret = (mode_t)v;
        return 0;
}

static int put_item(Packer *k, const FileItem *f, const char *path, Err *err)
{
        mode_t mode = f->directory ? 0755 : 0644;
        struct archive_entry *ae;

        int r = parse_mode(f, &mode, err);
        if (r == 0)
                r = put_folders(k, path, err);
        if (r < 0)
                return r;
        ae = archive_entry_new();
        start_entry(k, ae, path, (f->directory ? S_IFDIR : f->link ? S_IFLNK : S_IFREG) | mode);
        if (f->link)
                archive_entry_copy_symlink(ae, f->link);
        if (f->text)
                archive_entry_set_size(ae, (la_int64_t)strlen(f->text));
        if (f->source)
                r = put_source(k, ae, f, path, err);
        else
                r = put_header(k, ae, path, err);
        if (r == 0 && f->text)
                r = put_data(k, f->text, strlen(f->text), path, err);
        if (r == 0 && f->directory)
                map_set(k->made, path, k);
        archive_entry_free(ae);
        return r;
}

static int pack_file(Packer *k, Json *item, Err *err)
{
        FileItem f = {};
        _cleanup_strbuf_ StrBuf path = {};
        char **const texts[] = { &f.path, &f.source, &f.text, &f.link, &f.mode };
        static const char *const names[] = { "path", "source", "text", "link", "mode" };
        int r = 0;

        if (!json_object_is_type(item, json_type_object))
                return err_set(err, ERR_INVALID, "files: expected objects");
        for (size_t i = 0; i < array_len(names) && r >= 0; i++)
                r = json_get_str(item, names[i], "files", texts[i], err);
        if (r >= 0)
                r = json_get_bool(item, "directory", "files", &f.directory, err);
        if (r >= 0)
                r = entry_path_clean(f.path ? f.path : "", &path, err);
        if (r >= 0 && (path.len == 0 || !!f.source + !!f.text + !!f.link + f.directory != 1))
                r = err_set(err, ERR_INVALID,
                            "files: '%s' needs one of source, text, link, directory",
                            str_or(f.path, ""));
        if (r >= 0)
                r = put_item(k, &f, path.data, err);
        for (size_t i = 0; i < array_len(texts); i++)
                free(*texts[i]);
        return r;
}

static int pack_files(Packer *k, Json *files, Err *err)
{
        size_t n = json_object_array_length(files);

        for (size_t i = 0; i < n; i++) {
                int r = pack_file(k, json_object_array_get_idx(files, i), err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* An archive goes in as it is, however it is compressed. */
static int pack_tar(Packer *k, const char *path, Err *err)
{
        _cleanup_(inflater_freep) Inflater *inflater = inflater_new();
        _cleanup_free_ char *out = xcalloc(1, COPY_SIZE);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        size_t made;

        if (fd < 0)
                return err_sys(err, errno, "pack %s: open", path);
        for (;;) {
                ssize_t n = io_read_full(fd, k->buf, COPY_SIZE);
                if (n < 0)
                        return err_sys(err, (int)-n, "pack %s: read", path);
                InflateInput in = { k->buf, (size_t)n };
                do {
                        int r = n > 0 ? inflater_run(inflater, &in, out, COPY_SIZE, &made, err)
                                      : inflater_finish(inflater, out, COPY_SIZE, &made, err);
                        if (r == 0)
                                r = gzip_writer_add(k->gz, out, made, err);
                        if (r < 0)
                                return err_wrap(err, r, "pack %s", path);
                } while (made == COPY_SIZE || in.left > 0 || (n == 0 && made > 0));
                if (n == 0)
                        return 0;
        }
}

static int pack_entries(Packer *k, Json *item, const char *dir, Json *files, Err *err)
{
        k->a = archive_write_new();
        tare_assert(k->a);
        archive_write_set_format_pax_restricted(k->a);
        archive_write_set_bytes_per_block(k->a, COPY_SIZE);
        archive_write_set_bytes_in_last_block(k->a, 1);
        int r = archive_write_open(k->a, k, NULL, write_out, NULL) == ARCHIVE_OK
                        ? 0
                        : failed(k, "", err);
        if (r == 0)
                r = dir ? pack_dir(k, item, dir, err) : pack_files(k, files, err);
        if (r == 0 && archive_write_close(k->a) != ARCHIVE_OK)
                r = failed(k, "", err);
        archive_write_free(k->a);
        return r;
}

static int write_layer(Packer *k, Json *item, Err *err)
{
        _cleanup_free_ char *dir = NULL, *tar = NULL;
        Json *files = NULL;

        if (!json_object_is_type(item, json_type_object))
                return err_set(err, ERR_INVALID, "layers: expected objects");
        int r = json_get_str(item, "dir", "layers", &dir, err);
        if (r >= 0)
                r = json_get_str(item, "tar", "layers", &tar, err);
        if (r >= 0)
                r = json_get_array(item, "files", "layers", &files, err);
        if (r >= 0)
                r = json_get_bool(item, "keep_owners", "layers", &k->keep_owners, err);
        if (r < 0)
                return r;
        if (!!dir + !!tar + !!files != 1)
                return err_set(err, ERR_INVALID, "layers: each needs one of dir, tar, files");
        return tar ? pack_tar(k, tar, err) : pack_entries(k, item, dir, files, err);
}

static void packer_done(Packer *k)
{
        size_t i = 0;
        const char *key;
        void *name;

        while (map_next(k->links, &i, &key, &name))
                free(name);
        map_free(k->links);
        map_free(k->made);
        gzip_writer_free(k->gz);
        free(k->buf);
}

int pack_layer(int blobs_fd, Json *item, int64_t mtime, PackedLayer *ret, Err *err)
{
        _cleanup_close_ int fd =
                openat(blobs_fd, ".layer", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        if (fd < 0)
                return err_sys(err, errno, "create a layer");
        Packer k = {
                .gz = gzip_writer_new(fd),
                .mtime = mtime,
                .made = map_new(),
                .links = map_new(),
                .buf = xcalloc(1, COPY_SIZE),
        };
        int r = write_layer(&k, item, err);
        if (r == 0)
                r = gzip_writer_finish(k.gz, ret->digest, ret->diff_id, &ret->size, err);
        packer_done(&k);
        if (r == 0 && renameat(blobs_fd, ".layer", blobs_fd, digest_hex(ret->digest)) < 0)
                r = err_sys(err, errno, "name a layer");
        return r;
}
