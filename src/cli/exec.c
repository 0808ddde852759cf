/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c - tare exec, attach: a session of v5.channel.k8s.io through the URL that tared gives.
 *
 *   stdin -> channel 0 (its end: a close signal)      channel 1, 2 -> stdout, stderr
 *   SIGWINCH -> channel 4                             channel 3 -> the status, at the end
 *
 * A slow reader of our output stops our reading of the stream, and so the program. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "cli/cli-internal.h"
#include "cli/stream-client.h"

#define PROTOCOL   "v5.channel.k8s.io"
#define STATUS_MAX ((size_t)64 << 10)
#define END_LOOKS  250                /* of 20 ms: for the daemon to know of it, too */
#define INPUT_MAX  ((size_t)32 << 10) /* bytes of one message */

enum { CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR, CHANNEL_ERROR, CHANNEL_RESIZE };
enum { CHANNEL_CLOSE = 255 };

typedef struct Session {
        Loop *loop;
        StreamClient *stream;
        LoopSource *input, *timer;
        bool tty, raw;
        struct termios before; /* of the terminal, when raw */
        bool channel_known;
        uint8_t channel; /* of the present message */
        StrBuf status;
        int64_t timeout_s;
        int result; /* exit status, or negative with err */
        Err err;
} Session;

static void finish(Session *s, int result)
{
        s->result = result;
        loop_quit(s->loop, 0);
}

/* --- the terminal --- */

static void send_size(Session *s)
{
        static const int fds[] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO };
        static const uint8_t channel = CHANNEL_RESIZE;
        struct winsize size;

        for (size_t i = 0; i < array_len(fds); i++) {
                if (ioctl(fds[i], TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
                        continue;
                _cleanup_free_ char *text =
                        xasprintf("{\"Width\":%u,\"Height\":%u}\n", size.ws_col, size.ws_row);
                stream_client_send(s->stream, &channel, 1, text, strlen(text));
                return;
        }
}

static void on_window(void *userdata, int signo)
{
        send_size(userdata);
}

/* The terminal is put right before we end. */
static void on_signal(void *userdata, int signo)
{
        finish(userdata, 128 + signo);
}

static int make_raw(Session *s, Err *err)
{
        static const int signals[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };
        struct termios raw;

        if (tcgetattr(STDIN_FILENO, &s->before) < 0)
                return 0; /* no terminal: a program speaks to us */
        raw = s->before;
        cfmakeraw(&raw);
        if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
                return err_sys(err, errno, "make the terminal raw");
        s->raw = true;
        for (size_t i = 0; i < array_len(signals); i++)
                (void)loop_add_signal(s->loop, signals[i], on_signal, s);
        return 0;
}

/* --- input --- */

static void on_input(void *userdata, int fd, uint32_t revents)
{
        static const uint8_t channel = CHANNEL_STDIN, end[] = { CHANNEL_CLOSE, CHANNEL_STDIN };
        Session *s = userdata;
        char buf[INPUT_MAX];
        ssize_t n = read(fd, buf, sizeof(buf));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                stream_client_send(s->stream, &channel, 1, buf, (size_t)n);
                if (stream_client_is_full(s->stream))
                        loop_fd_set_events(s->input, 0);
                return;
        }
        stream_client_send(s->stream, NULL, 0, end, sizeof(end));
        loop_source_free(s->input);
        s->input = NULL;
}

static void on_room(void *data)
{
        Session *s = data;

        if (s->input)
                loop_fd_set_events(s->input, EPOLLIN);
}

/* --- output --- */

/* Our output may be non-blocking: another program's idea, when it is shared. */
static int write_out(int fd, const uint8_t *p, size_t n)
{
        while (n > 0) {
                ssize_t done = write(fd, p, n);
                if (done < 0 && errno == EAGAIN)
                        (void)poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
                else if (done < 0 && errno != EINTR)
                        return -errno;
                else if (done > 0)
                        p += done, n -= (size_t)done;
        }
        return 0;
}

static void on_data(void *data, const WebSocketEvent *e)
{
        Session *s = data;
        const uint8_t *p = e->data;
        size_t n = e->n;
        int r = 0;

        if (e->start)
                s->channel_known = false;
        if (!s->channel_known && n > 0) {
                s->channel_known = true;
                s->channel = *p++;
                n--;
        }
        if (n == 0)
                return;
        if (s->channel == CHANNEL_STDOUT || s->channel == CHANNEL_STDERR)
                r = write_out(s->channel == CHANNEL_STDOUT ? STDOUT_FILENO : STDERR_FILENO, p, n);
        else if (s->channel == CHANNEL_ERROR && s->status.len + n <= STATUS_MAX)
                strbuf_add(&s->status, p, n);
        if (r < 0)
                finish(s, err_sys(&s->err, -r, "write the command's output"));
}

/* --- the end --- */

static int exit_code(Json *status, uint32_t *ret, Err *err)
{
        _cleanup_free_ char *reason = NULL, *text = NULL;
        Json *details = NULL, *causes = NULL, *cause;
        int r = json_get_str(status, "reason", "", &reason, err);

        if (r < 0 || !str_eq(reason, "NonZeroExitCode"))
                return r < 0 ? r : 0;
        r = json_get_obj(status, "details", "", &details, err);
        if (r > 0)
                r = json_get_array(details, "causes", "details", &causes, err);
        for (size_t i = 0; r > 0 && i < json_object_array_length(causes); i++) {
                cause = json_object_array_get_idx(causes, i);
                r = json_get_str(cause, "message", "causes", &text, err);
                if (r > 0 && str_to_u32(text, ret) == 0 && *ret <= UINT8_MAX)
                        return 1;
        }
        return r < 0 ? r : err_set(err, ERR_INTERNAL, "the exit status is missing");
}

