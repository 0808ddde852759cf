/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - one thing from one host: logins, answers, tries.
 *
 *     transfer_ask -> ask_with_tries -> try_once -> request_with_login -> http_ask
 *
 * A try that broke off, stalled or was told "later" is repeated after a wait that doubles, from the
 * byte where the last one ended. */
#include <errno.h>
#include <openssl/rand.h>
#include <strings.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "registry/auth.h"
#include "registry/registry-internal.h"

#define LOGINS_MAX 2   /* for one request: without a login, and with too little in it */
#define WORDS_MAX  200 /* of a registry's own message */

typedef struct Try {
        Registry *r;
        const RegistryHost *host;
        size_t index; /* of the host */
        Ask *ask;
        HttpClient *client;
        HttpReply *reply;
        Url at;     /* where the answer came from */
        bool again; /* worth another try */
} Try;

bool registry_is_late(const Registry *r)
{
        return r->deadline_ns && clock_mono_ns() >= r->deadline_ns;
}

/* ": MANIFEST_UNKNOWN, manifest unknown" from {"errors":[{"code","message"}]}, or "". */
static char *registry_words(const HttpReply *reply)
{
        _cleanup_json_ Json *j = NULL;
        _cleanup_free_ char *code = NULL, *message = NULL;
        Json *errors = NULL;

        if (!reply->error_body.len || json_parse(reply->error_body.data, reply->error_body.len,
                                                 HTTP_ERROR_BODY_MAX, &j, NULL) < 0)
                return xstrdup("");
        if (json_get_array(j, "errors", "", &errors, NULL) <= 0 ||
            json_object_array_length(errors) == 0)
                return xstrdup("");
        Json *first = json_object_array_get_idx(errors, 0);
        if (!json_object_is_type(first, json_type_object))
                return xstrdup("");
        (void)json_get_str(first, "code", "", &code, NULL);
        (void)json_get_str(first, "message", "", &message, NULL);
        if (str_empty(code) && str_empty(message))
                return xstrdup("");
        return xasprintf(": %.60s%s%.*s", str_or(code, ""),
                         str_empty(code) || str_empty(message) ? "" : ", ", WORDS_MAX,
                         str_or(message, ""));
}

static const struct {
        int status;
        ErrKind kind;
        bool again;
        const char *text;
} statuses[] = {
        { 400, ERR_INVALID, false, "bad request" },
        { 401, ERR_UNAUTHENTICATED, false, "authentication required" },
        { 403, ERR_DENIED, false, "access denied" },
        { 404, ERR_NOT_FOUND, false, "not found" },
        { 407, ERR_UNAVAILABLE, false, "the proxy asks for a login" },
        { 408, ERR_UNAVAILABLE, true, "request timed out" },
        { 410, ERR_NOT_FOUND, false, "gone" },
        { 416, ERR_CORRUPT, false, "it is shorter than it should be" },
        { 429, ERR_UNAVAILABLE, true, "too many requests" },
};

/* What servers of Go say to plain HTTP on a port for TLS. */
static bool wants_tls(const HttpReply *reply)
{
        return reply->status == 400 && reply->error_body.len &&
               strstr(reply->error_body.data, "HTTP request to an HTTPS server");
}

/* The answer is no success: why. */
static int fail_status(Try *t, Err *err)
{
        const HttpReply *reply = t->reply;
        _cleanup_free_ char *words = registry_words(reply), *wait = NULL, *where = NULL;
        const char *login = "";
        ErrKind kind = ERR_UNAVAILABLE;
        const char *text = reply->status >= 500 ? "server error" : "unexpected answer";

        if (wants_tls(reply) && str_eq(t->at.scheme, "http"))
                return err_set(err, ERR_UNAVAILABLE,
                               "it speaks TLS: name it with https:// in hosts.toml");
        t->again = reply->status >= 500 && reply->status != 501 && reply->status != 505;
        for (size_t i = 0; i < array_len(statuses); i++) {
                if (statuses[i].status != reply->status)
                        continue;
                kind = statuses[i].kind;
                text = statuses[i].text;
                t->again = statuses[i].again;
        }
        if (reply->retry_after_ns)
                wait = xasprintf("; it says: try again in %llu s",
                                 (unsigned long long)(reply->retry_after_ns / NS_PER_S));
        if (!url_same_origin(&t->at, &t->host->url)) {
                /* what it pointed to, perhaps for a limited time: ask it again where */
                where = xasprintf(" by %s, to which it points", t->at.origin);
                t->again = t->again || reply->status == 401 || reply->status == 403;
                kind = kind == ERR_UNAUTHENTICATED || kind == ERR_DENIED ? ERR_UNAVAILABLE : kind;
        }
        if (kind == ERR_UNAUTHENTICATED || kind == ERR_DENIED)
                login = auth_explain(t->r, t->index);
        return err_set(err, kind, "%s (%d%s)%s%s%s%s", text, reply->status, str_or(where, ""),
                       words, *login ? ": " : "", login, str_or(wait, ""));
}

static void first_url(const Try *t, Url *ret)
{
        const Ask *ask = t->ask;
        _cleanup_strbuf_ StrBuf b = {};

        strbuf_adds(&b, t->host->url.text);
        if (b.data[b.len - 1] != '/')
                strbuf_addc(&b, '/');
        strbuf_addf(&b, "%s/%s/%s", t->r->repository, ask->kind, ask->reference);
        if (t->host->mirror) {
                strbuf_addc(&b, '?');
                url_add_query(&b, "ns", t->r->domain);
        }
        int r = url_parse(b.data, ret, NULL);
        tare_assert(r == 0); /* all its parts were checked */
}

