/* SPDX-License-Identifier: Apache-2.0 */
/* stream-token.c - Exec, Attach and PortForward requests wait as tokens for the client of theirs.
 * Runs in tared.
 *
 * A token is a row of the store, so that a daemon that comes after this one takes it, too. Rows and
 * table know only its SHA-256: who reads them learns no token, and finding one takes as long
 * whether it was nearly right or not. */
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "content/digest.h"
#include "engine/stream-internal.h"

static const struct {
        const char *verb; /* in the URL and in the row */
        const ProtobufCMessageDescriptor *request;
} kinds[] = {
        [STREAM_EXEC] = { "exec", &runtime__v1__exec_request__descriptor },
        [STREAM_ATTACH] = { "attach", &runtime__v1__attach_request__descriptor },
        [STREAM_PORT_FORWARD] = { "portforward", &runtime__v1__port_forward_request__descriptor },
};

static StreamKind kind_of(const char *verb)
{
        for (size_t i = 0; i < array_len(kinds); i++)
                if (kinds[i].verb && str_eq(kinds[i].verb, verb))
                        return (StreamKind)i;
        return TARE__STREAM__V1__SESSION__KIND__UNKNOWN;
}

void stream_token_free(StreamToken *t)
{
        protobuf_c_message_free_unpacked(t->request, NULL);
        free(t);
}

static void remember(Streams *s, const char *hash, StreamToken *t)
{
        s->token_bytes += t->n_bytes;
        map_set(s->tokens, hash, t);
}

/* hash may be the table's own. */
static void forget(Streams *s, const char *hash, const StreamToken *t)
{
        Err err = {};

        s->token_bytes -= t->n_bytes;

        if (store_delete(s->engine->run, STORE_STREAM_TOKEN, hash, &err) < 0)
                log_error("the token of a stream cannot be forgotten: %s", err.msg);
        (void)map_remove(s->tokens, hash);
}

/* Those that have expired go; the timer waits for the oldest that is left. */
static void sweep(void *userdata)
{
        Streams *s = userdata;
        uint64_t now = s->engine->world->now_mono(s->engine->world), next = 0;
        const char *hash;
        void *value;

        for (size_t i = 0; next == 0 && map_next(s->tokens, &i, &hash, &value);) {
                StreamToken *t = value;
                if (t->expires_ns > now) {
                        next = t->expires_ns;
                        continue;
                }
                forget(s, hash, t);
                stream_token_free(t);
        }
        loop_timer_set(s->sweep, next);
}

/* --- the store --- */

static int save(Streams *s, const char *hash, const StreamToken *t, Err *err)
{
        _cleanup_json_ Json *j = json_object_new_object();
        _cleanup_free_ char *facts = NULL;
        _cleanup_free_ uint8_t *bytes = xcalloc(1, t->n_bytes + 1);

        json_add_str(j, "verb", kinds[t->kind].verb);
        json_add_u64(j, "expires_ns", t->expires_ns);
        facts = json_print(j);
        protobuf_c_message_pack(t->request, bytes);
        return store_put(s->engine->run, STORE_STREAM_TOKEN, hash, bytes, t->n_bytes, facts, err);
}

static int load(void *data, const char *hash, const void *config, size_t len, const char *facts,
                Err *err)
{
        Streams *s = data;
        _cleanup_(stream_token_freep) StreamToken *t = xnew(StreamToken);
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *verb = NULL;
        int r = json_parse(facts, strlen(facts), JSON_CONFIG_MAX, &j, err);

        if (r >= 0)
                r = json_get_str(j, "verb", "", &verb, err);
        if (r >= 0)
                r = json_get_u64(j, "expires_ns", "", &t->expires_ns, err);
        if (r < 0)
                return err_wrap(err, r, "token of a stream");
        t->kind = kind_of(str_or(verb, ""));
        if (kinds[t->kind].request)
                t->request = protobuf_c_message_unpack(kinds[t->kind].request, NULL, len, config);
        if (!t->request) { /* of a daemon that knew more: its client asks again */
                log_warning("a stream's token is not understood: it is not taken over");
                return 0;
        }
        t->n_bytes = len;
        remember(s, hash, take_ptr(t));
        return 0;
}

