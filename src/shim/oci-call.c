/* SPDX-License-Identifier: Apache-2.0 */
/* oci-call.c - see oci-call.h. Runs in jobs and in `tare-shim --undo`; waits for the program. */
#include "shim/oci-call.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "shim/container.h"
#include "shim/tree.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#define LOG_MAX     ((size_t)1 << 20)
#define LOG_CUT     600 /* bytes of a message that are kept */
#define PID_MAX     32
#define CALL_MS     8000  /* three of them within a job's time */
#define START_MS    25000 /* of what starts something */
#define CONSOLE_MS  5000  /* for a master that the program says to have sent */
#define SEARCH_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* --- what went wrong --- */

/* The message of the last record of an error, else of the last record. */
static char *last_message(const char *log)
{
        _cleanup_strv_ char **lines = strv_split(log, "\n");
        char *found = NULL;
        bool is_error = false;

        for (size_t i = 0; lines && lines[i]; i++) {
                _cleanup_json_ Json *j = NULL;
                _cleanup_free_ char *level = NULL, *msg = NULL;
                if (json_parse(lines[i], strlen(lines[i]), LOG_MAX, &j, NULL) < 0 ||
                    json_get_str(j, "msg", "", &msg, NULL) <= 0)
                        continue;
                (void)json_get_str(j, "level", "", &level, NULL);
                bool error =
                        str_eq(str_or(level, ""), "error") || str_eq(str_or(level, ""), "fatal");
                if (is_error && !error)
                        continue;
                is_error = error;
                free(found);
                found = take_ptr(msg);
        }
        return found;
}

/* One line of it. */
static void flatten(char *s)
{
        size_t n = 0;

        for (const char *p = s; *p && n < LOG_CUT; p++) {
                bool space = *p == '\n' || *p == '\r' || *p == '\t' || *p == ' ';
                if (space && (n == 0 || s[n - 1] == ' '))
                        continue;
                s[n++] = space ? ' ' : *p;
        }
        while (n > 0 && s[n - 1] == ' ')
                n--;
        s[n] = 0;
}

