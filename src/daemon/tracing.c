/* SPDX-License-Identifier: Apache-2.0 */
/* tracing.c - see tracing.h: the side of tared. */
#include "daemon/tracing.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#define RESTART_NS  (5 * NS_PER_S)
#define TRACE_BYTES 16
#define SPAN_BYTES  8
#define SCHEME      "http://"

struct Tracing {
        char *endpoint;
        Loop *loop;
        int fd, pidfd;
        LoopSource *io, *exit;
        uint64_t started_ns;
        TracingCounters counters;
};

/* --- the exporter --- */

int tracing_parse_url(const char *url, TracingUrl *ret)
{
        const char *host = str_skip_prefix(url, SCHEME);
        const char *slash = host ? strchr(host, '/') : NULL;
        size_t len = host ? (slash ? (size_t)(slash - host) : strlen(host)) : 0;
        _cleanup_free_ char *authority = xstrndup(str_or(host, ""), len);
        char *colon = strrchr(authority, ':'), *name = authority;
        uint32_t port = 0;

        if (!colon || str_to_u32(colon + 1, &port) < 0 || port == 0 || port > 65535)
                return -EINVAL;
        *colon = 0;
        len = strlen(name);
        if (len > 2 && name[0] == '[' && name[len - 1] == ']') {
                name[len - 1] = 0;
                name++;
        }
        if (!*name || strlen(name) >= sizeof(ret->host))
                return -EINVAL;
        for (const char *c = url; *c; c++)
                if (*c <= ' ' || *c == 0x7f)
                        return -EINVAL;
        *ret = (TracingUrl){ .path = slash ? slash : "/v1/traces" };
        snprintf(ret->host, sizeof(ret->host), "%s", name);
        snprintf(ret->port, sizeof(ret->port), "%u", port);
        return 0;
}

int tracing_check_endpoint(const char *endpoint, Err *err)
{
        TracingUrl u;

        if (str_empty(endpoint) || tracing_parse_url(endpoint, &u) == 0)
                return 0;
        return err_set(err, ERR_INVALID,
                       "tracing.endpoint \"%s\": expected http://HOST:PORT/PATH of an OTLP "
                       "collector (4318 and /v1/traces as a rule)",
                       endpoint);
}

static void close_exporter(Tracing *t)
{
        loop_source_free(take_ptr(t->io));
        loop_source_free(take_ptr(t->exit));
        t->fd = fd_close(t->fd);
        t->pidfd = fd_close(t->pidfd);
}

static void on_exit_(void *userdata, int fd, uint32_t revents)
{
        Tracing *t = userdata;
        int status;

        if (pidfd_reap(fd, false, &status) == -EAGAIN)
                return;
        log_warning("tracing: the exporter has ended; a new one starts with the next operation");
        close_exporter(t);
}

static void on_report(void *userdata, int fd, uint32_t revents)
{
        Tracing *t = userdata;
        TracingReport r;
        ssize_t n = recv(fd, &r, sizeof(r), MSG_DONTWAIT);

        if (n == sizeof(r)) {
                t->counters.sent += r.sent;
                t->counters.failed += r.failed;
        } else if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
                loop_source_free(take_ptr(t->io)); /* its end is told by the pidfd */
        }
}

/* With pauses, so that one that ends at once is not started all the time. */
static int start_exporter(Tracing *t)
{
        uint64_t now = clock_mono_ns();
        Spawn spawn = SPAWN_INIT;
        int pair[2], r;

        if (t->pidfd >= 0 || (t->started_ns && now - t->started_ns < RESTART_NS))
                return -EAGAIN;
        t->started_ns = now;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        _cleanup_close_ int ours = pair[0], theirs = pair[1];
        spawn.path = "/proc/self/exe";
        spawn.argv = (char *[]){ (char *)"tare-exporter", (char *)"--exporter", t->endpoint, NULL };
        spawn.envp = environ;
        spawn.stdio[0] = theirs;
        spawn.stdio[2] = STDERR_FILENO;
        spawn.new_session = true;
        r = spawn_program(&spawn, NULL, &t->pidfd);
        if (r < 0) {
                log_warning("tracing: start the exporter: %s", strerror(-r));
                return r;
        }
        t->fd = take_fd(ours);
        t->io = loop_add_fd(t->loop, t->fd, EPOLLIN, on_report, t);
        t->exit = loop_add_fd(t->loop, t->pidfd, EPOLLIN, on_exit_, t);
        return 0;
}

