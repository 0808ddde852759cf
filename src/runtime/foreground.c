/* SPDX-License-Identifier: Apache-2.0 */
/* foreground.c - `run` and `exec` in the foreground: one poll loop until the process has ended.
 *
 * All signals that may be passed on are blocked before the process is made, so that none is lost;
 * the process starts with an empty mask. Bytes of a terminal are carried with two buffers; the
 * master never blocks us. Our own terminal is raw meanwhile, and is put back whatever happens. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "runtime/cli.h"
#include "sys/pidfd.h"
#include "sys/tty.h"

typedef struct Carry {
        int from, to; /* borrowed; from -EBADF: ended */
        char data[8192];
        size_t start, end;
} Carry;

struct Foreground {
        int signal_fd, console_fd, master_fd;
        sigset_t old_mask;
        bool raw;
        struct termios old_mode;
        Carry *in, *out; /* with a terminal */
};

/* Our own faults, and what the terminal driver means for us. */
static const int not_passed[] = {
        SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTTOU, SIGTTIN, SIGURG,
};

int foreground_open(bool console, bool reap, Foreground **ret, int *ret_console_fd, Err *err)
{
        Foreground *f = xnew(Foreground);
        int pair[2];
        sigset_t mask;

        f->signal_fd = f->console_fd = f->master_fd = -EBADF;
        *ret = f;
        sigfillset(&mask);
        for (size_t i = 0; i < array_len(not_passed); i++)
                sigdelset(&mask, not_passed[i]);
        if (sigprocmask(SIG_BLOCK, &mask, &f->old_mask) < 0)
                return err_sys(err, errno, "block signals");
        f->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (f->signal_fd < 0)
                return err_sys(err, errno, "open a signalfd");
        if (reap) /* what a detaching program leaves is ours, not PID 1's */
                (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        if (!console)
                return 0;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return err_sys(err, errno, "open a socket pair for the terminal");
        f->console_fd = pair[0];
        *ret_console_fd = pair[1];
        return 0;
}

void foreground_close(Foreground *f)
{
        if (!f)
                return;
        if (f->raw)
                (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &f->old_mode);
        fd_close(f->signal_fd);
        fd_close(f->console_fd);
        fd_close(f->master_fd);
        free(f->in);
        free(f->out);
        free(f);
}

static void copy_size(const Foreground *f)
{
        struct winsize size;

        if (f->master_fd >= 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
                (void)ioctl(f->master_fd, TIOCSWINSZ, &size); /* sizes are a courtesy */
}

static int take_master(Foreground *f, Err *err)
{
        size_t n = 1;
        char name[64];

        if (f->console_fd < 0)
                return 0;
        ssize_t r = io_recv_fds(f->console_fd, name, sizeof(name), &f->master_fd, &n, 0);
        if (r <= 0 || n != 1)
                return err_sys(err, r < 0 ? (int)-r : EIO, "take the container's terminal");
        int e = io_set_nonblock(f->master_fd, true);
        if (e < 0)
                return err_sys(err, -e, "take the container's terminal");
        f->in = xnew(Carry);
        f->in->from = STDIN_FILENO;
        f->in->to = f->master_fd;
        f->out = xnew(Carry);
        f->out->from = f->master_fd;
        f->out->to = STDOUT_FILENO;
        if (tcgetattr(STDIN_FILENO, &f->old_mode) == 0) {
                copy_size(f);
                f->raw = tty_make_raw(STDIN_FILENO) == 0;
        }
        return 0;
}

static void carry_read(Carry *c)
{
        if (c->start == c->end)
                c->start = c->end = 0;
        ssize_t n = read(c->from, c->data + c->end, sizeof(c->data) - c->end);
        if (n > 0)
                c->end += (size_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                c->from = -EBADF; /* EIO: nobody has the terminal open any more */
}

static void carry_write(Carry *c)
{
        ssize_t n = write(c->to, c->data + c->start, c->end - c->start);

        if (n > 0)
                c->start += (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
                c->start = c->end; /* nobody reads it */
}

static void add_poll(struct pollfd *p, const Carry *c)
{
        p[0] = (struct pollfd){ .fd = c->end < sizeof(c->data) ? c->from : -1, .events = POLLIN };
        p[1] = (struct pollfd){ .fd = c->start < c->end ? c->to : -1, .events = POLLOUT };
}

static void after_poll(const struct pollfd *p, Carry *c)
{
        if (p[0].fd >= 0 && p[0].revents)
                carry_read(c);
        if (p[1].fd >= 0 && p[1].revents)
                carry_write(c);
}

static void pass_signals(Foreground *f, const RuntimeProcess *p)
{
        struct signalfd_siginfo si;

        while (read(f->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
                if (si.ssi_signo == SIGWINCH)
                        copy_size(f);
                else if (si.ssi_signo != SIGCHLD && si.ssi_signo != SIGPIPE)
                        (void)pidfd_kill(p->pidfd, (int)si.ssi_signo); /* gone: nothing to do */
        }
        /* children of the container that became ours */
        for (;;) {
                siginfo_t info = { 0 };
                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0 ||
                    info.si_pid == p->pid)
                        break;
                (void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
        }
}

/* What the terminal still holds when its last process has ended. */
static void drain(Foreground *f)
{
        while (f->master_fd >= 0 && (f->out->from >= 0 || f->out->start < f->out->end)) {
                struct pollfd p[2];
                add_poll(p, f->out);
                if (poll(p, 2, 0) <= 0)
                        break;
                after_poll(p, f->out);
        }
}

int foreground_wait(Foreground *f, const RuntimeProcess *p, Err *err)
{
        int status, r = take_master(f, err);

        if (r < 0)
                return r;
        for (;;) {
                struct pollfd fds[6] = { { .fd = p->pidfd, .events = POLLIN },
                                         { .fd = f->signal_fd, .events = POLLIN } };
                nfds_t n = 2;
                if (f->master_fd >= 0) {
                        add_poll(fds + 2, f->in);
                        add_poll(fds + 4, f->out);
                        n = 6;
                }
                if (poll(fds, n, -1) < 0 && errno != EINTR)
                        return err_sys(err, errno, "wait for the container");
                if (fds[1].revents)
                        pass_signals(f, p);
                if (n == 6) {
                        after_poll(fds + 2, f->in);
                        after_poll(fds + 4, f->out);
                }
                if (fds[0].revents)
                        break;
        }
        drain(f);
        r = pidfd_reap(p->pidfd, true, &status);
        return r < 0 ? err_sys(err, -r, "wait for the container") : (int)process_exit_code(status);
}
