/* SPDX-License-Identifier: Apache-2.0 */
/* command.c - exec and attach: a process's streams and the client's, one to one.
 *
 *   STREAMS ──all are there──► SIZE (terminals: the first size, or 100 ms) ──Start──►
 *   RUNNING ──Exited, failed, supervisor gone──► DRAINING ──nothing is there──► status, END
 *
 * The status comes after the last byte of output, on a stream of its own. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "stream/size.h"
#include "stream/status.h"
#include "stream/stream-internal.h"
#include "sys/tty.h"

#define FIRST_SIZE_MS 100

/* In the order of WebSocket's channel numbers. */
enum { STDIN, STDOUT, STDERR, STATUS, RESIZE, N_LANES };
static const char *const lane_names[N_LANES] = { "stdin", "stdout", "stderr", "error", "resize" };

typedef struct Command Command;

typedef struct Std {
        Command *command;
        int kind;
        Duct *duct; /* NULL: not asked for */
        bool ended; /* nothing more is read */
} Std;

struct Command {
        Worker *w;
        Lane *lanes[N_LANES];
        bool wanted[N_LANES];
        Std std[STDERR + 1];
        int terminal_fd;
        SizeReader size_reader;
        Size size;
        LoopSource *size_timer; /* runs: Start waits for the first size */
        bool started, opened, ending, concluded;
        bool exited;
        unsigned exit_code;
        Err failure;
};

static Command *command_of(Worker *w)
{
        return w->state;
}

/* --- the end --- */

static char *make_status(const Command *c)
{
        unsigned version = c->w->handshake.version;

        if (!c->exited)
                return status_failure(version, &c->failure);
        /* the end of a container is no failure of those who watch it */
        if (c->exit_code == 0 || c->w->session->kind == TARE__STREAM__V1__SESSION__KIND__ATTACH)
                return status_success(version);
        return status_exit(version, c->exit_code);
}

static void conclude(Command *c)
{
        static const int order[] = { STDOUT, STDERR, STATUS, STDIN, RESIZE };

        if (c->concluded)
                return;
        c->concluded = true;
        _cleanup_free_ char *text = make_status(c);
        if (c->lanes[STATUS] && *text)
                mux_write(c->w->mux, c->lanes[STATUS], text, strlen(text));
        for (size_t i = 0; i < array_len(order); i++)
                if (c->lanes[order[i]])
                        mux_end(c->w->mux, c->lanes[order[i]]);
        worker_finish(c->w, NULL);
}

static void conclude_when_drained(Command *c)
{
        if (c->ending && (!c->opened || (c->std[STDOUT].ended && c->std[STDERR].ended)))
                conclude(c);
}

static void begin_end(Command *c)
{
        if (c->ending)
                return;
        c->ending = true;
        worker_hurry(c->w);
        if (c->std[STDIN].duct)
                duct_refuse(c->std[STDIN].duct);
        worker_update_hold(c->w);
        for (int i = STDOUT; i <= STDERR && c->opened; i++)
                if (!c->std[i].ended)
                        duct_drain(c->std[i].duct);
        conclude_when_drained(c);
}

static void fail(Command *c, const Err *why)
{
        if (!c->ending)
                (void)err_copy(&c->failure, why);
        begin_end(c);
}

/* --- ducts --- */

static bool on_duct_room(void *userdata)
{
        const Std *s = userdata;

        return client_has_room(s->command->w->client);
}

static void on_duct_bytes(void *userdata, const uint8_t *p, size_t n)
{
        const Std *s = userdata;

        mux_write(s->command->w->mux, s->command->lanes[s->kind], p, n);
        worker_flush(s->command->w);
}

static void on_duct_end(void *userdata, int errnum)
{
        Std *s = userdata;
        Command *c = s->command;

        s->ended = true; /* errnum: nothing more can be read, and the exit says the rest */
        mux_end(c->w->mux, c->lanes[s->kind]);
        worker_flush(c->w);
        conclude_when_drained(c);
}

static void on_duct_written(void *userdata, bool finished)
{
        const Std *s = userdata;
        Worker *w = s->command->w;

        if (finished && w->session->kind == TARE__STREAM__V1__SESSION__KIND__ATTACH) {
                Tare__Stream__V1__Command m = TARE__STREAM__V1__COMMAND__INIT;
                Tare__Stream__V1__CloseStdin close_stdin = TARE__STREAM__V1__CLOSE_STDIN__INIT;
                m.command_case = TARE__STREAM__V1__COMMAND__COMMAND_CLOSE_STDIN;
                m.close_stdin = &close_stdin;
                worker_send(w, &m);
        }
        worker_update_hold(w);
}

