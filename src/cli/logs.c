/* SPDX-License-Identifier: Apache-2.0 */
/* logs.c - tare logs: the content of a container's log file (log-reader.h).
 *
 * The file is read here, not asked from the daemon; the daemon tells where it is. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "cli/cli-internal.h"
#include "cli/log-reader.h"

#define READ_BYTES  65536
#define FOLLOW_NS   (100 * NS_PER_MS) /* between looks at the file */
#define STATE_EVERY 5                 /* looks between questions to the daemon */

typedef struct Log {
        const char *path;
        LogReader reader;
        FILE *last; /* written to last */
} Log;

static void print(void *data, bool is_stderr, const char *p, size_t n)
{
        Log *l = data;
        FILE *f = is_stderr ? stderr : stdout;

        if (l->last && l->last != f)
                fflush(l->last); /* keeps the order where both are one terminal */
        l->last = f;
        fwrite(p, 1, n, f);
}

/* To the present end of the file. */
static int take_file(Log *l, int fd, Err *err)
{
        _cleanup_free_ char *buf = xcalloc(1, READ_BYTES);
        ssize_t n;

        while ((n = io_read_full(fd, buf, READ_BYTES)) > 0)
                log_reader_feed(&l->reader, buf, (size_t)n);
        if (n < 0)
                return err_sys(err, (int)-n, "read log '%s'", l->path);
        if (l->reader.emit && (fflush(stdout) != 0 || ferror(stdout)))
                return err_sys(err, errno, "write to stdout");
        return 0;
}

/* How many lines come before the last `tail`. */
static int count_lines(const Log *of, int fd, int64_t tail, uint64_t *ret_skip, Err *err)
{
        Log l = { .path = of->path };
        int r = take_file(&l, fd, err);
        uint64_t lines = l.reader.lines;

        *ret_skip = lines > (uint64_t)tail ? lines - (uint64_t)tail : 0;
        if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
                r = err_sys(err, errno, "rewind log '%s'", of->path);
        return r;
}

/* The log was renamed (rotation) when another file has its name now. */
static bool is_rotated(const char *path, int fd)
{
        struct stat a, b;

        return stat(path, &a) == 0 && fstat(fd, &b) == 0 &&
               (a.st_ino != b.st_ino || a.st_dev != b.st_dev);
}

static int is_running(Cli *cli, const char *id, bool *ret, Err *err)
{
        _cleanup_message_ Runtime__V1__ContainerStatusResponse *s = NULL;
        Err why = {};
        int r = cli_container_status(cli, id, false, &s, &why);

        *ret = r == 0 && (s->status->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING ||
                          s->status->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED);
        return r == 0 || why.kind == ERR_NOT_FOUND ? 0 : err_copy(err, &why);
}

static int open_log(const char *path, Err *err)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        return fd < 0 ? err_sys(err, errno, "log '%s'", path) : fd;
}

/* What was written before the state was asked is printed before its end is believed. */
static int follow(Cli *cli, Log *l, const char *id, int *fd, Err *err)
{
        const struct timespec pause = { .tv_nsec = FOLLOW_NS };
        bool running = true;
        int r = 0;

        for (unsigned looks = 0; r == 0; looks++) {
                if (looks % STATE_EVERY == 0)
                        r = is_running(cli, id, &running, err);
                if (r == 0)
                        r = take_file(l, *fd, err);
                if (r == 0 && is_rotated(l->path, *fd)) {
                        r = take_file(l, *fd, err); /* between our read and the renaming */
                        fd_close(*fd);
                        *fd = r == 0 ? open_log(l->path, err) : -EBADF;
                        r = r == 0 && *fd < 0 ? *fd : r;
                        continue;
                }
                if (!running)
                        break;
                nanosleep(&pause, NULL);
        }
        return r;
}

int cmd_logs(Cli *cli, char **args, Err *err)
{
        _cleanup_message_ Runtime__V1__ContainerStatusResponse *s = NULL;
        _cleanup_free_ char *id = NULL;
        _cleanup_close_ int fd = -EBADF;
        Log l = { .reader = { .emit = print, .data = &l, .timestamps = cli->opt.timestamps } };
        int r = cli_find_container(cli, args[0], &id, err);

        if (r == 0)
                r = cli_container_status(cli, id, false, &s, err);
        if (r < 0)
                return r;
        l.path = s->status->log_path;
        if (str_empty(l.path))
                return err_set(err, ERR_PRECONDITION,
                               "container '%s' has no log: its pod names no log_directory, or it "
                               "names no log_path",
                               args[0]);
        fd = open_log(l.path, err);
        if (fd < 0)
                return fd;
        if (cli->opt.tail >= 0)
                r = count_lines(&l, fd, cli->opt.tail, &l.reader.skip, err);
        if (r == 0)
                r = cli->opt.follow ? follow(cli, &l, id, &fd, err) : take_file(&l, fd, err);
        return r;
}