/* Exit status of the command, or its failure. */
static int read_status(const StrBuf *text, Err *err)
{
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *status = NULL, *message = NULL;
        const char *why;
        uint32_t code = 0;
        int r = json_parse(strbuf_bytes(text), text->len, STATUS_MAX, &j, err);

        if (r >= 0)
                r = json_get_str(j, "status", "", &status, err);
        if (r >= 0 && str_eq(status, "Success"))
                return 0;
        if (r >= 0)
                r = exit_code(j, &code, err);
        if (r > 0)
                return (int)code;
        if (r == 0)
                r = json_get_str(j, "message", "", &message, err);
        if (r < 0)
                return err_wrap(err, r, "the status of the stream");
        why = str_skip_prefix(str_or(message, "the command failed"), "Internal error occurred: ");
        return err_set(err, ERR_INTERNAL, "%s", why ? why : message);
}

static void on_ended(void *data, const Err *why)
{
        Session *s = data;

        if (s->status.len > 0)
                finish(s, read_status(&s->status, &s->err));
        else if (why)
                finish(s, err_copy(&s->err, why));
        else
                finish(s, err_set(&s->err, ERR_UNAVAILABLE, "the stream ended before the command"));
}

static void on_timeout(void *userdata)
{
        Session *s = userdata;

        finish(s, err_set(&s->err, ERR_TIMEOUT, "the command ran longer than %lld s and was killed",
                          (long long)s->timeout_s));
}

static const StreamClientEvents events = { .data = on_data, .room = on_room, .ended = on_ended };

static int run(const Cli *cli, const char *url, Err *err)
{
        Session s = { .tty = cli->opt.tty, .timeout_s = cli->opt.timeout_s };
        int r = stream_client_open(url, PROTOCOL, &s.stream, err);

        if (r < 0)
                return r;
        s.loop = loop_new();
        if (s.tty) {
                (void)loop_add_signal(s.loop, SIGWINCH, on_window, &s);
                send_size(&s);
        }
        if (s.tty && cli->opt.input)
                r = make_raw(&s, &s.err);
        if (cli->opt.input)
                s.input = loop_add_fd(s.loop, STDIN_FILENO, EPOLLIN, on_input, &s);
        if (s.timeout_s > 0)
                s.timer = loop_add_timer(s.loop, clock_mono_ns() + (uint64_t)s.timeout_s * NS_PER_S,
                                         on_timeout, &s);
        stream_client_start(s.stream, s.loop, &events, &s);
        if (r == 0) {
                loop_run(s.loop);
                r = s.result;
        }
        if (s.raw)
                (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &s.before); /* it has hung up otherwise */
        stream_client_free(s.stream);
        loop_free(s.loop);
        strbuf_done(&s.status);
        return r < 0 ? err_copy(err, &s.err) : r;
}

int cmd_exec(Cli *cli, char **args, Err *err)
{
        Runtime__V1__ExecRequest q = RUNTIME__V1__EXEC_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__ExecResponse *answer = NULL;
        _cleanup_free_ char *id = NULL;
        int r = cli_find_container(cli, args[0], &id, err);

        if (r < 0)
                return r;
        q.container_id = id;
        q.cmd = args + 1;
        q.n_cmd = strv_len(args + 1);
        q.tty = cli->opt.tty;
        q.stdin = cli->opt.input;
        q.stdout = true;
        q.stderr = !cli->opt.tty;
        r = ask_runtime(cli, Exec, exec, &q, ASK_TIMEOUT_MS, &answer, err);
        return r < 0 ? r : run(cli, answer->url, err);
}

/* The stream tells of a container's end, but not its exit status. */
static int exit_status_of(Cli *cli, const char *id, Err *err)
{
        const struct timespec pause = { .tv_nsec = 20 * NS_PER_MS };

        for (unsigned i = 0; i < END_LOOKS; i++) {
                _cleanup_message_ Runtime__V1__ContainerStatusResponse *s = NULL;
                int r = cli_container_status(cli, id, false, &s, err);
                if (r < 0)
                        return r;
                if (s->status->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED)
                        return s->status->exit_code & UINT8_MAX;
                nanosleep(&pause, NULL);
        }
        return err_set(err, ERR_INTERNAL, "the stream has ended, but container %.13s runs", id);
}

int cmd_attach(Cli *cli, char **args, Err *err)
{
        Runtime__V1__AttachRequest q = RUNTIME__V1__ATTACH_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__AttachResponse *answer = NULL;
        _cleanup_free_ char *id = NULL;
        int r = cli_find_container(cli, args[0], &id, err);

        if (r < 0)
                return r;
        q.container_id = id;
        q.tty = cli->opt.tty;
        q.stdin = cli->opt.input;
        q.stdout = true;
        q.stderr = !cli->opt.tty;
        r = ask_runtime(cli, Attach, attach, &q, ASK_TIMEOUT_MS, &answer, err);
        if (r == 0)
                r = run(cli, answer->url, err);
        return r == 0 ? exit_status_of(cli, id, err) : r;
}
