/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint-archive.c - see checkpoint.h. Runs in jobs, as root.
 *
 * The upper folder of the overlay was shaped by the container: it is walked by descriptors that
 * follow no link, and tar is told each name, as they are, one by one. A whiteout is a deleted file;
 * those go to deleted.files, as does each name of a folder's old content only where the overlay
 * says so by name: what an opaque folder hides is not listed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "shim/checkpoint.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#define DEPTH_MAX   250                 /* of folders: each is open while it is walked */
#define NAMES_MAX   ((size_t)256 << 20) /* bytes of the list of names */
#define SAID_MAX    ((size_t)4096)      /* of what tar says of an error */
#define ENVIRONMENT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define OPEN_DIR    (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* --- tar --- */

static int find_tar(const char **ret, Err *err)
{
        static const char *const places[] = { "/usr/bin/tar", "/bin/tar", "/usr/local/bin/tar" };

        for (size_t i = 0; i < array_len(places); i++)
                if (access(places[i], X_OK) == 0) {
                        *ret = places[i];
                        return 0;
                }
        return err_set(err, ERR_UNSUPPORTED,
                       "a checkpoint's archive is written by tar, which is not installed");
}

static int run_tar(char *const *argv, Err *err)
{
        const char *path = NULL;
        char *env[] = { (char *)ENVIRONMENT, (char *)"LC_ALL=C", NULL };
        _cleanup_strbuf_ StrBuf said = {};
        _cleanup_close_ int pidfd = -EBADF;
        Spawn opt = SPAWN_INIT;
        int fds[2], status = 0;

        int r = find_tar(&path, err);
        if (r < 0)
                return r;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        opt.path = path;
        opt.argv = argv;
        opt.envp = env;
        opt.stdio[2] = fds[1];
        opt.death_signal = SIGKILL;
        r = spawn_program(&opt, NULL, &pidfd);
        close(fds[1]);
        _cleanup_close_ int from = fds[0];
        if (r < 0)
                return err_sys(err, -r, "run '%s'", path);
        (void)io_read_all(from, &said, SAID_MAX);
        while (said.len >= SAID_MAX && read(from, said.data, SAID_MAX) > 0)
                ; /* that it is not stuck on a full pipe */
        r = pidfd_reap(pidfd, true, &status);
        if (r < 0)
                return err_sys(err, -r, "wait for '%s'", path);
        if (status == 0)
                return 0;
        const char *text = said.len ? said.data : "it says nothing";
        return err_set(err, ERR_INTERNAL, "tar failed: %.*s", (int)strcspn(text, "\n"), text);
}

/* --- what has changed --- */

typedef struct Diff {
        StrBuf names; /* each with its NUL */
        Json *deleted;
} Diff;

static int walk(Diff *d, int dir, const char *path, unsigned depth, Err *err);

