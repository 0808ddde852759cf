/* SPDX-License-Identifier: Apache-2.0 */
/* links: nri oci proto_nri proto_ttrpc */
/* fuzz-nri.c - a plugin and tared, turn by turn. A turn is a byte that says what is done, two of a
 * length, and so many of payload: the plugin registers, wants updates, answers what it was asked,
 * refuses it, sends bytes; or tared asks about an event. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "fuzz/fuzz.h"
#include "nri/nri-internal.h"
#include "ttrpc/v1/ttrpc.pb-c.h"

#define ASKS_MAX 16
#define READ_MAX 65536

typedef struct Talk {
        Loop *loop;
        Nri *nri;
        int fd; /* the plugin's end */
        TtrpcReader reader;
        uint32_t asked, next; /* streams: of tared's last call, of the plugin's next */
        OciSpec *specs[ASKS_MAX];
        NriRequest *requests[ASKS_MAX]; /* NULL: answered */
        size_t n_asks;
} Talk;

/* --- tared --- */

static Nri__Container *container(void)
{
        Nri__Container *c = nri_message(Nri__Container, nri__container__init);

        nri_set_string(&c->id, "c");
        return c;
}

static Nri__PodSandbox *pod(void)
{
        Nri__PodSandbox *p = nri_message(Nri__PodSandbox, nri__pod_sandbox__init);

        nri_set_string(&p->id, "p");
        return p;
}

static void host_state(void *data, Nri__SynchronizeRequest *ret)
{
        nri_push(ret->pods, ret->n_pods, pod());
        nri_push(ret->containers, ret->n_containers, container());
}

static void host_apply(void *data, const char *plugin, const Nri__UpdateContainersRequest *req,
                       NriApplied done, void *done_data)
{
        OciResources r = {};
        Err err = {};

        for (size_t i = 0; i < req->n_update; i++)
                if (req->update[i]->linux && req->update[i]->linux->resources)
                        (void)nri_adjust_resources(&r, req->update[i]->linux->resources, &err);
        OciResources *copy = xnew(OciResources);
        *copy = r;
        oci_resources_free(copy);
        done(done_data, req->update, req->n_update);
}

static const NriHost host = { .state = host_state, .apply = host_apply };

static void answered(void *data, const Err *err, const NriResult *result)
{
        *(NriRequest **)data = NULL;
}

static void ask(Talk *t, uint8_t which)
{
        NriAsk a = { .event = (Nri__Event)(1 +
                                           which % (NRI__EVENT__VALIDATE_CONTAINER_ADJUSTMENT - 1)),
                     .done = answered };
        size_t i = t->n_asks;

        if (i == ASKS_MAX)
                return;
        t->n_asks++;
        a.data = &t->requests[i];
        a.pod = pod();
        if (a.event != NRI__EVENT__RUN_POD_SANDBOX && a.event != NRI__EVENT__STOP_POD_SANDBOX)
                a.container = container();
        if (a.event == NRI__EVENT__CREATE_CONTAINER)
                a.spec = t->specs[i] = oci_spec_default();
        if (a.event == NRI__EVENT__UPDATE_CONTAINER)
                a.resources = nri_describe_resources(NULL);
        t->requests[i] = nri_ask(t->nri, &a);
        if (which & 0x80)
                nri_cancel(t->requests[i]);
}

/* --- the plugin --- */

static void send_bytes(const Talk *t, const void *p, size_t n)
{
        if (n > 0)
                (void)send(t->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void send_message(const Talk *t, uint32_t connection, uint32_t stream, uint8_t type,
                         const ProtobufCMessage *m)
{
        _cleanup_strbuf_ StrBuf out = {};
        size_t len = protobuf_c_message_get_packed_size(m);
        _cleanup_free_ uint8_t *bytes = xcalloc(1, len + 1);

        protobuf_c_message_pack(m, bytes);
        ttrpc_write(&out, &(TtrpcFrame){ .connection = connection,
                                         .stream = stream,
                                         .type = type,
                                         .data = bytes,
                                         .len = len });
        send_bytes(t, out.data, out.len);
}

static void call(Talk *t, const char *method, const uint8_t *payload, size_t len)
{
        Ttrpc__Request req = TTRPC__REQUEST__INIT;

        req.service = (char *)"nri.pkg.api.v1alpha1.Runtime";
        req.method = (char *)method;
        req.payload = (ProtobufCBinaryData){ .data = (uint8_t *)payload, .len = len };
        send_message(t, TTRPC_FROM_PEER, t->next, TTRPC_REQUEST, &req.base);
        t->next += 2;
}

static void answer(const Talk *t, int code, const uint8_t *payload, size_t len)
{
        Ttrpc__Response res = TTRPC__RESPONSE__INIT;
        Ttrpc__Status status = TTRPC__STATUS__INIT;

        status.code = code;
        status.message = (char *)"because";
        res.status = &status;
        if (code == 0)
                res.payload = (ProtobufCBinaryData){ .data = (uint8_t *)payload, .len = len };
        send_message(t, TTRPC_TO_PEER, t->asked, TTRPC_RESPONSE, &res.base);
}

static void turn(Talk *t, uint8_t what, const uint8_t *payload, size_t len)
{
        switch (what % 6) {
        case 0:
                call(t, "RegisterPlugin", payload, len);
                break;
        case 1:
                call(t, "UpdateContainers", payload, len);
                break;
        case 2:
                answer(t, 0, payload, len);
                break;
        case 3:
                answer(t, len > 0 ? payload[0] : 12, NULL, 0);
                break;
        case 4:
                ask(t, len > 0 ? payload[0] : 0);
                break;
        default:
                send_bytes(t, payload, len);
        }
}

/* What tared has sent: only which call is the last one. */
static void listen_to(Talk *t)
{
        _cleanup_free_ uint8_t *chunk = xcalloc(1, READ_MAX);
        TtrpcFrame f;
        Err err = {};
        ssize_t n;

        for (int i = 0; i < 6; i++)
                loop_step(t->loop, 0);
        while ((n = recv(t->fd, chunk, READ_MAX, MSG_DONTWAIT)) > 0) {
                tare_assert(ttrpc_reader_add(&t->reader, chunk, (size_t)n, &err) == 0);
                while (ttrpc_reader_next(&t->reader, &f, &err) > 0) {
                        if (f.connection == TTRPC_TO_PEER)
                                t->asked = f.stream;
                        ttrpc_reader_pop(&t->reader, &f);
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const NriConfig config = { .plugin_path = "/nonexistent",
                                   .plugin_config_path = "/nonexistent",
                                   .runtime_version = "1",
                                   .registration_timeout_ns = 1000 * NS_PER_S,
                                   .request_timeout_ns = 1000 * NS_PER_S };
        Talk t = { .loop = loop_new(), .next = 1 };
        Err err = {};
        int pair[2];

        log_set_level(LOG_ERROR_);
        tare_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        tare_assert(nri_new(t.loop, &config, &host, NULL, &t.nri, &err) == 0);
        t.fd = pair[1];
        (void)plugin_new(t.nri, pair[0]);
        while (size >= 3) {
                size_t len = (size_t)data[1] << 8 | data[2];
                len = len < size - 3 ? len : size - 3;
                turn(&t, data[0], data + 3, len);
                listen_to(&t);
                data += 3 + len;
                size -= 3 + len;
        }
        nri_free(t.nri);
        for (size_t i = 0; i < t.n_asks; i++)
                oci_spec_free(t.specs[i]);
        ttrpc_reader_done(&t.reader);
        close(t.fd);
        loop_free(t.loop);
        return 0;
}
