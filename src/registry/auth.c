/* SPDX-License-Identifier: Apache-2.0 */
/* auth.c - see auth.h. */
#include "registry/auth.h"

#include <errno.h>
#include <openssl/evp.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "registry/challenge.h"

#define TOKEN_REPLY_MAX ((size_t)256 << 10)
#define SECRET_MAX      ((size_t)32 << 10) /* one token, name or password */
#define SCOPES_MAX      16
#define CLIENT_ID       "tare"

void secret_free(char *s)
{
        if (s)
                explicit_bzero(s, strlen(s));
        free(s);
}

static void strbuf_wipe(StrBuf *b)
{
        if (b->data)
                explicit_bzero(b->data, b->cap);
        strbuf_done(b);
}
#define _cleanup_secret_    __attribute__((cleanup(secret_freep)))
#define _cleanup_wiped_buf_ __attribute__((cleanup(strbuf_wipe)))

void credentials_done(Credentials *c)
{
        secret_free(c->username);
        secret_free(c->password);
        secret_free(c->identity_token);
        secret_free(c->registry_token);
        free(c->server);
        *c = (Credentials){};
}

static char *encode_base64(const char *s)
{
        size_t n = strlen(s);
        char *out = xcalloc(1, (n + 2) / 3 * 4 + 1);

        (void)EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)s, (int)n);
        return out;
}

/* NULL when it is none. */
static char *decode_base64(const char *s)
{
        size_t n = strlen(s), pad = 0;

        if (n == 0 || n % 4)
                return NULL;
        while (pad < 2 && s[n - 1 - pad] == '=')
                pad++;
        char *out = xcalloc(1, n / 4 * 3 + 1);
        int len = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)s, (int)n);
        if (len >= 0 && memchr(out, 0, (size_t)len - pad) == NULL) {
                out[(size_t)len - pad] = 0;
                return out;
        }
        free(out);
        return NULL;
}

/* base64("user:password") */
static int set_user_pair(Credentials *c, const char *auth, Err *err)
{
        _cleanup_secret_ char *pair = decode_base64(auth);
        char *colon = pair ? strchr(pair, ':') : NULL;

        if (!colon)
                return err_set(err, ERR_INVALID,
                               "credentials: auth is not base64 of user:password");
        *colon = 0;
        c->username = xstrdup(pair);
        c->password = xstrdup(colon + 1);
        return 0;
}

/* "https://index.docker.io/v1/" -> "index.docker.io" */
static char *authority_of(const char *address)
{
        const char *start = strstr(address, "://");

        start = start ? start + 3 : address;
        return xstrndup(start, strcspn(start, "/?#"));
}