int streams_new(Engine *e, Err *err)
{
        Streams *s = xnew(Streams);
        int r;

        e->streams = s;
        s->engine = e;
        s->tokens = map_new();
        s->listen_fd = -EBADF;
        s->sweep = loop_add_timer(e->world->loop, 0, sweep, s);
        r = store_each(e->run, STORE_STREAM_TOKEN, load, s, err);
        if (r == 0)
                sweep(s);
        return r;
}

void streams_free(Streams *s)
{
        const char *hash;
        void *t;

        if (!s)
                return;
        streams_let_go(s);
        for (size_t i = 0; map_next(s->tokens, &i, &hash, &t);)
                stream_token_free(t);
        map_free(s->tokens);
        loop_source_free(s->sweep);
        free(s->base_url);
        free(s);
}

/* --- giving and taking --- */

static int give(Engine *e, StreamToken *taken, char **ret_url, Err *err)
{
        _cleanup_(stream_token_freep) StreamToken *t = taken;
        Streams *s = e->streams;
        char token[ID_LEN + 1], hash[DIGEST_TEXT_SIZE];
        int r;

        if (map_len(s->tokens) >= STREAM_TOKENS_MAX)
                return err_set(err, ERR_NO_SPACE,
                               "%d URLs of exec, attach and port-forward wait for their clients: "
                               "try again when some were used or have expired (%llu s)",
                               STREAM_TOKENS_MAX, (unsigned long long)(STREAM_TOKEN_NS / NS_PER_S));
        t->n_bytes = protobuf_c_message_get_packed_size(t->request);
        if (s->token_bytes + t->n_bytes > STREAM_TOKEN_BYTES_MAX)
                return err_set(err, ERR_NO_SPACE,
                               "the requests of %zu URLs that wait for their clients have %zu MiB "
                               "together: try again when some were used or have expired (%llu s)",
                               map_len(s->tokens), STREAM_TOKEN_BYTES_MAX >> 20,
                               (unsigned long long)(STREAM_TOKEN_NS / NS_PER_S));
        t->expires_ns = e->world->now_mono(e->world) + STREAM_TOKEN_NS;
        id_new(token);
        digest_of(token, strlen(token), hash);
        r = save(s, hash, t, err);
        if (r < 0)
                return r;
        *ret_url = xasprintf("%s/%s/%s", str_or(s->base_url, ""), kinds[t->kind].verb, token);
        if (map_len(s->tokens) == 0)
                loop_timer_set(s->sweep, t->expires_ns);
        remember(s, hash, take_ptr(t));
        return 0;
}

int stream_token_take(Engine *e, const char *verb, const char *token, StreamToken **ret, Err *err)
{
        Streams *s = e->streams;
        char hash[DIGEST_TEXT_SIZE];
        StreamToken *t;

        digest_of(token, strlen(token), hash);
        t = map_get(s->tokens, hash);
        if (!t || t->kind != kind_of(verb) || t->expires_ns <= e->world->now_mono(e->world))
                return err_set(err, ERR_NOT_FOUND,
                               "the token is unknown, was used, or has expired: ask for a new URL");
        forget(s, hash, t);
        *ret = t;
        return 0;
}

/* --- requests --- */

static int find_container(Engine *e, const char *id, const char *what, Pod **ret_pod,
                          Container **ret, Err *err)
{
        const Container *c = NULL;
        int r = engine_find_container(e, id, &c, err);

        if (r == 0)
                r = container_check_running(c, id, what, err);
        if (r < 0)
                return r;
        *ret = (Container *)c;
        *ret_pod = c->pod;
        return 0;
}

