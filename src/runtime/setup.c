/* SPDX-License-Identifier: Apache-2.0 */
/* setup.c - a Setup's life, and what create and exec do alike around their steps. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/io.h"
#include "runtime/cgroups.h"
#include "runtime/setup-internal.h"

void setup_init(Setup *s)
{
        *s = (Setup){
                .stdio = { -EBADF, -EBADF, -EBADF },
                .dir_fd = -EBADF,
                .birth_fd = -EBADF,
                .root_mount = -EBADF,
                .gate_fd = -EBADF,
                .agent_fd = -EBADF,
                .console_fd = -EBADF,
                .target_pidfd = -EBADF,
                .procfs_fd = -EBADF,
                .devpts_fd = -EBADF,
                .terminal_fd = -EBADF,
                .start_fd = -EBADF,
                .sync = { .fd = -EBADF, .other_fd = -EBADF },
                .pidfd = -EBADF,
        };
        for (size_t i = 0; i < _OCI_NS_MAX; i++)
                s->ns_fds[i] = -EBADF;
}

void setup_done(Setup *s)
{
        int *const fds[] = { &s->dir_fd,      &s->root_mount, &s->gate_fd,  &s->console_fd,
                             &s->procfs_fd,   &s->devpts_fd,  &s->start_fd, &s->target_pidfd,
                             &s->terminal_fd, &s->pidfd,      &s->agent_fd, &s->birth_fd };

        for (size_t i = 0; i < array_len(fds); i++)
                *fds[i] = fd_close(*fds[i]);
        for (size_t i = 0; i < _OCI_NS_MAX; i++)
                s->ns_fds[i] = fd_close(s->ns_fds[i]);
        for (size_t i = 0; s->mount_fds && i < s->spec->n_mounts; i++)
                s->mount_fds[i] = fd_close(s->mount_fds[i]);
        free(take_ptr(s->mount_fds));
        sync_close(&s->sync);
        seccomp_filter_done(&s->filter);
        free(take_ptr(s->bundle));
        free(take_ptr(s->rootfs));
        free(take_ptr(s->config_text));
        free(take_ptr(s->created));
        free(take_ptr(s->exec_path));
        strv_free(take_ptr(s->env));
        cgroup_free(take_ptr(s->cgroup));
        rdt_plan_done(&s->rdt);
}

/* The master goes to `fd`, or to whoever listens at `path`. */
int prepare_console(Setup *s, const char *path, int fd, Err *err)
{
        bool terminal = s->process && s->process->terminal;

        if (!terminal && (path || fd >= 0))
                return err_set(err, ERR_INVALID,
                               "process.terminal is false: there is no terminal to send to the "
                               "console socket");
        if (!terminal)
                return 0;
        if (path)
                s->console_fd = io_unix_connect(path);
        else if (fd >= 0)
                s->console_fd = io_dup(fd);
        else
                return err_set(err, ERR_INVALID,
                               "process.terminal is true: give a --console-socket to send the "
                               "terminal to");
        return s->console_fd < 0 ? err_sys(err, -s->console_fd, "connect to console socket '%s'",
                                           str_or(path, "given"))
                                 : 0;
}

/* A program starts with no signal blocked or ignored, whatever our caller had. */
void setup_reset_signals(void)
{
        sigset_t none;

        for (int signo = 1; signo < _NSIG; signo++)
                (void)signal(signo, SIG_DFL); /* KILL and STOP refuse */
        sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int setup_hide(Err *err)
{
        return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? err_sys(err, errno, "become undumpable")
                                                      : 0;
}

/* The init's last words, to whoever waits for it. */
void setup_report(Setup *s, const Err *err)
{
        if (s->start_fd >= 0)
                gate_send_error(s, err);
        else
                sync_send_error(&s->sync, err);
}

int setup_write_pid_file(const Setup *s, const char *path, Err *err)
{
        char text[16];

        if (!path)
                return 0;
        int n = snprintf(text, sizeof(text), "%d", s->pid);
        int r = io_replace_file(AT_FDCWD, path, text, (size_t)n, 0644, false);
        return r < 0 ? err_sys(err, -r, "write pid file '%s'", path) : 0;
}

static bool born_in_sight(const Setup *s)
{
        return s->exec || !setup_has_new_ns(s, OCI_NS_PID);
}

/* Nobody in a pid namespace of the container's own sees the caller of an exec, and its helper. One
 * that is born in the container's cgroup would copy at the cost of the container's memory. */
static bool helper_can_leave(const Setup *s)
{
        const OciNamespace *pid = &s->spec->linux.namespaces[OCI_NS_PID];

        return s->exec && s->birth_fd < 0 && pid->present && !pid->path;
}

int setup_protect_exe(Setup *s, Err *err)
{
        switch (exe_state()) {
        case EXE_SEALED:
                return 0;
        case EXE_EXPOSED:
                return err_set(err, ERR_INTERNAL,
                               "this program runs from a file that a container could reach; run it "
                               "from a sealed memfd");
        case EXE_CAN_LEAVE:
                break;
        }
        if (helper_can_leave(s)) {
                s->helper_leaves_exe = true; /* less to fork */
                return 0;
        }
        if (born_in_sight(s))
                return exe_leave(err);
        s->leaves_exe = true;
        return 0;
}

/* At the gate an exec could come in, and a startContainer hook is the container's own. */
bool setup_waits_exposed(const Setup *s)
{
        return s->leaves_exe && (!s->run_now || s->spec->hooks.start_container.n > 0);
}

int setup_leave_exe(Setup *s, Err *err)
{
        int r = exe_leave(err);

        if (r == 0)
                s->leaves_exe = false;
        return r;
}

int setup_last_error(unsigned stage, int errnum, const char *what, Err *err)
{
        const char *text = exe_stage_text(stage);

        /* In the words that callers look for, to exit with 127 or 126. */
        if (!text && errnum == ENOENT)
                return err_set(err, ERR_NOT_FOUND,
                               "%s: no such file or directory; the interpreter that it names (in "
                               "its first line, or as an ELF program) is not there",
                               what);
        if (!text && errnum == EACCES)
                return err_set(err, ERR_DENIED, "%s: permission denied", what);
        if (!text && errnum == ENOEXEC)
                return err_set(err, ERR_INVALID,
                               "%s: exec format error; it is not a program of this machine", what);
        return err_set(err, err_kind_from_errno(errnum), "%s: %s", text ? text : what,
                       strerror(errnum));
}
