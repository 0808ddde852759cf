/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-echo-server.c - serves a few methods of runtime.v1 with canned behaviours, for the tests of
 * src/wire against grpc-go. grpc-echo-server SOCKET; ends at SIGTERM when it is drained.
 *
 * Version, by the request's version:
 *   delay:MS          answers after MS
 *   hang              never answers; notes when it is cancelled
 *   fail:KIND         fails with that kind
 *   bad-utf8          answers with bytes that are not UTF-8
 *   big:BYTES         answers with a runtime_name of that size
 *   stats             runtime_name is "connections calls total cancelled timeouts observed"
 *   anything else     echoed as runtime_name
 * ExecSync            stdout: all arguments; exit_code: their number; stderr: "timeout" if any
 * ListImages          filter.image.image=N gives N images
 * StreamImages        filter.image.image=
 *   now:N:BYTES       N messages with an id of BYTES, at once
 *   tick:N:MS         N messages, one each MS
 *   until-full:BYTES  sends until the queue is full
 *   now-fail:N        N messages, then fails
 * ImageFsInfo is in the table without a handler. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/loop.h"
#include "base/str.h"
#include "runtime/v1/api.pb-c.h"
#include "wire/grpc-server.h"

typedef struct Echo {
        Loop *loop;
        GrpcServer *server;
        unsigned cancelled, timeouts, observed;
} Echo;

typedef struct Pending {
        Echo *echo;
        GrpcCall *call;
        LoopSource *timer;
        unsigned left, every_ms;
        char *name;
} Pending;

static void pending_free(Pending *p)
{
        loop_source_free(p->timer);
        free(p->name);
        free(p);
}

static void on_cancelled(void *data, GrpcCall *call, ErrKind why)
{
        Pending *p = data;

        p->echo->cancelled += why == ERR_CANCELED;
        p->echo->timeouts += why == ERR_TIMEOUT;
        pending_free(p);
}

static Pending *pending_new(Echo *echo, GrpcCall *call, unsigned ms, LoopTimerFn fn)
{
        Pending *p = xnew(Pending);

        p->echo = echo;
        p->call = call;
        p->every_ms = ms;
        if (fn)
                p->timer = loop_add_timer(echo->loop, clock_mono_ns() + ms * NS_PER_MS, fn, p);
        grpc_call_set_data(call, p, on_cancelled);
        return p;
}

static void reply_version(GrpcCall *call, char *name)
{
        Runtime__V1__VersionResponse r = RUNTIME__V1__VERSION_RESPONSE__INIT;

        r.version = (char *)"0.1.0";
        r.runtime_name = name;
        r.runtime_version = (char *)"1";
        r.runtime_api_version = (char *)"v1";
        grpc_call_reply(call, &r.base);
}

static void on_delay_over(void *userdata)
{
        Pending *p = userdata;

        reply_version(p->call, p->name);
        pending_free(p);
}

static void reply_stats(Echo *echo, GrpcCall *call)
{
        GrpcServerStats st;

        grpc_server_stats(echo->server, &st);
        _cleanup_free_ char *text = xasprintf("%u %u %llu %u %u %u", st.connections, st.calls,
                                              (unsigned long long)st.calls_total, echo->cancelled,
                                              echo->timeouts, echo->observed);
        reply_version(call, text);
}

static void reply_big(GrpcCall *call, size_t size)
{
        _cleanup_free_ char *text = xcalloc(1, size + 1);

        memset(text, 'x', size);
        reply_version(call, text);
}

static void fail(GrpcCall *call, const char *symbol)
{
        Err err = {};

        (void)err_set(&err, err_kind_from_symbol(symbol), "asked to fail: 100%%, \xc3\xbc, \xff");
        grpc_call_fail(call, &err);
}

static void version(void *userdata, GrpcCall *call, const ProtobufCMessage *msg)
{
        const Runtime__V1__VersionRequest *req = (const Runtime__V1__VersionRequest *)msg;
        const char *arg;

        if ((arg = str_skip_prefix(req->version, "delay:"))) {
                Pending *p = pending_new(userdata, call, (unsigned)strtoul(arg, NULL, 10),
                                         on_delay_over);
                p->name = xstrdup(req->version);
        } else if (str_eq(req->version, "hang")) {
                (void)pending_new(userdata, call, 0, NULL);
        } else if ((arg = str_skip_prefix(req->version, "fail:"))) {
                fail(call, arg);
        } else if (str_eq(req->version, "bad-utf8")) {
                char bad[] = "a\xff\xc3z";
                reply_version(call, bad);
        } else if ((arg = str_skip_prefix(req->version, "big:"))) {
                reply_big(call, strtoul(arg, NULL, 10));
        } else if (str_eq(req->version, "stats")) {
                reply_stats(userdata, call);
        } else {
                reply_version(call, req->version);
        }
}

static void exec_sync(void *userdata, GrpcCall *call, const ProtobufCMessage *msg)
{
        const Runtime__V1__ExecSyncRequest *req = (const Runtime__V1__ExecSyncRequest *)msg;
        Runtime__V1__ExecSyncResponse r = RUNTIME__V1__EXEC_SYNC_RESPONSE__INIT;
        _cleanup_strbuf_ StrBuf out = {};

        for (size_t i = 0; i < req->n_cmd; i++)
                strbuf_adds(&out, req->cmd[i]);
        r.stdout.data = (uint8_t *)out.data;
        r.stdout.len = out.len;
        r.exit_code = (int32_t)req->n_cmd;
        if (req->timeout) {
                r.stderr.data = (uint8_t *)"timeout";
                r.stderr.len = 7;
        }
        grpc_call_reply(call, &r.base);
}

