/* SPDX-License-Identifier: Apache-2.0 */
/* content.c - blobs by digest and the folders around them. See content.h.
 *
 * Runs in tared. Everything is a rename, an fsync of a folder, or the read of one small file. A
 * blob that is in blobs/sha256 was whole and durable before it got its name there (invariant 4). */
#include "content/content.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/io.h"
#include "base/path.h"
#include "content/digest.h"

struct Content {
        char *root;       /* normalised, absolute */
        char *ingest_dir; /* <root>/content/ingest */
        char *trash_dir;
        int blobs_fd, ingest_fd, trash_fd;
};

static const char *const protected_dirs[] = {
        "content",       "content/blobs", "content/blobs/sha256", "content/ingest",
        "content/trash", "layers",        "containers",
};

static int open_folder(const char *root, const char *name, char **ret_path, int *ret_fd, Err *err)
{
        _cleanup_free_ char *path = path_join(root, name);

        int r = io_mkdir_p(path, 0700);
        if (r < 0)
                return err_sys(err, -r, "content: make folder %s", path);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return err_sys(err, errno, "content: open folder %s", path);
        *ret_fd = fd;
        if (ret_path)
                *ret_path = take_ptr(path);
        return 0;
}

int content_open(const char *root, Content **ret, Err *err)
{
        if (!path_is_absolute(root))
                return err_set(err, ERR_INVALID, "content: root %s: not an absolute path", root);
        Content *c = xnew(Content);
        c->root = path_normalize(root);
        c->blobs_fd = c->ingest_fd = c->trash_fd = -EBADF;
        int r = open_folder(c->root, "content/blobs/sha256", NULL, &c->blobs_fd, err);
        if (r == 0)
                r = open_folder(c->root, "content/ingest", &c->ingest_dir, &c->ingest_fd, err);
        if (r == 0)
                r = open_folder(c->root, "content/trash", &c->trash_dir, &c->trash_fd, err);
        if (r < 0) {
                content_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

void content_free(Content *c)
{
        if (!c)
                return;
        c->blobs_fd = fd_close(c->blobs_fd);
        c->ingest_fd = fd_close(c->ingest_fd);
        c->trash_fd = fd_close(c->trash_fd);
        free(c->root);
        free(c->ingest_dir);
        free(c->trash_dir);
        free(c);
}

int content_ingest_new(Content *c, const char *name, char **ret_path, Err *err)
{
        if (!path_is_component(name))
                return err_set(err, ERR_INVALID, "content: ingest '%s': not a file name", name);
        if (mkdirat(c->ingest_fd, name, 0700) < 0)
                return err_sys(err, errno, "content: make ingest %s/%s", c->ingest_dir, name);
        *ret_path = path_join(c->ingest_dir, name);
        return 0;
}

static int check_digest(const char *digest, const char **ret_hex, Err *err)
{
        *ret_hex = digest_hex(digest);
        if (!*ret_hex)
                return err_set(err, ERR_INVALID, "content: '%s' is not a sha256 digest", digest);
        return 0;
}

/* The bytes of dirfd/name, whose digest must be `digest`. */
static int read_verified(int dirfd, const char *name, const char *digest, StrBuf *b, Err *err)
{
        char got[DIGEST_TEXT_SIZE];

        int r = io_read_file(dirfd, name, CONTENT_BLOB_MAX, b);
        if (r == -ENOENT)
                return err_set(err, ERR_NOT_FOUND, "content: no blob %s", digest);
        if (r == -E2BIG)
                return err_set(err, ERR_TOO_LARGE, "content: blob %s is larger than %zu bytes",
                               digest, CONTENT_BLOB_MAX);
        if (r < 0)
                return err_sys(err, -r, "content: read blob %s", digest);
        digest_of(b->data, b->len, got);
        if (!str_eq(got, digest))
                return err_set(err, ERR_CORRUPT,
                               "content: blob %s is damaged: its bytes are %s; pull it again",
                               digest, got);
        return 0;
}

int content_commit_blob(Content *c, const char *ingest, const char *digest, Err *err)
{
        const char *hex;
        _cleanup_strbuf_ StrBuf bytes = {};

        int r = check_digest(digest, &hex, err);
        if (r < 0)
                return r;
        if (content_has_blob(c, digest))
                return 0;
        if (!path_is_component(ingest))
                return err_set(err, ERR_INVALID, "content: ingest '%s': not a file name", ingest);
        _cleanup_free_ char *from = xasprintf("%s/blobs/%s", ingest, hex);
        r = read_verified(c->ingest_fd, from, digest, &bytes, err);
        if (r < 0)
                return r;
        if (fault_point("content.commit.before"))
                return err_set(err, ERR_INTERNAL, "content: fault at content.commit.before");
        if (renameat(c->ingest_fd, from, c->blobs_fd, hex) < 0)
                return err_sys(err, errno, "content: commit blob %s", digest);
        if (fault_point("content.commit.renamed"))
                return err_set(err, ERR_INTERNAL, "content: fault at content.commit.renamed");
        if (fsync(c->blobs_fd) < 0)
                return err_sys(err, errno, "content: sync folder of blob %s", digest);
        return 0;
}

int content_read_blob(Content *c, const char *digest, StrBuf *ret, Err *err)
{
        const char *hex;

        int r = check_digest(digest, &hex, err);
        if (r < 0)
                return r;
        return read_verified(c->blobs_fd, hex, digest, ret, err);
}

bool content_has_blob(Content *c, const char *digest)
{
        const char *hex = digest_hex(digest);
        struct stat st;

        return hex && fstatat(c->blobs_fd, hex, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               S_ISREG(st.st_mode);
}

int content_remove_blob(Content *c, const char *digest, Err *err)
{
        const char *hex;

        int r = check_digest(digest, &hex, err);
        if (r < 0)
                return r;
        if (unlinkat(c->blobs_fd, hex, 0) < 0)
                return err_sys(err, errno, "content: remove blob %s", digest);
        return 0;
}

/* The root and the folders that hold everybody's things never go to the trash. */
static bool is_protected(const Content *c, const char *path)
{
        if (str_eq(path, c->root) || !path_is_below(path, c->root) ||
            path_is_below(path, c->trash_dir))
                return true;
        for (size_t i = 0; i < array_len(protected_dirs); i++) {
                _cleanup_free_ char *dir = path_join(c->root, protected_dirs[i]);
                if (str_eq(path, dir))
                        return true;
        }
        return false;
}

int content_trash(Content *c, const char *path, char **ret_path, Err *err)
{
        char id[ID_LEN + 1], name[33];
        _cleanup_free_ char *from = path_normalize(path);

        if (!path_is_absolute(path) || is_protected(c, from))
                return err_set(err, ERR_INVALID, "content: %s may not be moved to the trash", path);
        id_new(id);
        snprintf(name, sizeof(name), "%.32s", id);
        if (renameat(AT_FDCWD, from, c->trash_fd, name) < 0)
                return err_sys(err, errno, "content: move %s to the trash", path);
        *ret_path = path_join(c->trash_dir, name);
        return 0;
}

/* The names in a folder; "." and ".." left out. */
static int list_folder(int dirfd, const char *path, char ***ret, Err *err)
{
        _cleanup_strv_ char **names = NULL;
        int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        if (!dir) {
                int saved = errno;
                (void)fd_close(fd);
                return err_sys(err, saved, "content: list %s", path);
        }
        for (;;) {
                errno = 0;
                const struct dirent *e = readdir(dir);
                if (!e && errno)
                        return err_sys(err, errno, "content: list %s", path);
                if (!e)
                        break;
                if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
                        strv_push(&names, e->d_name);
        }
        *ret = take_ptr(names);
        return 0;
}

int content_recover(Content *c, char ***ret_trash, Err *err)
{
        _cleanup_strv_ char **left = NULL, **trash = NULL, **paths = NULL;

        int r = list_folder(c->ingest_fd, c->ingest_dir, &left, err);
        if (r < 0)
                return r;
        for (size_t i = 0; left && left[i]; i++) {
                _cleanup_free_ char *path = path_join(c->ingest_dir, left[i]);
                _cleanup_free_ char *moved = NULL;
                r = content_trash(c, path, &moved, err);
                if (r < 0)
                        return r;
        }
        r = list_folder(c->trash_fd, c->trash_dir, &trash, err);
        if (r < 0)
                return r;
        for (size_t i = 0; trash && trash[i]; i++)
                strv_push_take(&paths, path_join(c->trash_dir, trash[i]));
        *ret_trash = take_ptr(paths);
        return 0;
}

int content_list_blobs(Content *c, char ***ret_digests, Err *err)
{
        _cleanup_strv_ char **names = NULL;

        int r = list_folder(c->blobs_fd, "blobs/sha256", &names, err);
        for (size_t i = 0; r >= 0 && names && names[i]; i++) {
                _cleanup_free_ char *digest = xasprintf("sha256:%s", names[i]);
                if (digest_hex(digest))
                        strv_push_take(ret_digests, take_ptr(digest));
        }
        return r;
}

int content_check(Content *c, char ***ret_problems, Err *err)
{
        _cleanup_strv_ char **names = NULL;

        int r = list_folder(c->blobs_fd, "blobs/sha256", &names, err);
        if (r < 0)
                return r;
        for (size_t i = 0; names && names[i]; i++) {
                _cleanup_free_ char *digest = xasprintf("sha256:%s", names[i]);
                _cleanup_strbuf_ StrBuf bytes = {};
                Err problem = {};
                if (!digest_hex(digest))
                        strv_push_take(ret_problems,
                                       xasprintf("content: blobs/sha256/%s: not the name of a blob",
                                                 names[i]));
                else if (content_read_blob(c, digest, &bytes, &problem) < 0)
                        strv_push(ret_problems, problem.msg);
        }
        return 0;
}
