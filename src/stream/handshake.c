/* SPDX-License-Identifier: Apache-2.0 */
/* handshake.c - see handshake.h. */
#include "stream/handshake.h"

#include "base/cleanup.h"
#include "wire/websocket.h"

static const struct {
        HandshakeVerb verb;
        const char *name;
} verbs[] = {
        { HANDSHAKE_EXEC, "exec" },
        { HANDSHAKE_ATTACH, "attach" },
        { HANDSHAKE_PORT_FORWARD, "portforward" },
};

/* base64url, as tokens are */
static bool token_valid(const char *s, size_t n)
{
        static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                    "-_=";
        return n > 0 && n <= HANDSHAKE_TOKEN_MAX && strspn(s, chars) == n;
}

unsigned handshake_target(const Http1Head *h, HandshakeTarget *ret, const char **ret_text)
{
        size_t n_path = strcspn(h->target, "?");

        if (!str_eq(h->method, "GET") && !str_eq(h->method, "POST")) {
                *ret_text = "the method must be GET or POST\n";
                return 405;
        }
        for (size_t i = 0; h->target[0] == '/' && i < array_len(verbs); i++) {
                const char *rest = str_skip_prefix(h->target + 1, verbs[i].name);
                if (!rest || *rest++ != '/')
                        continue;
                size_t n = n_path - (size_t)(rest - h->target);
                if (!token_valid(rest, n))
                        break;
                ret->verb = verbs[i].verb;
                ret->verb_name = verbs[i].name;
                memcpy(ret->token, rest, n);
                ret->token[n] = '\0';
                return 0;
        }
        *ret_text = "not found\n";
        return 404;
}

/* --- protocols --- */

typedef struct Protocol {
        const char *name;
        Handshake what;
} Protocol;

#define SPDY                                                                                       \
        {                                                                                          \
                .spdy = true                                                                       \
        }
#define CHANNELS                                                                                   \
        {                                                                                          \
                .websocket = true                                                                  \
        }
#define CHANNELS_TEXT                                                                              \
        {                                                                                          \
                .websocket = true, .base64 = true                                                  \
        }
#define CHANNELS_CLOSE                                                                             \
        {                                                                                          \
                .websocket = true, .close_signals = true                                           \
        }
#define TUNNEL                                                                                     \
        {                                                                                          \
                .websocket = true, .spdy = true                                                    \
        }

/* Those of refusals are listed in this order. */
static const Protocol spdy_command[] = {
        { "v5.channel.k8s.io", { SPDY, 5 } }, { "v4.channel.k8s.io", { SPDY, 4 } },
        { "v3.channel.k8s.io", { SPDY, 3 } }, { "v2.channel.k8s.io", { SPDY, 2 } },
        { "channel.k8s.io", { SPDY, 1 } },    {},
};
static const Protocol spdy_forward[] = { { "portforward.k8s.io", { SPDY, 0 } }, {} };
static const Protocol websocket_command[] = {
        { "v5.channel.k8s.io", { CHANNELS_CLOSE, 5 } },
        { "v4.channel.k8s.io", { CHANNELS, 4 } },
        { "v4.base64.channel.k8s.io", { CHANNELS_TEXT, 4 } },
        { "channel.k8s.io", { CHANNELS, 1 } },
        { "base64.channel.k8s.io", { CHANNELS_TEXT, 1 } },
        {},
};
static const Protocol websocket_forward[] = {
        { "SPDY/3.1+portforward.k8s.io", { TUNNEL, 0 } },
        { "v4.channel.k8s.io", { CHANNELS, 0 } },
        { "v4.base64.channel.k8s.io", { CHANNELS_TEXT, 0 } },
        {},
};
/* A WebSocket client that names none: the oldest there were. */
static const Protocol none_command = { NULL, { CHANNELS, 1 } };
static const Protocol none_forward = { NULL, { CHANNELS, 0 } };

/* The first that the client offers and the table has. */
static const Protocol *choose(char *const *offered, const Protocol *table)
{
        for (; offered && *offered; offered++)
                for (const Protocol *p = table; p->name; p++)
                        if (str_eq(*offered, p->name))
                                return p;
        return NULL;
}

static int refuse(StrBuf *out, unsigned status, const Protocol *accepted, Err *err, const char *why)
{
        Http1Field fields[8] = {};
        size_t n = 0;

        for (const Protocol *p = accepted; p && p->name; p++)
                fields[n++] = (Http1Field){ .name = "X-Accepted-Stream-Protocol-Versions",
                                            .value = p->name };
        _cleanup_free_ char *body = xasprintf("%s\n", why);
        http1_write_response(out, status, fields, body);
        return err_set(err, ERR_INVALID, "%s", why);
}

static int accept_websocket(const Http1Head *h, bool forward, StrBuf *out, Handshake *ret, Err *err)
{
        _cleanup_strv_ Strv offered = http1_list(h, "sec-websocket-protocol");
        const Protocol *table = forward ? websocket_forward : websocket_command;
        const Protocol *chosen = choose(offered, table);
        char accept[WEBSOCKET_ACCEPT_MAX];
        Err why = {};

        if (websocket_check_request(h, accept, &why) < 0)
                return refuse(out, 400, NULL, err, why.msg);
        if (!chosen && strv_len(offered) > 0)
                return refuse(out, 403, table, err,
                              "none of the protocols in Sec-WebSocket-Protocol is spoken here");
        if (!chosen)
                chosen = forward ? &none_forward : &none_command;
        websocket_write_accept(out, accept, chosen->name);
        *ret = chosen->what;
        return 0;
}

static int accept_spdy(const Http1Head *h, bool forward, StrBuf *out, Handshake *ret, Err *err)
{
        _cleanup_strv_ Strv offered = http1_list(h, "x-stream-protocol-version");
        const Protocol *table = forward ? spdy_forward : spdy_command;
        const Protocol *chosen = choose(offered, table);

        if (!http1_has(h, "connection", "upgrade") || !http1_has(h, "upgrade", "SPDY/3.1"))
                return refuse(out, 400, NULL, err,
                              "the request asks for no upgrade to SPDY/3.1 or websocket");
        if (strv_len(offered) == 0)
                return refuse(out, 400, NULL, err, "the request has no X-Stream-Protocol-Version");
        if (!chosen)
                return refuse(out, 403, table, err,
                              "none of the protocols in X-Stream-Protocol-Version is spoken here");
        const Http1Field fields[] = {
                { .name = "Connection", .value = "Upgrade" },
                { .name = "Upgrade", .value = "SPDY/3.1" },
                { .name = "X-Stream-Protocol-Version", .value = chosen->name },
                {},
        };
        http1_write_response(out, 101, fields, NULL);
        *ret = chosen->what;
        return 0;
}

int handshake_accept(const Http1Head *h, HandshakeVerb verb, StrBuf *out, Handshake *ret, Err *err)
{
        bool forward = verb == HANDSHAKE_PORT_FORWARD;

        return websocket_is_request(h) ? accept_websocket(h, forward, out, ret, err)
                                       : accept_spdy(h, forward, out, ret, err);
}