static int explain(const RuntimeTarget *t, const char *verb, const char *log, int said, int status,
                   Err *err)
{
        _cleanup_strbuf_ StrBuf text = {}, output = {};
        _cleanup_free_ char *msg = NULL;

        if (io_read_file(AT_FDCWD, log, LOG_MAX, &text) >= 0 && text.len)
                msg = last_message(text.data);
        if (!msg && said >= 0 && lseek(said, 0, SEEK_SET) == 0 &&
            io_read_all(said, &output, LOG_MAX) >= 0 && output.len)
                msg = xstrdup(output.data);
        if (msg)
                flatten(msg);
        if (str_empty(msg)) {
                free(msg);
                msg = xasprintf("it ended with %s %d and no word",
                                WIFSIGNALED(status) ? "signal" : "exit code",
                                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        }
        return err_set(err, ERR_INTERNAL, "runtime \"%s\" (%s): %s: %s", t->program->name,
                       t->program->path, verb, msg);
}

/* --- the call --- */

static char **command_line(const RuntimeTarget *t, const char *log, const char *const *words)
{
        char **argv = NULL;

        strv_push(&argv, t->program->path);
        for (char **p = t->program->args; p && *p; p++)
                strv_push(&argv, *p);
        strv_push(&argv, "--root");
        strv_push(&argv, t->program->root);
        strv_push(&argv, "--log");
        strv_push(&argv, log);
        strv_push(&argv, "--log-format");
        strv_push(&argv, "json");
        if (t->systemd_cgroup)
                strv_push(&argv, "--systemd-cgroup");
        for (; *words; words++)
                strv_push(&argv, *words);
        return argv;
}

static int spawn(const RuntimeTarget *t, const char *log, const char *const *words,
                 const int stdio[3], int death_signal, pid_t *ret_pid, int *ret_pidfd, Err *err)
{
        _cleanup_strv_ char **argv = command_line(t, log, words);
        char *env[] = { (char *)SEARCH_PATH, NULL };
        Spawn opt = SPAWN_INIT;

        opt.path = t->program->path;
        opt.argv = argv;
        opt.envp = env;
        memcpy(opt.stdio, stdio, sizeof(opt.stdio));
        opt.death_signal = death_signal;
        int r = spawn_program(&opt, ret_pid, ret_pidfd);
        return r < 0 ? err_sys(err, -r, "runtime \"%s\": run '%s'", t->program->name,
                               t->program->path)
                     : 0;
}

static char *log_path(const RuntimeTarget *t, const char *verb)
{
        return xasprintf("%s/%s-%d.log", t->bundle, verb, getpid());
}

/* said: where its standard error goes when that is ours to read. */
static int call(const RuntimeTarget *t, const char *const *words, const int stdio[3], int said,
                int deadline_ms, Err *err)
{
        _cleanup_free_ char *log = log_path(t, words[0]);
        _cleanup_close_ int pidfd = -EBADF;
        int status = 0;

        pid_t pid;
        int r = spawn(t, log, words, stdio, SIGKILL, &pid, &pidfd, err);
        if (r < 0)
                return r;
        struct pollfd end = { .fd = pidfd, .events = POLLIN };
        bool late = poll(&end, 1, deadline_ms) == 0;
        if (late)
                tree_kill(pid, pidfd); /* with what it ran: hooks */
        r = pidfd_reap(pidfd, true, &status);
        if (r < 0)
                r = err_sys(err, -r, "wait for '%s'", t->program->path);
        else if (late)
                r = err_set(err, ERR_TIMEOUT, "runtime \"%s\": '%s %s' took longer than %d ms",
                            t->program->name, t->program->path, words[0], deadline_ms);
        else if (status != 0)
                r = explain(t, words[0], log, said, status, err);
        (void)unlink(log);
        return r;
}

static int memory_file(const char *text, Err *err)
{
        _cleanup_close_ int fd = memfd_create("tare-shim-runtime", MFD_CLOEXEC);

        if (fd < 0)
                return err_sys(err, errno, "make a file in memory");
        if (text) {
                int r = io_write_full(fd, text, strlen(text));
                if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
                        return err_sys(err, r < 0 ? -r : errno, "write a file in memory");
        }
        return take_fd(fd);
}

int oci_call(const RuntimeTarget *t, const char *input, const char *const *words, Err *err)
{
        _cleanup_close_ int said = memory_file(NULL, err), in = -EBADF;

        if (said < 0)
                return said;
        if (input) {
                in = memory_file(input, err);
                if (in < 0)
                        return in;
        }
        return call(t, words, (const int[]){ in, -EBADF, said }, said, CALL_MS, err);
}

/* --- the terminal --- */

/* The program connects to a path of ours; what it sends goes on to the socket that was given. */
typedef struct Console {
        int listener, dir;
        char *path;     /* ours to remove */
        char *for_them; /* the same, short enough for a socket's address */
} Console;

/* Nobody else waits for it, so it is there already, or comes within CONSOLE_MS. */
static int console_accept(const Console *c, const char *what, Err *err)
{
        struct pollfd p = { .fd = c->listener, .events = POLLIN };

        if (poll(&p, 1, CONSOLE_MS) <= 0)
                return err_set(err, ERR_INTERNAL, "the runtime has not %s", what);
        int peer = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
        return peer < 0 ? err_sys(err, errno, "accept the runtime's connection") : peer;
}

static void console_done(Console *c)
{
        if (c->path)
                (void)unlink(c->path);
        fd_close(c->listener);
        fd_close(c->dir);
        free(c->path);
        free(c->for_them);
}

static int console_open(const RuntimeTarget *t, Console *c, Err *err)
{
        c->dir = open(t->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (c->dir < 0)
                return err_sys(err, errno, "open '%s'", t->bundle);
        c->path = xasprintf("%s/tty-%d", t->bundle, getpid());
        c->for_them = xasprintf("/proc/%d/fd/%d/tty-%d", getpid(), c->dir, getpid());
        c->listener = io_unix_listen(c->path, 1);
        return c->listener < 0 ? err_sys(err, -c->listener, "listen on '%s'", c->path) : 0;
}

static int console_forward(const Console *c, int to, Err *err)
{
        _cleanup_close_ int peer = console_accept(c, "sent the terminal", err);
        if (peer < 0)
                return peer;
        struct pollfd p = { .fd = peer, .events = POLLIN };
        (void)poll(&p, 1, CONSOLE_MS);
        _cleanup_close_ int master = container_receive_master(peer, err);
        if (master < 0)
                return master;
        ssize_t n = io_send_fds(to, "tty", 3, &master, 1);
        return n < 0 ? err_sys(err, (int)-n, "hand the terminal on") : 0;
}

int oci_call_with_stdio(const RuntimeTarget *t, const OciStdio *io, const char **words, size_t n,
                        Err *err)
{
        Console console = { .listener = -EBADF, .dir = -EBADF };
        bool terminal = io->console_fd >= 0;
        _cleanup_close_ int said = terminal ? memory_file(NULL, err) : -EBADF;
        const int of_terminal[3] = { -EBADF, -EBADF, said };

        int r = terminal ? console_open(t, &console, err) : 0;
        if (terminal) {
                words[n++] = "--console-socket";
                words[n++] = console.for_them;
        }
        words[n++] = t->id;
        words[n] = NULL;
        if (r >= 0)
                r = call(t, words, terminal ? of_terminal : io->fds, said, START_MS, err);
        if (r >= 0 && terminal)
                r = console_forward(&console, io->console_fd, err);
        console_done(&console);
        return r;
}

int oci_call_with_socket(const RuntimeTarget *t, const char **words, size_t n, int *ret_fd,
                         Err *err)
{
        Console console = { .listener = -EBADF, .dir = -EBADF };
        _cleanup_close_ int said = memory_file(NULL, err);

        int r = said < 0 ? said : console_open(t, &console, err);
        for (size_t i = 0; i < n; i++)
                if (!words[i])
                        words[i] = console.for_them;
        words[n] = NULL;
        if (r >= 0)
                r = call(t, words, (const int[]){ -EBADF, -EBADF, said }, said, CALL_MS, err);
        if (r >= 0)
                r = console_accept(&console, "connected", err);
        console_done(&console);
        if (r < 0)
                return r;
        *ret_fd = r;
        return 0;
}

/* --- its processes --- */

int oci_read_pid(const RuntimeTarget *t, const char *file, pid_t *ret, Err *err)
{
        _cleanup_strbuf_ StrBuf text = {};
        uint32_t pid;

        int r = io_read_file(AT_FDCWD, file, PID_MAX, &text);
        if (r < 0)
                return err_sys(err, -r, "runtime \"%s\": read its pid file '%s'", t->program->name,
                               file);
        text.data[strcspn(text.data, "\n")] = 0;
        if (str_to_u32(text.data, &pid) < 0 || pid < 2 || pid > INT32_MAX)
                return err_set(err, ERR_INTERNAL, "runtime \"%s\": its pid file '%s' has no pid",
                               t->program->name, file);
        *ret = (pid_t)pid;
        return 0;
}

int oci_open_child(const RuntimeTarget *t, pid_t pid, pid_t parent, Err *err)
{
        _cleanup_close_ int pidfd = pidfd_open_pid(pid);

        if (pidfd == -ESRCH)
                return -ESRCH;
        if (pidfd < 0)
                return err_sys(err, -pidfd, "open process %d", pid);
        pid_t found = process_parent(pid);
        if (!t->program->wait && found != 0 && found != parent)
                return err_set(err, ERR_UNSUPPORTED,
                               "runtime \"%s\": process %d of its pid file is not the container's "
                               "own (its parent is %d): set `wait = true` for this handler",
                               t->program->name, pid, found);
        return take_fd(pidfd);
}

int oci_start_waiter(const RuntimeTarget *t, pid_t *ret_pid, int *ret_pidfd, int *ret_answer,
                     Err *err)
{
        _cleanup_free_ char *log = path_join(t->bundle, "wait.log");
        _cleanup_close_ int answer = memory_file(NULL, err);

        if (answer < 0)
                return answer;
        int r = spawn(t, log, (const char *const[]){ "wait", t->id, NULL },
                      (const int[]){ -EBADF, answer, -EBADF }, 0, ret_pid, ret_pidfd, err);
        if (r >= 0)
                *ret_answer = take_fd(answer);
        return r;
}
