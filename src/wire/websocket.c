/* SPDX-License-Identifier: Apache-2.0 */
/* websocket.c - see websocket.h.
 *
 *   head ──(complete, checked)──► payload ──(left == 0)──► head
 *
 * A data frame's payload is given out as it comes; a control frame's is put together in `control`.
 */
#include "wire/websocket.h"

#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <sys/random.h>

#define FIN         0x80u
#define OPCODE      0x0fu
#define MASKED      0x80u
#define LENGTH      0x7fu
#define LENGTH_16   126u
#define LENGTH_64   127u
#define REASON_MAX  (WEBSOCKET_CONTROL_MAX - 2)
#define MASK_BYTES  4
#define KEY_BYTES   16
#define KEY_VERSION "13"
static const char accept_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */

void websocket_init(WebSocket *ws, bool server)
{
        *ws = (WebSocket){ .server = server };
}

/* --- reading --- */

static int fail(WebSocket *ws, Err *err, const char *what)
{
        ws->failed = true;
        return err_set(err, ERR_INVALID, "WebSocket: %s", what);
}

static bool is_control(unsigned opcode)
{
        return opcode >= WEBSOCKET_CLOSE;
}

/* Bytes of the head, as far as those present say. */
static size_t head_size(const WebSocket *ws)
{
        if (ws->n_head < 2)
                return 2;
        unsigned length = ws->head[1] & LENGTH;
        return 2 +
               (length == LENGTH_16   ? 2
                : length == LENGTH_64 ? 8
                                      : 0) +
               (ws->head[1] & MASKED ? MASK_BYTES : 0);
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
        uint64_t v = 0;

        for (size_t i = 0; i < n; i++)
                v = v << 8 | p[i];
        return v;
}

/* What is wrong with the frame's first two bytes, or NULL. */
static const char *head_problem(const WebSocket *ws)
{
        unsigned opcode = ws->head[0] & OPCODE;
        bool masked = ws->head[1] & MASKED;

        if (ws->closed)
                return "a frame after the close frame";
        if (ws->head[0] & ~(FIN | OPCODE))
                return "a reserved bit is set, but no extension was agreed on";
        if ((opcode > WEBSOCKET_BINARY && opcode < WEBSOCKET_CLOSE) || opcode > WEBSOCKET_PONG)
                return "an unknown opcode";
        if (masked != ws->server)
                return masked ? "a masked frame of a server" : "an unmasked frame of a client";
        if (is_control(opcode) && (!(ws->head[0] & FIN) || (ws->head[1] & LENGTH) >= LENGTH_16))
                return "a control frame that is fragmented or longer than 125 bytes";
        if (!is_control(opcode) && (opcode == WEBSOCKET_CONTINUATION) != (ws->message != 0))
                return ws->message ? "a new message within a fragmented one"
                                   : "a continuation of no message";
        return NULL;
}

/* The head is complete: its length, and the frame begins. NULL or what is wrong. */
static const char *begin_frame(WebSocket *ws)
{
        unsigned length = ws->head[1] & LENGTH, opcode = ws->head[0] & OPCODE;

        ws->left = length;
        if (length == LENGTH_16)
                ws->left = big_endian(ws->head + 2, 2);
        else if (length == LENGTH_64)
                ws->left = big_endian(ws->head + 2, 8);
        if ((length == LENGTH_16 && ws->left < LENGTH_16) ||
            (length == LENGTH_64 && (ws->left <= UINT16_MAX || ws->left >> 63)))
                return "a length that is not in its shortest form";
        ws->at = 0;
        ws->n_control = 0;
        ws->in_payload = true;
        if (!is_control(opcode) && opcode != WEBSOCKET_CONTINUATION) {
                ws->message = (uint8_t)opcode;
                ws->begun = false;
        }
        return NULL;
}

static void unmask(WebSocket *ws, uint8_t *p, size_t n)
{
        const uint8_t *mask = ws->head + ws->n_head - MASK_BYTES;

        if (ws->head[1] & MASKED)
                for (size_t i = 0; i < n; i++)
                        p[i] ^= mask[(ws->at + i) % MASK_BYTES];
        ws->at += n;
        ws->left -= n;
}

static void end_frame(WebSocket *ws)
{
        ws->in_payload = false;
        ws->n_head = 0;
}

static void give_data(WebSocket *ws, uint8_t *p, size_t n, WebSocketEvent *ret)
{
        bool fin = ws->head[0] & FIN;

        unmask(ws, p, n);
        *ret = (WebSocketEvent){ .type = ws->message, .start = !ws->begun, .data = p, .n = n };
        ws->begun = true;
        if (ws->left > 0)
                return;
        ret->end = fin;
        if (fin)
                ws->message = 0;
        end_frame(ws);
}