Tracing *tracing_new(const char *endpoint, Loop *loop)
{
        Tracing *t = xnew(Tracing);

        t->endpoint = xstrdup(endpoint);
        t->loop = loop;
        t->fd = t->pidfd = -EBADF;
        return t;
}

/* The exporter sees the end of its socket, sends what it has, and ends. */
void tracing_free(Tracing *t)
{
        if (!t)
                return;
        close_exporter(t);
        free(t->endpoint);
        free(t);
}

/* --- spans --- */

static char *random_hex(size_t bytes)
{
        uint8_t raw[TRACE_BYTES];
        StrBuf b = {};

        if (getrandom(raw, bytes, 0) < 0)
                memset(raw, 1, bytes); /* the ids need not be secret */
        for (size_t i = 0; i < bytes; i++)
                strbuf_addf(&b, "%02x", raw[i]);
        return strbuf_take(&b);
}

static void add_attribute(Json *span, const char *key, const char *value)
{
        Json *list = NULL, *one, *v;

        if (str_empty(value))
                return;
        if (!json_object_object_get_ex(span, "attributes", &list))
                list = json_add_array(span, "attributes");
        one = json_object_new_object();
        json_add_str(one, "key", key);
        v = json_add_obj(one, "value");
        json_add_str(v, "stringValue", value);
        json_object_array_add(list, one);
}

/* begin, end: CLOCK_MONOTONIC; OTLP has 64-bit numbers as text. */
static Json *new_span(const Op *op, const char *trace, const char *id, const char *name,
                      uint64_t begin, uint64_t end)
{
        Json *span = json_object_new_object();
        int64_t real = op->started_real - (int64_t)op->started_ns;
        _cleanup_free_ char *from = xasprintf("%" PRId64, real + (int64_t)begin);
        _cleanup_free_ char *to = xasprintf("%" PRId64, real + (int64_t)end);

        json_add_str(span, "traceId", trace);
        json_add_str(span, "spanId", id);
        json_add_str(span, "name", name);
        json_add_i64(span, "kind", 1); /* internal */
        json_add_str(span, "startTimeUnixNano", from);
        json_add_str(span, "endTimeUnixNano", to);
        return span;
}

static void add_status(Json *span, const Err *err)
{
        Json *status = json_add_obj(span, "status");

        json_add_i64(status, "code", err ? 2 : 1);
        if (err)
                json_add_str(status, "message", err->msg);
}

static void put(StrBuf *b, Json *span)
{
        strbuf_addf(b, "%s%s", b->len ? "," : "",
                    json_object_to_json_string_ext(span, JSON_C_TO_STRING_PLAIN));
        json_object_put(span);
}

/* The verb's span, then one of each step that was run. */
static void make_spans(const Op *op, const Err *err, StrBuf *out)
{
        _cleanup_free_ char *trace = random_hex(TRACE_BYTES), *root = random_hex(SPAN_BYTES);
        Json *span = new_span(op, trace, root, op->verb->name, op->started_ns, op->ended_ns);

        add_attribute(span, "tare.pod", op->pod_id);
        add_attribute(span, "tare.object", op->subject);
        add_status(span, err);
        put(out, span);
        for (unsigned i = 0; i < OP_STEPS_MAX && op->verb->steps[i].name; i++) {
                _cleanup_free_ char *name = NULL, *id = NULL;
                if (!op->step_begun_ns[i])
                        continue;
                id = random_hex(SPAN_BYTES);
                name = xasprintf("%s.%s", op->verb->name, op->verb->steps[i].name);
                span = new_span(op, trace, id, name, op->step_begun_ns[i],
                                op->step_begun_ns[i] + op->step_ns[i]);
                json_add_str(span, "parentSpanId", root);
                add_status(span, err && i == op->failed_step ? err : NULL);
                put(out, span);
        }
}

void tracing_op(Tracing *t, const Op *op, const Err *err)
{
        _cleanup_strbuf_ StrBuf b = {};

        if (op->verb->unrecorded)
                return;
        if (t->fd < 0 && start_exporter(t) < 0) {
                t->counters.dropped++;
                return;
        }
        make_spans(op, err, &b);
        if (b.len > TRACING_MESSAGE_MAX ||
            send(t->fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                t->counters.dropped++;
}

void tracing_counters(const Tracing *t, TracingCounters *ret)
{
        *ret = t ? t->counters : (TracingCounters){};
}