static bool is_whiteout(const struct stat *st)
{
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static int add_entry(Diff *d, int dir, const char *path, const char *name, unsigned depth, Err *err)
{
        _cleanup_free_ char *own = str_empty(path) ? xstrdup(name) : path_join(path, name);
        struct stat st;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return err_sys(err, errno, "look at '%s' of the container's root", own);
        if (is_whiteout(&st)) {
                _cleanup_free_ char *absolute = xasprintf("/%s", own);
                json_object_array_add(d->deleted, json_object_new_string(absolute));
                return 0;
        }
        if (S_ISSOCK(st.st_mode)) /* tar has none, and nobody listens to it */
                return 0;
        if (d->names.len > NAMES_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "the names of what the container has changed are over the limit of "
                               "%zu bytes",
                               NAMES_MAX);
        strbuf_add(&d->names, own, strlen(own) + 1);
        if (!S_ISDIR(st.st_mode))
                return 0;
        _cleanup_close_ int below = openat(dir, name, OPEN_DIR);
        if (below < 0)
                return err_sys(err, errno, "open '%s' of the container's root", own);
        return walk(d, below, own, depth + 1, err);
}

static int walk(Diff *d, int dir, const char *path, unsigned depth, Err *err)
{
        struct dirent *e;
        int r = 0;

        if (depth > DEPTH_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "folders of the container's root are nested deeper than %d",
                               DEPTH_MAX);
        int fd = io_dup(dir);
        _cleanup_closedir_ DIR *all = fd < 0 ? NULL : fdopendir(fd);
        if (!all) {
                fd_close(fd);
                return err_sys(err, errno, "read folder '/%s' of the container's root", path);
        }
        while (r >= 0 && (e = readdir(all)))
                if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
                        r = add_entry(d, dir, path, e->d_name, depth, err);
        return r;
}

static int pack_diff(const char *folder, const char *upper, const char *list, Err *err)
{
        _cleanup_free_ char *target = path_join(folder, "rootfs-diff.tar");
        char *argv[] = { (char *)"tar",
                         (char *)"--create",
                         (char *)"--file",
                         target,
                         (char *)"--directory",
                         (char *)upper,
                         (char *)"--numeric-owner",
                         (char *)"--sparse",
                         (char *)"--xattrs",
                         (char *)"--xattrs-include=security.capability",
                         (char *)"--no-recursion",
                         (char *)"--null",
                         (char *)"--verbatim-files-from",
                         (char *)"--files-from",
                         (char *)list,
                         NULL };

        return run_tar(argv, err);
}

int checkpoint_write_diff(const char *folder, const char *upper, Err *err)
{
        _cleanup_free_ char *list = path_join(folder, "names");
        _cleanup_free_ char *deleted = path_join(folder, "deleted.files");
        _cleanup_json_ Json *gone = json_object_new_array();
        Diff d = { .deleted = gone };

        if (str_empty(upper))
                return 0;
        _cleanup_close_ int dir = open(upper, OPEN_DIR);
        if (dir < 0 && errno == ENOENT) /* a root that cannot be written to */
                return 0;
        if (dir < 0)
                return err_sys(err, errno, "open '%s'", upper);
        int r = walk(&d, dir, "", 0, err);
        if (r >= 0) {
                r = io_replace_file(AT_FDCWD, list, d.names.data ? d.names.data : "", d.names.len,
                                    0600, false);
                if (r < 0)
                        (void)err_sys(err, -r, "write '%s'", list);
        }
        strbuf_done(&d.names);
        if (r >= 0)
                r = pack_diff(folder, upper, list, err);
        (void)unlink(list);
        if (r >= 0 && json_object_array_length(gone) > 0)
                r = json_write_file(AT_FDCWD, deleted, gone, 0600, false, err);
        return r;
}

/* --- the rest --- */

int checkpoint_copy_file(const char *folder, const char *name, const char *path, Err *err)
{
        _cleanup_free_ char *target = path_join(folder, name);
        _cleanup_close_ int from = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        char chunk[65536];
        struct stat st;
        ssize_t n;

        if (from < 0 && errno == ENOENT)
                return 0;
        if (from < 0 || fstat(from, &st) < 0)
                return err_sys(err, errno, "open '%s'", path);
        if (!S_ISREG(st.st_mode))
                return err_set(err, ERR_INVALID, "'%s' is not a regular file", path);
        _cleanup_close_ int to = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (to < 0)
                return err_sys(err, errno, "make '%s'", target);
        /* no more than there was: it may be written to */
        for (off_t left = st.st_size; left > 0; left -= n) {
                n = read(from, chunk, sizeof(chunk) < (size_t)left ? sizeof(chunk) : (size_t)left);
                if (n < 0)
                        return err_sys(err, errno, "read '%s'", path);
                if (n == 0)
                        break;
                int r = io_write_full(to, chunk, (size_t)n);
                if (r < 0)
                        return err_sys(err, -r, "write '%s'", target);
        }
        return 0;
}

static int sync_file(const char *path, Err *err)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 || fsync(fd) < 0 ? err_sys(err, errno, "write '%s' to disk", path) : 0;
}

int checkpoint_write_archive(const char *folder, const char *location, Err *err)
{
        _cleanup_free_ char *part = xasprintf("%s.part-%d", location, getpid());
        char *argv[] = { (char *)"tar",
                         (char *)"--create",
                         (char *)"--file",
                         part,
                         (char *)"--numeric-owner",
                         (char *)"--directory",
                         (char *)folder,
                         (char *)".",
                         NULL };

        int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return err_sys(err, errno, "make '%s'", part);
        close(fd);
        int r = run_tar(argv, err);
        if (r >= 0)
                r = sync_file(part, err);
        if (r >= 0 && rename(part, location) < 0)
                r = err_sys(err, errno, "rename '%s' to '%s'", part, location);
        if (r < 0)
                (void)unlink(part);
        return r;
}
