/* SPDX-License-Identifier: Apache-2.0 */
/* links: wire proto_cri */
/* test-wire-client.c - our client against our server, which runs in a child of the test. */
#include "unit/test.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/loop.h"
#include "runtime/v1/api.pb-c.h"
#include "wire/grpc-client.h"
#include "wire/grpc-server.h"
#include "wire/wire.h"

#define VERSION "/runtime.v1.RuntimeService/Version"
#define STREAM  "/runtime.v1.ImageService/StreamImages"

/* ---- the server ---- */

typedef struct Child {
        Loop *loop;
        GrpcServer *server;
} Child;

static void reply(GrpcCall *call, char *name)
{
        Runtime__V1__VersionResponse r = RUNTIME__V1__VERSION_RESPONSE__INIT;

        r.runtime_name = name;
        grpc_call_reply(call, &r.base);
}

typedef struct Later {
        GrpcCall *call;
        LoopSource *timer;
} Later;

static void on_gone(void *data, GrpcCall *call, ErrKind why)
{
        Later *l = data;

        loop_source_free(l->timer);
        free(l);
}

static void on_later(void *data)
{
        Later *l = data;

        reply(l->call, (char *)"late");
        on_gone(l, NULL, ERR_NONE);
}

static void version(void *userdata, GrpcCall *call, const ProtobufCMessage *msg)
{
        const Runtime__V1__VersionRequest *req = (const Runtime__V1__VersionRequest *)msg;
        const char *arg;

        if ((arg = str_skip_prefix(req->version, "delay:"))) {
                Later *l = xnew(Later);
                l->call = call;
                l->timer = loop_add_timer(((Child *)userdata)->loop,
                                          clock_mono_ns() + strtoul(arg, NULL, 10) * NS_PER_MS,
                                          on_later, l);
                grpc_call_set_data(call, l, on_gone);
        } else if ((arg = str_skip_prefix(req->version, "big:"))) {
                size_t n = strtoul(arg, NULL, 10);
                _cleanup_free_ char *text = xcalloc(1, n + 1);
                memset(text, 'b', n);
                reply(call, text);
        } else if ((arg = str_skip_prefix(req->version, "fail:"))) {
                Err err = {};
                (void)err_set(&err, err_kind_from_symbol(arg), "failed: %% \xe2\x82\xac");
                grpc_call_fail(call, &err);
        } else {
                reply(call, req->version);
        }
}

/* filter.image.image: COUNT messages; then fails when annotations has anything */
static void stream(void *userdata, GrpcCall *call, const ProtobufCMessage *msg)
{
        const Runtime__V1__StreamImagesRequest *req = (const Runtime__V1__StreamImagesRequest *)msg;
        Runtime__V1__StreamImagesResponse r = RUNTIME__V1__STREAM_IMAGES_RESPONSE__INIT;
        Runtime__V1__Image image = RUNTIME__V1__IMAGE__INIT, *list[] = { &image };
        _cleanup_free_ char *id = xcalloc(1, 20001);

        memset(id, 'i', 20000);
        image.id = id;
        r.images = list;
        r.n_images = 1;
        for (unsigned long n = strtoul(req->filter->image->image, NULL, 10); n > 0; n--) {
                image.size = n;
                ASSERT_OK(grpc_call_send(call, &r.base));
        }
        if (req->filter->image->n_annotations == 0) {
                grpc_call_reply(call, NULL);
                return;
        }
        Err err = {};
        (void)err_set(&err, ERR_NOT_FOUND, "after the messages");
        grpc_call_fail(call, &err);
}

static const GrpcMethod methods[] = {
        { VERSION, &runtime__v1__version_request__descriptor,
          &runtime__v1__version_response__descriptor, false, version },
        { STREAM, &runtime__v1__stream_images_request__descriptor,
          &runtime__v1__stream_images_response__descriptor, true, stream },
        {},
};

static void on_drained(void *data)
{
        loop_quit(((Child *)data)->loop, 0);
}

static void on_term(void *userdata, int signo)
{
        grpc_server_stop(((Child *)userdata)->server, on_drained, userdata);
}