/* Codes that may be sent: RFC 6455, 7.4. */
static bool close_code_valid(unsigned code)
{
        return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
               (code >= 3000 && code <= 4999);
}

/* A whole control frame is in ws->control. */
static const char *give_control(WebSocket *ws, WebSocketEvent *ret)
{
        *ret = (WebSocketEvent){ .type = ws->head[0] & OPCODE,
                                 .start = true,
                                 .end = true,
                                 .data = ws->control,
                                 .n = ws->n_control };
        end_frame(ws);
        if (ret->type != WEBSOCKET_CLOSE)
                return NULL;
        ws->closed = true;
        ret->code = WEBSOCKET_NO_CODE;
        if (ret->n == 0)
                return NULL;
        ret->code = ret->n >= 2 ? (unsigned)big_endian(ret->data, 2) : 0;
        if (!close_code_valid(ret->code))
                return "a close frame without a code that may be sent";
        ret->data += 2;
        ret->n -= 2;
        return str_is_utf8((const char *)ret->data, ret->n) ? NULL : "a close reason not in UTF-8";
}

int websocket_next(WebSocket *ws, uint8_t *p, size_t n, size_t *ret_used, WebSocketEvent *ret,
                   Err *err)
{
        const char *problem = NULL;
        size_t used = 0;

        *ret = (WebSocketEvent){ .type = WEBSOCKET_CONTINUATION };
        *ret_used = 0;
        if (ws->failed)
                return fail(ws, err, "read after an error");
        while (!ws->in_payload) {
                while (ws->n_head < head_size(ws) && used < n) {
                        ws->head[ws->n_head++] = p[used++];
                        if (ws->n_head == 2)
                                problem = head_problem(ws);
                }
                *ret_used = used;
                if (!problem && ws->n_head < head_size(ws))
                        return 0;
                if (!problem)
                        problem = begin_frame(ws);
                if (problem)
                        return fail(ws, err, problem);
        }
        size_t piece = n - used < ws->left ? n - used : (size_t)ws->left;
        if (piece == 0 && ws->left > 0)
                return 0;
        *ret_used = used + piece;
        if (!is_control(ws->head[0] & OPCODE)) {
                give_data(ws, p + used, piece, ret);
                return 0;
        }
        unmask(ws, p + used, piece);
        memcpy(ws->control + ws->n_control, p + used, piece);
        ws->n_control += piece;
        if (ws->left == 0)
                problem = give_control(ws, ret);
        return problem ? fail(ws, err, problem) : 0;
}

/* --- writing --- */

static void put_head(StrBuf *out, unsigned type, bool masked, uint64_t n)
{
        uint8_t head[10] = { (uint8_t)(FIN | type), masked ? MASKED : 0 };
        size_t length_bytes = n < LENGTH_16 ? 0 : n <= UINT16_MAX ? 2 : 8;

        head[1] |= (uint8_t)(length_bytes == 0 ? n : length_bytes == 2 ? LENGTH_16 : LENGTH_64);
        for (size_t i = 0; i < length_bytes; i++)
                head[2 + i] = (uint8_t)(n >> 8 * (length_bytes - 1 - i));
        strbuf_add(out, head, 2 + length_bytes);
}

void websocket_write(const WebSocket *ws, StrBuf *out, WebSocketOpcode type, const void *prefix,
                     size_t n_prefix, const void *p, size_t n)
{
        uint8_t mask[MASK_BYTES];

        put_head(out, type, !ws->server, n_prefix + n);
        if (!ws->server) {
                /* Against proxies that guess; without entropy (never, once booted) no mask helps */
                tare_assert(getrandom(mask, sizeof(mask), 0) == sizeof(mask));
                strbuf_add(out, mask, sizeof(mask));
        }
        size_t start = out->len;
        strbuf_add(out, prefix, n_prefix);
        strbuf_add(out, p, n);
        if (!ws->server)
                for (size_t i = 0; i < n_prefix + n; i++)
                        out->data[start + i] ^= (char)mask[i % MASK_BYTES];
}

void websocket_write_close(const WebSocket *ws, StrBuf *out, unsigned code, const char *reason)
{
        const uint8_t number[2] = { (uint8_t)(code >> 8), (uint8_t)code };
        size_t n = 0, left = strlen(reason), step;

        /* whole characters only */
        while (left > 0 && (step = str_utf8_len(reason + n, left)) > 0 && n + step <= REASON_MAX) {
                n += step;
                left -= step;
        }
        websocket_write(ws, out, WEBSOCKET_CLOSE, number, sizeof(number), reason, n);
}

/* --- handshake --- */