static const char *filter_arg(const Runtime__V1__ImageFilter *f)
{
        return f && f->image ? f->image->image : "";
}

static void list_images(void *userdata, GrpcCall *call, const ProtobufCMessage *msg)
{
        const Runtime__V1__ListImagesRequest *req = (const Runtime__V1__ListImagesRequest *)msg;
        Runtime__V1__ListImagesResponse r = RUNTIME__V1__LIST_IMAGES_RESPONSE__INIT;
        size_t n = strtoul(filter_arg(req->filter), NULL, 10);
        _cleanup_free_ Runtime__V1__Image *images = xnew_array(Runtime__V1__Image, n);
        _cleanup_free_ Runtime__V1__Image **list = xnew_array(Runtime__V1__Image *, n);

        for (size_t i = 0; i < n; i++) {
                runtime__v1__image__init(&images[i]);
                images[i].id = (char *)"sha256:0123456789abcdef";
                images[i].size = i;
                list[i] = &images[i];
        }
        r.images = list;
        r.n_images = n;
        grpc_call_reply(call, &r.base);
}

static int send_image(GrpcCall *call, char *id, uint64_t size)
{
        Runtime__V1__StreamImagesResponse r = RUNTIME__V1__STREAM_IMAGES_RESPONSE__INIT;
        Runtime__V1__Image image = RUNTIME__V1__IMAGE__INIT, *list[] = { &image };

        image.id = id;
        image.size = size;
        r.images = list;
        r.n_images = 1;
        return grpc_call_send(call, &r.base);
}

static void on_tick(void *userdata)
{
        Pending *p = userdata;

        if (p->left == 0) {
                grpc_call_reply(p->call, NULL);
                pending_free(p);
                return;
        }
        (void)send_image(p->call, (char *)"tick", p->left--);
        loop_timer_set(p->timer, clock_mono_ns() + p->every_ms * NS_PER_MS);
}

static void stream_now(GrpcCall *call, const char *arg, bool until_full)
{
        char *rest = NULL;
        unsigned long n = until_full ? 1000000 : strtoul(arg, &rest, 10);
        size_t size = until_full ? strtoul(arg, NULL, 10) : strtoul(rest + 1, NULL, 10);
        _cleanup_free_ char *id = xcalloc(1, size + 1);

        memset(id, 'i', size);
        for (unsigned long i = 0; i < n; i++)
                if (send_image(call, id, i) < 0)
                        return; /* the call has failed */
        grpc_call_reply(call, NULL);
}

static void stream_images(void *userdata, GrpcCall *call, const ProtobufCMessage *msg)
{
        const Runtime__V1__StreamImagesRequest *req = (const Runtime__V1__StreamImagesRequest *)msg;
        const char *arg, *what = filter_arg(req->filter);
        unsigned n = 0, ms = 0;

        if ((arg = str_skip_prefix(what, "now:"))) {
                stream_now(call, arg, false);
        } else if ((arg = str_skip_prefix(what, "until-full:"))) {
                stream_now(call, arg, true);
        } else if ((arg = str_skip_prefix(what, "now-fail:"))) {
                for (n = (unsigned)strtoul(arg, NULL, 10); n > 0; n--)
                        (void)send_image(call, (char *)"before", n);
                fail(call, "NOT_FOUND");
        } else if (sscanf(what, "tick:%u:%u", &n, &ms) == 2) {
                pending_new(userdata, call, ms, on_tick)->left = n;
        } else {
                grpc_call_reply(call, NULL);
        }
}

static const GrpcMethod methods[] = {
        { "/runtime.v1.RuntimeService/Version", &runtime__v1__version_request__descriptor,
          &runtime__v1__version_response__descriptor, false, version },
        { "/runtime.v1.RuntimeService/ExecSync", &runtime__v1__exec_sync_request__descriptor,
          &runtime__v1__exec_sync_response__descriptor, false, exec_sync },
        { "/runtime.v1.ImageService/ListImages", &runtime__v1__list_images_request__descriptor,
          &runtime__v1__list_images_response__descriptor, false, list_images },
        { "/runtime.v1.ImageService/StreamImages", &runtime__v1__stream_images_request__descriptor,
          &runtime__v1__stream_images_response__descriptor, true, stream_images },
        { "/runtime.v1.ImageService/ImageFsInfo", &runtime__v1__image_fs_info_request__descriptor,
          &runtime__v1__image_fs_info_response__descriptor, false, NULL },
        {},
};

static void on_observed(void *data, const char *method, int code, uint64_t duration_ns)
{
        ((Echo *)data)->observed++;
}

static void on_drained(void *data)
{
        loop_quit(((Echo *)data)->loop, 0);
}

static void on_term(void *userdata, int signo)
{
        grpc_server_stop(((Echo *)userdata)->server, on_drained, userdata);
}

int main(int argc, char **argv)
{
        Echo echo = {};

        if (argc != 2) {
                fprintf(stderr, "usage: grpc-echo-server SOCKET\n");
                return 2;
        }
        int fd = io_unix_listen(argv[1], 512);
        if (fd < 0) {
                fprintf(stderr, "grpc-echo-server: %s: %s\n", argv[1], strerror(-fd));
                return 1;
        }
        echo.loop = loop_new();
        echo.server = grpc_server_new(echo.loop, fd, methods, &echo);
        grpc_server_set_observer(echo.server, on_observed, &echo);
        LoopSource *term = loop_add_signal(echo.loop, SIGTERM, on_term, &echo);
        int code = loop_run(echo.loop);
        loop_source_free(term);
        grpc_server_free(echo.server);
        loop_free(echo.loop);
        return code;
}