static bool is_authorization(const char *header)
{
        return strncasecmp(header, "Authorization:", strlen("Authorization:")) == 0;
}

/* What hosts.toml says, and the login, which is newer than an Authorization there. */
static char **own_headers(const Try *t, const char *authorization)
{
        char **v = NULL;

        for (char *const *h = t->host->headers; h && *h; h++)
                if (!authorization || !is_authorization(*h))
                        strv_push(&v, *h);
        if (authorization)
                strv_push_take(&v, xasprintf("Authorization: %s", authorization));
        return v;
}

static char **common_headers(const Ask *ask)
{
        char **v = strv_dup(ask->accept);

        if (ask->offset)
                strv_push_take(&v,
                               xasprintf("Range: bytes=%llu-", (unsigned long long)ask->offset));
        return v;
}

static void strv_wipe(char ***v)
{
        for (char **s = *v; s && *s; s++)
                explicit_bzero(*s, strlen(*s));
        strv_freep(v);
}

static int request(Try *t, const Url *url, const char *authorization, Err *err)
{
        const RegistryLimits *limits = &t->r->limits;
        __attribute__((cleanup(strv_wipe))) char **own = own_headers(t, authorization);
        _cleanup_strv_ char **headers = common_headers(t->ask);
        const HttpRequest q = {
                .url = url,
                .host = t->host,
                .own_headers = own,
                .headers = headers,
                .stall_ns = limits->stall_ns,
                .connect_ns = limits->connect_ns,
                .deadline_ns = t->r->deadline_ns,
                .body = t->ask->body,
                .data = t->ask->data,
        };

        t->ask->begin(t->ask->data);
        int r = http_ask(t->client, &q, &t->at, t->reply, err);
        t->again = r < 0 && (t->reply->end == HTTP_LOST || t->reply->end == HTTP_STALLED);
        return r;
}

/* Asks, and asks again with a login when the host wants one. */
static int request_with_login(Try *t, Err *err)
{
        AuthLogin login = { .host = t->index };
        _cleanup_url_ Url url = {};

        first_url(t, &url);
        for (int logins = 0;; logins++) {
                __attribute__((cleanup(secret_freep))) char *sent = auth_header(t->r, t->index);
                int r = request(t, &url, sent, err);
                if (r < 0 || t->reply->status != 401 || logins == LOGINS_MAX ||
                    !url_same_origin(&t->at, &url))
                        return r;
                login.challenges = t->reply->challenges;
                login.sent = sent;
                login.fresh = logins > 0;
                r = auth_login(t->r, t->client, &login, err);
                t->again = login.again;
                if (r <= 0)
                        return r;
        }
}

static int try_once(Try *t, Err *err)
{
        int r = request_with_login(t, err);

        if (r < 0)
                return r;
        if (t->reply->status != 200 && t->reply->status != 206)
                return fail_status(t, err);
        r = t->ask->end(t->ask->data, t->reply, err);
        t->again = r == -err_kind_errno(ERR_UNAVAILABLE);
        return r;
}

/* Up to a quarter more, so that many nodes do not come back at once. */
static uint64_t jitter(uint64_t ns)
{
        unsigned char byte = 0;

        (void)RAND_bytes(&byte, 1); /* 0 serves as well */
        return ns + ns / 1024 * byte;
}

/* False when the deadline would be over. */
static bool wait_before(const Registry *r, unsigned tries, uint64_t asked_ns)
{
        uint64_t max = r->limits.wait_max_ns,
                 ns = r->limits.backoff_ns << (tries < 16 ? tries - 1 : 15);

        ns = jitter(ns < max ? ns : max);
        if (asked_ns > ns)
                ns = asked_ns < max ? asked_ns : max;
        if (r->deadline_ns && clock_mono_ns() + ns >= r->deadline_ns)
                return false;
        struct timespec left = { .tv_sec = (time_t)(ns / NS_PER_S),
                                 .tv_nsec = (long)(ns % NS_PER_S) };
        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
                ;
        return true;
}

static int ask_with_tries(Try *t, Err *err)
{
        const RegistryLimits *limits = &t->r->limits;
        unsigned tries = 0;

        for (unsigned total = 1;; total++) {
                uint64_t before = t->ask->offset;
                Err e = {};
                int r = try_once(t, &e);
                if (r == 0)
                        return 0;
                tries = t->ask->offset > before ? 1 : tries + 1;
                if (!t->again || tries >= limits->tries || total >= limits->tries_in_total ||
                    !wait_before(t->r, tries, t->reply->retry_after_ns)) {
                        return total == 1 ? err_copy(err, &e)
                                          : err_set(err, e.kind, "%s (%u tries)", e.msg, total);
                }
        }
}

int transfer_ask(Registry *r, size_t host, Ask *ask, HttpReply *reply, Err *err)
{
        Try t = {
                .r = r,
                .host = &r->hosts.items[host],
                .index = host,
                .ask = ask,
                .client = registry_take_client(r),
                .reply = reply,
        };

        int result = ask_with_tries(&t, err);
        registry_give_client(r, t.client);
        url_done(&t.at);
        return result;
}