static void make_accept(const char *key, char ret[static WEBSOCKET_ACCEPT_MAX])
{
        uint8_t digest[SHA1_DIGEST_SIZE];
        struct sha1_ctx sha1;

        sha1_init(&sha1);
        sha1_update(&sha1, strlen(key), (const uint8_t *)key);
        sha1_update(&sha1, strlen(accept_guid), (const uint8_t *)accept_guid);
        sha1_digest(&sha1, sizeof(digest), digest);
        base64_encode_raw(ret, sizeof(digest), digest);
        ret[WEBSOCKET_ACCEPT_MAX - 1] = '\0';
}

void websocket_make_key(const uint8_t random[static 16], char ret[static WEBSOCKET_KEY_MAX])
{
        base64_encode_raw(ret, KEY_BYTES, random);
        ret[WEBSOCKET_KEY_MAX - 1] = '\0';
}

/* 16 bytes in base64. */
static bool key_valid(const char *key)
{
        uint8_t bytes[BASE64_DECODE_LENGTH(WEBSOCKET_KEY_MAX)];
        struct base64_decode_ctx ctx;
        size_t n = sizeof(bytes);

        if (!key || strlen(key) != WEBSOCKET_KEY_MAX - 1 || strpbrk(key, " \t"))
                return false;
        base64_decode_init(&ctx);
        return base64_decode_update(&ctx, &n, bytes, WEBSOCKET_KEY_MAX - 1, key) &&
               base64_decode_final(&ctx) && n == KEY_BYTES;
}

bool websocket_is_request(const Http1Head *h)
{
        return http1_has(h, "upgrade", "websocket") && http1_has(h, "connection", "upgrade");
}

int websocket_check_request(const Http1Head *h, char ret_accept[static WEBSOCKET_ACCEPT_MAX],
                            Err *err)
{
        const char *key = http1_get(h, "sec-websocket-key");

        if (!str_eq(h->method, "GET") || h->minor < 1)
                return err_set(err, ERR_INVALID, "WebSocket: the request is not GET of HTTP/1.1");
        if (!str_eq(http1_get(h, "sec-websocket-version"), KEY_VERSION))
                return err_set(err, ERR_INVALID, "WebSocket: Sec-WebSocket-Version is not 13");
        if (!key_valid(key))
                return err_set(err, ERR_INVALID,
                               "WebSocket: Sec-WebSocket-Key is not 16 bytes in base64");
        make_accept(key, ret_accept);
        return 0;
}

void websocket_write_accept(StrBuf *out, const char *accept, const char *protocol)
{
        const Http1Field fields[] = {
                { .name = "Upgrade", .value = "websocket" },
                { .name = "Connection", .value = "Upgrade" },
                { .name = "Sec-WebSocket-Accept", .value = accept },
                { .name = protocol ? "Sec-WebSocket-Protocol" : NULL, .value = protocol },
                {},
        };

        http1_write_response(out, 101, fields, NULL);
}

void websocket_write_request(StrBuf *out, const char *host, const char *target,
                             char *const *protocols, const char *key)
{
        _cleanup_free_ char *offered = strv_join(protocols, ", ");
        const Http1Field fields[] = {
                { .name = "Host", .value = host },
                { .name = "Upgrade", .value = "websocket" },
                { .name = "Connection", .value = "Upgrade" },
                { .name = "Sec-WebSocket-Version", .value = KEY_VERSION },
                { .name = "Sec-WebSocket-Key", .value = key },
                { .name = *offered ? "Sec-WebSocket-Protocol" : NULL, .value = offered },
                {},
        };

        http1_write_request(out, "GET", target, fields);
}

int websocket_check_response(const Http1Head *h, const char *key, char *const *protocols,
                             const char **ret_protocol, Err *err)
{
        const char *chosen = http1_get(h, "sec-websocket-protocol");
        char accept[WEBSOCKET_ACCEPT_MAX];

        if (h->status != 101)
                return err_set(err, ERR_UNAVAILABLE, "WebSocket: the server answers %u %s",
                               h->status, h->reason);
        make_accept(key, accept);
        if (!websocket_is_request(h) || !str_eq(http1_get(h, "sec-websocket-accept"), accept))
                return err_set(err, ERR_INVALID, "WebSocket: the answer is no valid handshake");
        if (http1_get(h, "sec-websocket-extensions"))
                return err_set(err, ERR_INVALID, "WebSocket: an extension that nobody asked for");
        if (chosen && !strv_contains(protocols, chosen))
                return err_set(err, ERR_INVALID,
                               "WebSocket: the server chose the protocol '%s', which was not "
                               "offered",
                               chosen);
        *ret_protocol = chosen;
        return 0;
}