static bool is_header_text(const char *s)
{
        for (; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        return false;
        return true;
}

int credentials_set(Credentials *c, const RegistryAuth *a, Err *err)
{
        if (!a)
                return 0;
        const char *all[] = { a->username,       a->password,       a->auth,
                              a->identity_token, a->registry_token, a->server_address };
        for (size_t i = 0; i < array_len(all); i++)
                if (all[i] && strlen(all[i]) > SECRET_MAX)
                        return err_set(err, ERR_TOO_LARGE, "credentials of more than %zu bytes",
                                       SECRET_MAX);
        if (!str_empty(a->registry_token) && !is_header_text(a->registry_token))
                return err_set(err, ERR_INVALID,
                               "credentials: control characters in the registry token");
        if (!str_empty(a->username)) {
                c->username = xstrdup(a->username);
                c->password = xstrdup(str_or(a->password, ""));
        } else if (!str_empty(a->auth)) {
                int r = set_user_pair(c, a->auth, err);
                if (r < 0)
                        return r;
        }
        c->identity_token = str_empty(a->identity_token) ? NULL : xstrdup(a->identity_token);
        c->registry_token = str_empty(a->registry_token) ? NULL : xstrdup(a->registry_token);
        c->server = str_empty(a->server_address) ? NULL : authority_of(a->server_address);
        if (str_eq(c->username, "<token>") &&
            !c->identity_token) { /* as credential helpers say it */
                c->identity_token = take_ptr(c->password);
                secret_free(take_ptr(c->username));
        }
        return 0;
}

static bool is_docker_hub(const char *s)
{
        return str_eq(s, "docker.io") || str_eq(s, "index.docker.io") ||
               str_eq(s, "registry-1.docker.io");
}

static bool have_any(const Credentials *c)
{
        return c->username || c->identity_token || c->registry_token;
}

/* May the host have them? */
static const Credentials *credentials_for(const Registry *r, size_t host)
{
        static const Credentials none = {};
        const RegistryHost *h = &r->hosts.items[host];
        const Credentials *c = &r->credentials;
        const char *authority = strstr(h->url.origin, "://") + 3;

        if (!c->server || str_eq(c->server, authority))
                return c;
        bool own = str_eq(c->server, r->domain) ||
                   (is_docker_hub(c->server) && is_docker_hub(r->domain));
        return own && !h->mirror ? c : &none;
}

const char *auth_explain(const Registry *r, size_t host)
{
        if (!have_any(&r->credentials))
                return "no credentials were given; or there is no such repository";
        if (!have_any(credentials_for(r, host)))
                return "the credentials that were given are for another server";
        return "the credentials that were given are refused, or not enough";
}

char *auth_header(Registry *r, size_t host)
{
        pthread_mutex_lock(&r->lock);
        char *copy = xstrdup(r->states[host].authorization);
        pthread_mutex_unlock(&r->lock);
        return copy;
}

/* Takes value. */
static void set_header(Registry *r, size_t host, char *value)
{
        pthread_mutex_lock(&r->lock);
        char *old = r->states[host].authorization;
        r->states[host].authorization = value;
        pthread_mutex_unlock(&r->lock);
        secret_free(old);
}

/* --- bearer tokens ---------------------------------------------------------------------------- */

/* Adds the challenge's scopes, or ours when it names none, to those that the host had asked for
 * before. Returns a copy of them all; *ret_new: there is one that no token was asked for yet. */
static char **join_scopes(Registry *r, size_t host, const Challenge *c, bool *ret_new)
{
        _cleanup_free_ char *usual = xasprintf("repository:%s:pull", r->repository);
        _cleanup_strv_ char **wanted = strv_split(str_or(c->scope, usual), " ");
        HostState *state = &r->states[host];

        *ret_new = false;
        pthread_mutex_lock(&r->lock);
        for (char **s = wanted; s && *s; s++) {
                if (strv_contains(state->scopes, *s) || strv_len(state->scopes) >= SCOPES_MAX)
                        continue;
                strv_push(&state->scopes, *s);
                *ret_new = true;
        }
        char **all = strv_dup(state->scopes);
        pthread_mutex_unlock(&r->lock);
        return all;
}

typedef struct TokenJob {
        Registry *r;
        HttpClient *client;
        AuthLogin *login;
        const RegistryHost *host;
        const Credentials *credentials;
        const Challenge *challenge;
        char **scopes;
        Url realm;
        StrBuf body;
        HttpReply reply;
} TokenJob;

static int token_body(void *data, const HttpReply *reply, const void *p, size_t n, Err *err)
{
        TokenJob *job = data;

        if (job->body.len + n > TOKEN_REPLY_MAX)
                return err_set(err, ERR_TOO_LARGE, "its answer has more than %zu bytes",
                               TOKEN_REPLY_MAX);
        strbuf_add(&job->body, p, n);
        return 0;
}

static void begin_field(StrBuf *b)
{
        if (b->len && b->data[b->len - 1] != '?' && b->data[b->len - 1] != '&')
                strbuf_addc(b, '&');
}

static void add_field(StrBuf *b, const char *name, const char *value)
{
        if (str_empty(value))
                return;
        begin_field(b);
        url_add_query(b, name, value);
}

static int ask_token(TokenJob *job, const Url *url, char *const *own_headers, const char *form,
                     Err *err)
{
        const RegistryLimits *limits = &job->r->limits;
        _cleanup_url_ Url at = {};
        const HttpRequest q = {
                .url = url,
                .host = job->host,
                .own_headers = own_headers,
                .form = form,
                .stall_ns = limits->stall_ns,
                .connect_ns = limits->connect_ns,
                .deadline_ns = job->r->deadline_ns,
                .body = token_body,
                .data = job,
        };

        strbuf_wipe(&job->body);
        int r = http_ask(job->client, &q, &at, &job->reply, err);
        int status = job->reply.status;
        job->login->again = r < 0 ? job->reply.end == HTTP_LOST || job->reply.end == HTTP_STALLED
                                  : status == 408 || status == 429 || status >= 500;
        return r;
}

static char *basic_header(const Credentials *c)
{
        _cleanup_secret_ char *pair = xasprintf("%s:%s", c->username, c->password);
        _cleanup_secret_ char *text = encode_base64(pair);

        return xasprintf("Basic %s", text);
}

/* realm?service=...&scope=...&scope=... */
static int ask_by_get(TokenJob *job, Err *err)
{
        const Credentials *c = job->credentials;
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_url_ Url url = {};
        _cleanup_secret_ char *header = NULL;
        char *headers[2] = {};

        strbuf_adds(&b, job->realm.text);
        if (!strchr(job->realm.text, '?'))
                strbuf_addc(&b, '?');
        add_field(&b, "service", job->challenge->service);
        for (char **s = job->scopes; s && *s; s++)
                add_field(&b, "scope", *s);
        if (c->username) {
                _cleanup_secret_ char *basic = basic_header(c);
                add_field(&b, "account", c->username);
                headers[0] = header = xasprintf("Authorization: %s", basic);
        }
        int r = url_parse(b.data, &url, err);
        return r < 0 ? r : ask_token(job, &url, headers, NULL, err);
}

static int ask_by_post(TokenJob *job, Err *err)
{
        const Credentials *c = job->credentials;
        _cleanup_free_ char *scopes = strv_join(job->scopes, " ");
        _cleanup_wiped_buf_ StrBuf form = {};

        add_field(&form, "grant_type", c->identity_token ? "refresh_token" : "password");
        add_field(&form, "service", job->challenge->service);
        add_field(&form, "client_id", CLIENT_ID);
        add_field(&form, "scope", scopes);
        if (c->identity_token) {
                add_field(&form, "refresh_token", c->identity_token);
        } else {
                add_field(&form, "username", c->username);
                add_field(&form, "password", c->password);
        }
        return ask_token(job, &job->realm, NULL, form.data, err);
}

static int fail_token(TokenJob *job, Err *err)
{
        int status = job->reply.status;

        if (status == 400 || status == 401 || status == 403)
                return err_set(err, ERR_UNAUTHENTICATED, "gives no token (%d): %s", status,
                               auth_explain(job->r, job->login->host));
        return err_set(err, ERR_UNAVAILABLE, "gives no token (%d)", status);
}

/* The answer's "token", or "access_token", which means the same. */
static int read_token(const StrBuf *body, char **ret, Err *err)
{
        _cleanup_json_ Json *j = NULL;

        int r = json_parse(body->data ? body->data : "", body->len, TOKEN_REPLY_MAX, &j, err);
        if (r < 0)
                return r;
        if (!json_object_is_type(j, json_type_object))
                return err_set(err, ERR_INVALID, "no JSON object");
        r = json_get_str(j, "token", "", ret, err);
        if (r >= 0 && str_empty(*ret))
                r = json_get_str(j, "access_token", "", ret, err);
        if (r < 0)
                return r;
        if (str_empty(*ret) || strlen(*ret) > SECRET_MAX || !is_header_text(*ret))
                return err_set(err, ERR_INVALID, "no token of use");
        return 0;
}

static int parse_token(TokenJob *job, char **ret, Err *err)
{
        _cleanup_secret_ char *token = NULL;
        Err e = {};

        if (read_token(&job->body, &token, &e) < 0)
                return err_set(err, ERR_UNAVAILABLE, "gives no token, but: %s", e.msg);
        *ret = xasprintf("Bearer %s", token);
        return 0;
}

static int get_token(TokenJob *job, char **ret, Err *err)
{
        const Credentials *c = job->credentials;
        int r;

        if (c->identity_token) {
                r = ask_by_post(job, err);
        } else {
                r = ask_by_get(job, err);
                if (r == 0 && c->username && (job->reply.status == 404 || job->reply.status == 405))
                        r = ask_by_post(job, err);
        }
        if (r < 0)
                return r;
        return job->reply.status == 200 ? parse_token(job, ret, err) : fail_token(job, err);
}

static int check_realm(TokenJob *job, Err *err)
{
        if (str_empty(job->challenge->realm))
                return err_set(err, ERR_UNAVAILABLE,
                               "it asks for a token, but does not say where to get one");
        int r = url_parse(job->challenge->realm, &job->realm, err);
        if (r < 0)
                return err_wrap(err, r, "token server");
        if (have_any(job->credentials) && str_eq(job->realm.scheme, "http") &&
            str_eq(job->host->url.scheme, "https"))
                return err_set(err, ERR_DENIED,
                               "its token server %s does not speak TLS: it gets no credentials",
                               job->realm.origin);
        return 0;
}

static int login_bearer(Registry *r, HttpClient *c, AuthLogin *login, const Challenge *challenge,
                        Err *err)
{
        TokenJob job = {
                .r = r,
                .client = c,
                .login = login,
                .host = &r->hosts.items[login->host],
                .credentials = credentials_for(r, login->host),
                .challenge = challenge,
        };
        char *header = NULL;
        bool more = false;

        if (job.credentials->registry_token) {
                header = xasprintf("Bearer %s", job.credentials->registry_token);
                bool refused = str_eq(header, login->sent);
                if (refused)
                        secret_free(header);
                else
                        set_header(r, login->host, header);
                return !refused;
        }
        job.scopes = join_scopes(r, login->host, challenge, &more);
        if (login->fresh && !more) {
                strv_free(job.scopes);
                return 0;
        }
        int x = check_realm(&job, err);
        if (x == 0)
                x = err_wrap(err, get_token(&job, &header, err), "token server %s",
                             job.realm.origin);
        if (x == 0)
                set_header(r, login->host, header);
        strbuf_wipe(&job.body);
        http_reply_done(&job.reply);
        strv_free(job.scopes);
        url_done(&job.realm);
        return x < 0 ? x : 1;
}

static int login_basic(Registry *r, AuthLogin *login)
{
        const Credentials *c = credentials_for(r, login->host);

        if (!c->username)
                return 0;
        char *header = basic_header(c);
        if (str_eq(header, login->sent)) {
                secret_free(header);
                return 0;
        }
        set_header(r, login->host, header);
        return 1;
}

int auth_login(Registry *r, HttpClient *c, AuthLogin *login, Err *err)
{
        _cleanup_secret_ char *now = auth_header(r, login->host);
        _cleanup_challenges_ Challenges challenges;

        login->again = false;
        if (now && !str_eq(now, login->sent))
                return 1; /* another thread was faster */
        challenges_parse(login->challenges, &challenges);
        const Challenge *bearer = challenges_find(&challenges, "bearer");
        if (bearer)
                return login_bearer(r, c, login, bearer, err);
        return challenges_find(&challenges, "basic") ? login_basic(r, login) : 0;
}