static pid_t serve(const char *path)
{
        int fd = io_unix_listen(path, 16);

        ASSERT_OK(fd);
        pid_t pid = fork();
        if (pid > 0) {
                close(fd);
                return pid;
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        Child child = { .loop = loop_new() };
        LoopSource *term = loop_add_signal(child.loop, SIGTERM, on_term, &child);
        child.server = grpc_server_new(child.loop, fd, methods, &child);
        int code = loop_run(child.loop);
        loop_source_free(term);
        grpc_server_free(child.server);
        loop_free(child.loop);
        _exit(code);
}

static void end_server(pid_t pid)
{
        int status;

        kill(pid, SIGTERM);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
}

/* ---- the calls ---- */

static int call(GrpcClient *c, const char *arg, unsigned timeout_ms, char **ret_name, Err *err)
{
        Runtime__V1__VersionRequest req = RUNTIME__V1__VERSION_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;

        req.version = (char *)arg;
        int r = grpc_client_call(c, VERSION, &req.base, &runtime__v1__version_response__descriptor,
                                 timeout_ms, &answer, err);
        if (r < 0)
                return r;
        if (ret_name)
                *ret_name = xstrdup(((Runtime__V1__VersionResponse *)answer)->runtime_name);
        protobuf_c_message_free_unpacked(answer, NULL);
        return 0;
}

typedef struct Setup {
        char *path;
        pid_t server;
        GrpcClient *client;
} Setup;

static Setup setup(void)
{
        Setup s = { .path = test_path("s") };
        _cleanup_free_ char *address = xasprintf("unix://%s", s.path);
        Err err = {};

        s.server = serve(s.path);
        ASSERT_OK_ERR(grpc_client_open(address, &s.client, &err), err);
        return s;
}

static void done(Setup *s)
{
        grpc_client_free(s->client);
        end_server(s->server);
        unlink(s->path);
        free(s->path);
}

TEST(client, unary)
{
        Setup s = setup();
        _cleanup_free_ char *name = NULL, *empty = NULL;
        Err err = {};

        ASSERT_OK_ERR(call(s.client, "hello", 5000, &name, &err), err);
        ASSERT_STREQ(name, "hello");
        ASSERT_OK_ERR(call(s.client, "", 0, &empty, &err), err);
        ASSERT_STREQ(empty, "");
        done(&s);
}

TEST(client, failures_keep_kind_and_text)
{
        static const ErrKind kinds[] = { ERR_INVALID, ERR_NOT_FOUND,   ERR_EXISTS,  ERR_DENIED,
                                         ERR_BUSY,    ERR_UNAVAILABLE, ERR_INTERNAL };
        Setup s = setup();

        for (size_t i = 0; i < array_len(kinds); i++) {
                _cleanup_free_ char *arg = xasprintf("fail:%s", err_kind_symbol(kinds[i]));
                Err err = {};
                ASSERT_ERR(call(s.client, arg, 0, NULL, &err), err_kind_errno(kinds[i]));
                ASSERT_EQ(err.kind, kinds[i]);
                ASSERT_STREQ(err.msg, "failed: % \xe2\x82\xac");
        }
        done(&s);
}

TEST(client, unknown_method)
{
        Setup s = setup();
        Runtime__V1__VersionRequest req = RUNTIME__V1__VERSION_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;
        Err err = {};

        ASSERT_ERR(grpc_client_call(s.client, "/runtime.v1.RuntimeService/None", &req.base,
                                    &runtime__v1__version_response__descriptor, 0, &answer, &err),
                   EOPNOTSUPP);
        ASSERT_CONTAINS(err.msg, "unknown method /runtime.v1.RuntimeService/None");
        done(&s);
}

TEST(client, timeout_and_then_another_call)
{
        Setup s = setup();
        _cleanup_free_ char *name = NULL;
        Err err = {};
        uint64_t start = clock_mono_ns();

        ASSERT_ERR(call(s.client, "delay:20000", 100, NULL, &err), ETIMEDOUT);
        ASSERT_TRUE(clock_mono_ns() - start < 5 * NS_PER_S);
        ASSERT_OK_ERR(call(s.client, "next", 0, &name, &err), err);
        ASSERT_STREQ(name, "next");
        done(&s);
}

TEST(client, sizes)
{
        Setup s = setup();
        size_t n = WIRE_MESSAGE_MAX - 100;
        _cleanup_free_ char *name = NULL, *over = xcalloc(1, WIRE_MESSAGE_MAX + 1), *arg = NULL;
        Err err = {};

        arg = xasprintf("big:%zu", n);
        ASSERT_OK_ERR(call(s.client, arg, 0, &name, &err), err);
        ASSERT_EQ(strlen(name), n);
        ASSERT_ERR(call(s.client, "big:16777300", 0, NULL, &err));
        ASSERT_CONTAINS(err.msg, "over the limit of 16777216");
        memset(over, 'o', WIRE_MESSAGE_MAX);
        ASSERT_ERR(call(s.client, over, 0, NULL, &err), E2BIG);
        over[n] = 0;
        ASSERT_OK_ERR(call(s.client, over, 0, NULL, &err), err);
        done(&s);
}

typedef struct Seen {
        unsigned messages, stop_after;
        int stop_with;
} Seen;

static int on_image(void *data, const ProtobufCMessage *msg)
{
        Seen *seen = data;

        ASSERT_EQ(((const Runtime__V1__StreamImagesResponse *)msg)->n_images, 1);
        seen->messages++;
        return seen->stop_after && seen->messages == seen->stop_after ? seen->stop_with : 0;
}

static int run_stream(GrpcClient *c, const char *count, bool then_fail, Seen *seen, Err *err)
{
        Runtime__V1__StreamImagesRequest req = RUNTIME__V1__STREAM_IMAGES_REQUEST__INIT;
        Runtime__V1__ImageFilter filter = RUNTIME__V1__IMAGE_FILTER__INIT;
        Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
        Runtime__V1__ImageSpec__AnnotationsEntry entry =
                RUNTIME__V1__IMAGE_SPEC__ANNOTATIONS_ENTRY__INIT;
        Runtime__V1__ImageSpec__AnnotationsEntry *entries[] = { &entry };

        spec.image = (char *)count;
        spec.annotations = entries;
        spec.n_annotations = then_fail;
        filter.image = &spec;
        req.filter = &filter;
        return grpc_client_stream(c, STREAM, &req.base,
                                  &runtime__v1__stream_images_response__descriptor, on_image, seen,
                                  err);
}

TEST(client, streams)
{
        Setup s = setup();
        Seen all = {}, none = {}, failed = {};
        Err err = {};

        ASSERT_OK_ERR(run_stream(s.client, "1000", false, &all, &err), err);
        ASSERT_EQ(all.messages, 1000);
        ASSERT_OK_ERR(run_stream(s.client, "0", false, &none, &err), err);
        ASSERT_EQ(none.messages, 0);
        ASSERT_ERR(run_stream(s.client, "300", true, &failed, &err), ENOENT);
        ASSERT_STREQ(err.msg, "after the messages");
        ASSERT_EQ(failed.messages, 300);
        done(&s);
}

TEST(client, streams_end_when_the_reader_wants)
{
        Setup s = setup();
        Seen enough = { .stop_after = 5, .stop_with = 1 };
        Seen broken = { .stop_after = 5, .stop_with = -1 };
        Err err = {};

        ASSERT_OK_ERR(run_stream(s.client, "2000", false, &enough, &err), err);
        ASSERT_EQ(enough.messages, 5);
        ASSERT_ERR(run_stream(s.client, "2000", false, &broken, &err), ECANCELED);
        ASSERT_EQ(broken.messages, 5);
        ASSERT_OK_ERR(call(s.client, "still there", 0, NULL, &err), err);
        done(&s);
}

TEST(client, nothing_listens)
{
        _cleanup_free_ char *path = test_path("none");
        GrpcClient *c = NULL;
        Err err = {};

        ASSERT_ERR(grpc_client_open(path, &c, &err), EAGAIN);
        ASSERT_EQ(err.kind, ERR_UNAVAILABLE);
        ASSERT_CONTAINS(err.msg, path);
        ASSERT_CONTAINS(err.msg, "start the daemon");
        ASSERT_ERR(grpc_client_open("tcp://1.2.3.4:5", &c, &err), EINVAL);
        ASSERT_NULL(c);
}

TEST(client, outlives_a_restart_of_the_server)
{
        Setup s = setup();
        Err err = {};

        ASSERT_OK_ERR(call(s.client, "one", 0, NULL, &err), err);
        end_server(s.server);
        unlink(s.path);
        ASSERT_ERR(call(s.client, "two", 0, NULL, &err), EAGAIN);
        s.server = serve(s.path);
        ASSERT_OK_ERR(call(s.client, "three", 0, NULL, &err), err);
        done(&s);
}

TEST(client, server_killed_during_a_call)
{
        _cleanup_free_ char *path = test_path("s");
        pid_t server = serve(path);
        GrpcClient *c = NULL;
        Err err = {};
        int status;

        ASSERT_OK_ERR(grpc_client_open(path, &c, &err), err);
        pid_t killer = fork();
        if (killer == 0) {
                usleep(200000);
                _exit(kill(server, SIGKILL) < 0);
        }
        ASSERT_ERR(call(c, "delay:20000", 0, NULL, &err), EAGAIN);
        ASSERT_CONTAINS(err.msg, path);
        ASSERT_EQ(waitpid(killer, &status, 0), killer);
        ASSERT_EQ(waitpid(server, &status, 0), server);
        grpc_client_free(c);
        unlink(path);
}

TEST_MAIN