static const DuctEvents duct_events = {
        .room = on_duct_room, .bytes = on_duct_bytes, .end = on_duct_end, .written = on_duct_written
};

/* --- the beginning --- */

static void send_start(void *userdata)
{
        Command *c = userdata;
        Tare__Stream__V1__Command m = TARE__STREAM__V1__COMMAND__INIT;
        Tare__Stream__V1__Start start = TARE__STREAM__V1__START__INIT;

        if (c->started || c->ending)
                return;
        c->started = true;
        loop_timer_set(c->size_timer, 0);
        start.width = c->size.width;
        start.height = c->size.height;
        m.command_case = TARE__STREAM__V1__COMMAND__COMMAND_START;
        m.start = &start;
        worker_send(c->w, &m);
}

/* A program that asks for its terminal's size at once should get the client's. */
static void when_all_there(Command *c)
{
        for (int i = 0; i < N_LANES; i++)
                if (c->wanted[i] && !c->lanes[i])
                        return;
        worker_set_up(c->w);
        if (c->w->handshake.version == 1 && c->w->handshake.kind.spdy && c->lanes[STDIN])
                mux_end(c->w->mux, c->lanes[STDIN]);
        if (c->wanted[RESIZE] && c->size.width == 0)
                loop_timer_set(c->size_timer, clock_mono_ns() + FIRST_SIZE_MS * NS_PER_MS);
        else
                send_start(c);
}

static void add_channels(Command *c)
{
        Mux *mux = c->w->mux;

        for (int i = 0; i < N_LANES; i++)
                if (c->wanted[i])
                        c->lanes[i] = mux_add_channel(mux, (uint8_t)i);
        /* clients wait for a first message */
        Lane *first = c->lanes[STDOUT]   ? c->lanes[STDOUT]
                      : c->lanes[STDERR] ? c->lanes[STDERR]
                                         : c->lanes[STATUS];
        mux_write(mux, first, NULL, 0);
        when_all_there(c);
}

static void command_start(Worker *w)
{
        const Tare__Stream__V1__Session *s = w->session;
        Command *c = xnew(Command);

        w->state = c;
        c->w = w;
        c->terminal_fd = -EBADF;
        c->wanted[STATUS] = true;
        c->wanted[STDIN] = s->stdin;
        c->wanted[STDOUT] = s->stdout;
        c->wanted[STDERR] = s->stderr && !s->tty;
        c->wanted[RESIZE] = s->tty && (w->handshake.version >= 3 || !w->handshake.kind.spdy);
        c->size_timer = loop_add_timer(w->loop, 0, send_start, c);
        for (int i = STDIN; i <= STDERR; i++) {
                c->std[i] = (Std){ .command = c, .kind = i, .ended = !c->wanted[i] };
                if (c->wanted[i])
                        c->std[i].duct = duct_new(w->loop, &w->held, &duct_events, &c->std[i]);
        }
        if (!w->handshake.kind.spdy)
                add_channels(c);
}

/* --- the client's streams --- */

static unsigned on_open(void *userdata, Lane *lane, const SpdyEvent *e)
{
        const Command *c = command_of(userdata);
        const char *type = spdy_get(e, "streamtype");

        for (int i = 0; i < N_LANES; i++)
                if (str_eq(type, lane_names[i])) {
                        lane->kind = i;
                        return c->lanes[i] ? SPDY_CANCEL : 0;
                }
        return SPDY_CANCEL;
}

static void on_opened(void *userdata, Lane *lane)
{
        Command *c = command_of(userdata);

        if (!c->wanted[lane->kind]) { /* of a client that opens all it knows */
                mux_end(c->w->mux, lane);
                return;
        }
        c->lanes[lane->kind] = lane;
        when_all_there(c);
}

/* Whose lane it is; channels have it as their number. */
static int kind_of(const Command *c, const Lane *lane)
{
        for (int i = 0; i < N_LANES; i++)
                if (c->lanes[i] == lane)
                        return i;
        return N_LANES;
}

