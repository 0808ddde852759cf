/* SPDX-License-Identifier: Apache-2.0 */
/* hooks.c - see hooks.h. Runs in the caller's process, or (createContainer, startContainer) in the
 * container's init. */
#include "runtime/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "runtime/setup-internal.h"
#include "runtime/state.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#define HOOK_OUTPUT_MAX 400 /* bytes kept for the error */

typedef struct Output {
        int fd;
        char text[HOOK_OUTPUT_MAX + 1]; /* the last that it printed */
        size_t len;
} Output;

/* A file that ends needs nobody who feeds it, however large it is and whether it is read or not. */
static int state_fd(Json *state, Err *err)
{
        _cleanup_close_ int fd = memfd_create("hook-state", MFD_CLOEXEC);

        if (fd < 0)
                return err_sys(err, errno, "keep the state for the hook");
        _cleanup_free_ char *text = json_print(state);
        int r = io_write_full(fd, text, strlen(text));
        if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
                return err_sys(err, r < 0 ? -r : errno, "keep the state for the hook");
        return take_fd(fd);
}

/* false: nothing now, or the end. */
static bool drain(Output *o)
{
        char chunk[4096];
        ssize_t n = read(o->fd, chunk, sizeof(chunk));

        if (n <= 0)
                return false;
        size_t keep = (size_t)n < HOOK_OUTPUT_MAX ? (size_t)n : HOOK_OUTPUT_MAX;
        if (o->len + keep > HOOK_OUTPUT_MAX) {
                size_t drop = o->len + keep - HOOK_OUTPUT_MAX;
                memmove(o->text, o->text + drop, o->len - drop);
                o->len -= drop;
        }
        memcpy(o->text + o->len, chunk + (size_t)n - keep, keep);
        o->len += keep;
        o->text[o->len] = 0;
        return true;
}

/* Until the process has ended. What holds the pipe open after it is not waited for. At the timeout
 * its group ends with it; a daemon that it made leaves that. */
static int wait_hook(pid_t pid, int pidfd, Output *o, uint32_t timeout_s, int *ret_status, Err *err)
{
        uint64_t end = timeout_s ? clock_mono_ns() + timeout_s * NS_PER_S : 0;

        for (;;) {
                struct pollfd fds[] = { { .fd = pidfd, .events = POLLIN },
                                        { .fd = o->fd, .events = POLLIN } };
                int ms = -1;
                if (end) {
                        uint64_t now = clock_mono_ns();
                        ms = now >= end ? 0 : (int)((end - now) / NS_PER_MS) + 1;
                }
                int n = poll(fds, 2, ms);
                if (n < 0 && errno != EINTR)
                        return err_sys(err, errno, "wait for the hook");
                if (n == 0) {
                        (void)kill(-pid, SIGKILL); /* not reaped: the number is its own */
                        (void)pidfd_kill(pidfd, SIGKILL);
                        (void)pidfd_reap(pidfd, true, NULL);
                        return err_set(err, ERR_TIMEOUT, "ran into its timeout of %u s", timeout_s);
                }
                if (n > 0 && fds[1].revents && !drain(o))
                        o->fd = fd_close(o->fd);
                if (n > 0 && fds[0].revents)
                        break;
        }
        while (o->fd >= 0 && drain(o))
                ;
        int r = pidfd_reap(pidfd, true, ret_status);
        return r < 0 ? err_sys(err, -r, "wait for the hook") : 0;
}

static void trim(Output *o)
{
        while (o->len > 0 && (o->text[o->len - 1] == '\n' || o->text[o->len - 1] == ' '))
                o->text[--o->len] = 0;
}

static int run_hook(const OciHook *h, int in, char *const *env, Err *err)
{
        char *const no_args[] = { h->path, NULL };
        Output o = { .fd = -EBADF };
        int pipe_fds[2], status = 0;
        _cleanup_close_ int pidfd = -EBADF;

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        _cleanup_close_ int out = pipe_fds[1];
        o.fd = pipe_fds[0];
        Spawn spawn = SPAWN_INIT;
        spawn.path = h->path;
        spawn.argv = h->args ? h->args : no_args;
        spawn.envp = h->env ? h->env : env;
        spawn.stdio[0] = in;
        spawn.stdio[1] = spawn.stdio[2] = out;
        /* who waits for it has a deadline of its own */
        spawn.death_signal = SIGKILL;
        spawn.new_group = true;
        pid_t pid;
        int r = lseek(in, 0, SEEK_SET) < 0 ? -errno : io_set_nonblock(o.fd, true);
        if (r == 0)
                r = spawn_program(&spawn, &pid, &pidfd);
        if (r < 0)
                r = err_sys(err, -r, "cannot be run");
        out = fd_close(out);
        if (r == 0)
                r = wait_hook(pid, pidfd, &o, h->timeout_s, &status, err);
        o.fd = fd_close(o.fd);
        if (r < 0 || status == 0)
                return r;
        trim(&o);
        if (WIFSIGNALED(status))
                return err_set(err, ERR_INTERNAL, "was killed by signal %d: %s", WTERMSIG(status),
                               o.text);
        return err_set(err, ERR_INTERNAL, "exit status %d: %s", WEXITSTATUS(status), o.text);
}

int hooks_run(const OciHookList *list, const char *kind, Json *state, char *const *env, Err *err)
{
        if (list->n == 0)
                return 0;
        _cleanup_close_ int in = state_fd(state, err);
        if (in < 0)
                return in;
        for (size_t i = 0; i < list->n; i++) {
                int r = run_hook(&list->items[i], in, env, err);
                if (r < 0)
                        return err_wrap(err, r, "error running %s hook #%zu '%s'", kind, i,
                                        list->items[i].path);
        }
        return 0;
}

static Json *setup_state(const Setup *s, RuntimeStatus status, pid_t pid)
{
        _cleanup_json_ Json *annotations = state_annotations(s->spec);

        return state_to_json(s->id, status, pid, s->bundle, annotations);
}

int hooks_runtime(Setup *s, Err *err)
{
        const OciHooks *h = &s->spec->hooks;
        _cleanup_json_ Json *state = setup_state(s, RUNTIME_CREATING, s->pid);

        if (h->create_container.n > 0)
                rootfs_make_place(s);
        int r = hooks_run(&h->prestart, "prestart", state, environ, err);
        return r < 0 ? r : hooks_run(&h->create_runtime, "createRuntime", state, environ, err);
}

int hooks_create_container(Setup *s, Err *err)
{
        if (s->spec->hooks.create_container.n > 0)
                rootfs_show(s);
        _cleanup_json_ Json *state = setup_state(s, RUNTIME_CREATING, getpid());

        return hooks_run(&s->spec->hooks.create_container, "createContainer", state, environ, err);
}

int hooks_start_container(Setup *s, Err *err)
{
        if (s->spec->hooks.start_container.n == 0)
                return 0;
        _cleanup_json_ Json *state = setup_state(s, RUNTIME_CREATED, getpid());
        return hooks_run(&s->spec->hooks.start_container, "startContainer", state, s->env, err);
}

int runtime_run_poststop(const OciSpec *spec, const char *id, const char *bundle, Err *err)
{
        if (spec->hooks.poststop.n == 0)
                return 0;
        _cleanup_json_ Json *annotations = state_annotations(spec);
        _cleanup_json_ Json *state = state_to_json(id, RUNTIME_STOPPED, 0, bundle, annotations);
        return hooks_run(&spec->hooks.poststop, "poststop", state, environ, err);
}