int stream_find(Engine *e, const StreamToken *t, Pod **ret_pod, Container **ret_container, Err *err)
{
        const Pod *p = NULL;
        const char *id;
        int r;

        *ret_container = NULL;
        if (t->kind == STREAM_EXEC)
                return find_container(e, ((Runtime__V1__ExecRequest *)t->request)->container_id,
                                      "nothing can be executed in it", ret_pod, ret_container, err);
        if (t->kind == STREAM_ATTACH)
                return find_container(e, ((Runtime__V1__AttachRequest *)t->request)->container_id,
                                      "there is nothing to attach to", ret_pod, ret_container, err);
        id = ((Runtime__V1__PortForwardRequest *)t->request)->pod_sandbox_id;
        r = engine_find_pod(e, id, &p, err);
        if (r == 0 && (p->state != POD_READY || !p->supervisor))
                r = err_set(err, ERR_PRECONDITION,
                            "pod %.13s is not ready: there is nothing to connect to", p->id);
        *ret_pod = (Pod *)p;
        return r;
}

/* Takes a request as a token when its object can be reached; `id` is the field that names it, which
 * from now on has all of the digits. */
static int take_request(Engine *e, StreamKind kind, const ProtobufCMessage *request,
                        size_t id_offset, char **ret_url, Err *err)
{
        _cleanup_(stream_token_freep) StreamToken *t = xnew(StreamToken);
        Container *c = NULL;
        Pod *p = NULL;
        int r;

        t->kind = kind;
        t->request = engine_copy_message(request);
        r = stream_find(e, t, &p, &c, err);
        if (r < 0)
                return r;
        str_assign((char **)((char *)t->request + id_offset), c ? c->id : p->id);
        return give(e, take_ptr(t), ret_url, err);
}

static int check_streams(bool in, bool out, bool err_out, bool tty, Err *err)
{
        if (tty && err_out)
                return err_set(err, ERR_INVALID,
                               "tty and stderr: a terminal has one output, which is stdout");
        if (!in && !out && !err_out)
                return err_set(err, ERR_INVALID, "none of stdin, stdout and stderr is asked for");
        return 0;
}

int engine_check_command(char *const *words, size_t n, Err *err)
{
        size_t bytes = 0;

        if (n == 0)
                return err_set(err, ERR_INVALID, "cmd is empty: name the program to execute");
        for (size_t i = 0; i < n && bytes <= ENGINE_COMMAND_MAX; i++)
                bytes += strlen(words[i]) + 1;
        return bytes > ENGINE_COMMAND_MAX
                       ? err_set(err, ERR_TOO_LARGE,
                                 "cmd is longer than %zu bytes: put it in a file",
                                 ENGINE_COMMAND_MAX)
                       : 0;
}

int engine_exec(Engine *e, const Runtime__V1__ExecRequest *req, char **ret_url, Err *err)
{
        int r = check_streams(req->stdin, req->stdout, req->stderr, req->tty, err);

        if (r < 0)
                return r;
        r = engine_check_command(req->cmd, req->n_cmd, err);
        if (r < 0)
                return r;
        return take_request(e, STREAM_EXEC, &req->base,
                            offsetof(Runtime__V1__ExecRequest, container_id), ret_url, err);
}

int engine_attach(Engine *e, const Runtime__V1__AttachRequest *req, char **ret_url, Err *err)
{
        int r = check_streams(req->stdin, req->stdout, req->stderr, req->tty, err);

        if (r < 0)
                return r;
        return take_request(e, STREAM_ATTACH, &req->base,
                            offsetof(Runtime__V1__AttachRequest, container_id), ret_url, err);
}

int engine_port_forward(Engine *e, const Runtime__V1__PortForwardRequest *req, char **ret_url,
                        Err *err)
{
        if (req->n_port > UINT16_MAX)
                return err_set(err, ERR_TOO_LARGE, "%zu ports: there are %d", req->n_port,
                               UINT16_MAX);
        for (size_t i = 0; i < req->n_port; i++)
                if (req->port[i] < 1 || req->port[i] > UINT16_MAX)
                        return err_set(err, ERR_INVALID, "port %d: expected 1 to 65535",
                                       req->port[i]);
        return take_request(e, STREAM_PORT_FORWARD, &req->base,
                            offsetof(Runtime__V1__PortForwardRequest, pod_sandbox_id), ret_url,
                            err);
}