static void on_data(void *userdata, Lane *lane, const uint8_t *p, size_t n)
{
        Command *c = command_of(userdata);
        int kind = kind_of(c, lane);

        if (kind == STDIN && !c->ending)
                duct_write(c->std[STDIN].duct, p, n);
        if (kind != RESIZE || !size_read(&c->size_reader, p, n, &c->size))
                return;
        if (c->terminal_fd >= 0)
                (void)tty_resize(c->terminal_fd, c->size.height, c->size.width); /* or it ended */
        else if (!c->started)
                when_all_there(c);
}

static void on_end(void *userdata, Lane *lane, bool reset)
{
        Command *c = command_of(userdata);

        if (kind_of(c, lane) == STDIN)
                duct_finish(c->std[STDIN].duct);
}

/* The client's end of the connection comes next. */
static void on_closed(void *userdata)
{
        worker_finish(userdata, NULL);
}

/* --- the supervisor --- */

/* The descriptors in the order of Opened's flags. */
static void on_opened_event(Command *c, const Tare__Stream__V1__Opened *o, int *fds, size_t n_fds)
{
        const bool flags[] = { o->stdin, o->stdout, o->stderr, o->terminal };
        size_t n = 0;
        Err err = {};

        for (size_t i = 0; i < array_len(flags); i++)
                n += flags[i];
        if (n != n_fds || !c->started || c->opened) {
                (void)err_set(&err, ERR_INTERNAL,
                              "the pod's supervisor sent %zu descriptors, %zu announced", n_fds, n);
                fail(c, &err);
                return;
        }
        c->opened = true;
        n = 0;
        for (int i = STDIN; i <= STDERR; i++) {
                int *fd = flags[i] ? &fds[n++] : NULL;
                if (fd && c->std[i].duct)
                        duct_attach(c->std[i].duct, take_fd(*fd), i != STDIN, i == STDIN);
                else
                        c->std[i].ended = true;
                if (i == STDIN && !fd && c->std[i].duct)
                        duct_refuse(c->std[i].duct);
        }
        worker_update_hold(c->w);
        if (o->terminal)
                c->terminal_fd = take_fd(fds[n]);
        if (c->terminal_fd >= 0 && c->size.width > 0)
                (void)tty_resize(c->terminal_fd, c->size.height, c->size.width); /* or it ended */
}

static void command_event(Worker *w, const Tare__Stream__V1__Event *e, int *fds, size_t n_fds)
{
        Command *c = command_of(w);
        Err err = {};

        switch (e->event_case) {
        case TARE__STREAM__V1__EVENT__EVENT_OPENED:
                on_opened_event(c, e->opened, fds, n_fds);
                break;
        case TARE__STREAM__V1__EVENT__EVENT_EXITED:
                if (e->exited->timed_out) {
                        (void)err_set(&err, ERR_TIMEOUT, "the command did not end in time");
                        fail(c, &err);
                        break;
                }
                c->exited = !c->ending;
                c->exit_code = e->exited->exit_code;
                begin_end(c);
                break;
        case TARE__STREAM__V1__EVENT__EVENT_FAILED:
                (void)err_set(&err, err_kind_from_symbol(e->failed->kind), "%s",
                              e->failed->message);
                fail(c, &err);
                break;
        default:
                (void)err_set(&err, ERR_INTERNAL,
                              "the pod's supervisor answers what was not asked");
                fail(c, &err);
        }
}

static void command_gone(Worker *w, const Err *why)
{
        if (!command_of(w)->ending)
                fail(command_of(w), why);
}

static void command_timeout(Worker *w)
{
        Err err = {};

        (void)err_set(&err, ERR_TIMEOUT, "the client did not open its streams in time");
        fail(command_of(w), &err);
}

static void command_room(Worker *w)
{
        Command *c = command_of(w);

        for (int i = STDOUT; i <= STDERR; i++)
                if (c->std[i].duct)
                        duct_resume(c->std[i].duct);
}

static void command_free(Worker *w)
{
        Command *c = command_of(w);

        for (int i = STDIN; i <= STDERR; i++)
                duct_free(c->std[i].duct);
        loop_source_free(c->size_timer);
        fd_close(c->terminal_fd);
        free(c);
}

const SessionOps command_ops = {
        .mux = { .open = on_open,
                 .opened = on_opened,
                 .data = on_data,
                 .end = on_end,
                 .closed = on_closed },
        .start = command_start,
        .room = command_room,
        .timeout = command_timeout,
        .gone = command_gone,
        .free = command_free,
        .event = command_event,
};
