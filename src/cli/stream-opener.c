/* SPDX-License-Identifier: Apache-2.0 */
/* stream-opener.c - see stream-opener.h. Runs in tare.
 *
 * The child answers with one packet: a byte (1: the stream's socket comes along, and what was read
 * of it already; 0: the text says what went wrong), and ends. */
#include "cli/stream-opener.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"

#define ANSWER_MAX (STREAM_CLIENT_READ + 1)

struct StreamOpener {
        pid_t pid;
        int sock;
        LoopSource *source;
        StreamOpenedFn fn;
        void *userdata;
};

/* --- the child --- */

static int open_stream(Cli *cli, const char *pod, unsigned port, const char *protocol,
                       StreamClient **ret, Err *err)
{
        Runtime__V1__PortForwardRequest q = RUNTIME__V1__PORT_FORWARD_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__PortForwardResponse *answer = NULL;
        int32_t number = (int32_t)port;

        q.pod_sandbox_id = (char *)pod;
        q.port = &number;
        q.n_port = 1;
        int r = ask_runtime(cli, PortForward, port_forward, &q, ASK_TIMEOUT_MS, &answer, err);
        return r < 0 ? r : stream_client_open(answer->url, protocol, ret, err);
}

/* The parent's connections are not kept open by us: their ends would not be seen. */
static void close_all_but(int fd)
{
        if (fd > STDERR_FILENO + 1)
                (void)syscall(SYS_close_range, STDERR_FILENO + 1, fd - 1, 0);
        (void)syscall(SYS_close_range, fd + 1, ~0U, 0);
}

static _Noreturn void run_child(Cli *cli, int sock, const char *pod, unsigned port,
                                const char *protocol)
{
        uint8_t answer[ANSWER_MAX];
        StreamClient *c = NULL;
        const void *rest;
        size_t n;
        Err err = {};

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_all_but(sock);
        cli->client = NULL; /* the parent's; we have one of our own */
        int r = open_stream(cli, pod, port, protocol, &c, &err);
        rest = r < 0 ? err.msg : strbuf_bytes(&c->in);
        n = r < 0 ? strlen(err.msg) : c->in.len;
        tare_assert(n < sizeof(answer));
        answer[0] = r >= 0;
        memcpy(answer + 1, rest, n);
        (void)io_send_fds(sock, answer, n + 1, r < 0 ? NULL : &c->fd, r >= 0);
        _exit(0);
}

/* --- the parent --- */

static void reap(StreamOpener *o)
{
        while (o->pid > 0 && waitpid(o->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        o->pid = 0;
}

static void on_answer(void *userdata, int fd, uint32_t revents)
{
        StreamOpener *o = userdata;
        uint8_t answer[ANSWER_MAX];
        int stream = -EBADF;
        size_t n_fds = 1;
        Err err = {};

        ssize_t n = io_recv_fds(fd, answer, sizeof(answer), &stream, &n_fds, MSG_DONTWAIT);
        if (n == -EAGAIN)
                return;
        loop_source_free(o->source);
        o->source = NULL;
        reap(o);
        if (n > 0 && answer[0] && n_fds == 1) {
                o->fn(o->userdata, stream_client_adopt(stream, answer + 1, (size_t)n - 1), NULL);
                return;
        }
        if (n > 1)
                err_set(&err, ERR_UNAVAILABLE, "%.*s", (int)(n - 1), (const char *)answer + 1);
        else if (n < 0)
                err_sys(&err, (int)-n, "open a stream");
        else
                err_set(&err, ERR_UNAVAILABLE, "the process that was to open the stream has died");
        o->fn(o->userdata, NULL, &err);
}

StreamOpener *stream_opener_start(Cli *cli, Loop *loop, const char *pod, unsigned port,
                                  const char *protocol, StreamOpenedFn fn, void *userdata, Err *err)
{
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
                err_sys(err, errno, "make a socket pair");
                return NULL;
        }
        pid_t pid = fork();
        if (pid == 0)
                run_child(cli, pair[1], pod, port, protocol);
        close(pair[1]);
        if (pid < 0) {
                err_sys(err, errno, "start a process that opens the stream");
                close(pair[0]);
                return NULL;
        }
        StreamOpener *o = xnew(StreamOpener);
        *o = (StreamOpener){ .pid = pid, .sock = pair[0], .fn = fn, .userdata = userdata };
        o->source = loop_add_fd(loop, o->sock, EPOLLIN, on_answer, o);
        return o;
}

void stream_opener_free(StreamOpener *o)
{
        if (!o)
                return;
        loop_source_free(o->source);
        if (o->pid > 0)
                (void)kill(o->pid, SIGKILL);
        reap(o);
        fd_close(o->sock);
        free(o);
}
