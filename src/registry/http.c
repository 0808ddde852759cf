/* SPDX-License-Identifier: Apache-2.0 */
/* http.c - see http.h. */
#include "registry/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define REDIRECTS_MAX 10
#define BUFFER_BYTES  ((long)512 << 10) /* libcurl's greatest */

struct HttpClient {
        CURL *curl;
        char message[CURL_ERROR_SIZE];
        /* of the exchange under way */
        const HttpRequest *request;
        const Url *at;
        HttpReply *reply;
        size_t header_bytes;
        uint64_t active_ns; /* when something last came, or the body function returned */
        HttpEnd stop;       /* why a callback ended it; HTTP_ANSWERED: none did */
        bool refused_link_local;
        Err err;
};

DEFINE_CLEANUP(struct curl_slist, curl_slist_free_all)

HttpClient *http_client_new(void)
{
        HttpClient *c = xnew(HttpClient);

        c->curl = curl_easy_init();
        tare_assert(c->curl);
        return c;
}

void http_client_free(HttpClient *c)
{
        if (!c)
                return;
        curl_easy_cleanup(c->curl);
        free(c);
}

void http_reply_done(HttpReply *r)
{
        free(r->location);
        free(r->media);
        free(r->digest);
        free(r->challenges);
        strbuf_done(&r->error_body);
        *r = (HttpReply){};
}

bool http_parse_content_range(const char *value, uint64_t *ret_start)
{
        const char *s = str_skip_prefix(value, "bytes ");
        size_t n = s ? strspn(s, "0123456789") : 0;

        if (n == 0 || s[n] != '-')
                return false;
        _cleanup_free_ char *digits = xstrndup(s, n);
        return str_to_u64(digits, ret_start) == 0;
}

static void keep_header(HttpReply *r, const char *name, const char *value)
{
        if (strcasecmp(name, "location") == 0)
                str_assign(&r->location, value);
        else if (strcasecmp(name, "content-type") == 0)
                str_assign(&r->media, value);
        else if (strcasecmp(name, "docker-content-digest") == 0)
                str_assign(&r->digest, value);
        else if (strcasecmp(name, "content-range") == 0)
                r->has_range = http_parse_content_range(value, &r->range_start);
        else if (strcasecmp(name, "www-authenticate") == 0) {
                char *all =
                        r->challenges ? xasprintf("%s, %s", r->challenges, value) : xstrdup(value);
                free(r->challenges);
                r->challenges = all;
        }
}

/* "HTTP/1.1 200 OK" */
static int parse_status(const char *line)
{
        const char *space = strchr(line, ' ');
        uint32_t status;

        if (!space || strlen(space + 1) < 3)
                return 0;
        _cleanup_free_ char *digits = xstrndup(space + 1, 3);
        return str_to_u32(digits, &status) == 0 ? (int)status : 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *data)
{
        HttpClient *c = data;
        size_t len = size * n;

        c->active_ns = clock_mono_ns();
        c->header_bytes += len;
        if (c->header_bytes > HTTP_HEADERS_MAX) {
                c->stop = HTTP_GARBLED;
                err_set(&c->err, ERR_TOO_LARGE, "its answer has more than %zu bytes of headers",
                        HTTP_HEADERS_MAX);
                return 0;
        }
        _cleanup_free_ char *line = xstrndup(p, len);
        line[strcspn(line, "\r\n")] = 0;
        if (str_skip_prefix(line, "HTTP/")) { /* also after "100 Continue" and a proxy's answer */
                http_reply_done(c->reply);
                c->reply->status = parse_status(line);
                return len;
        }
        char *colon = strchr(line, ':');
        if (!colon)
                return len;
        *colon++ = 0;
        keep_header(c->reply, line, colon + strspn(colon, " \t"));
        return len;
}

static size_t on_body(char *p, size_t size, size_t n, void *data)
{
        HttpClient *c = data;
        HttpReply *reply = c->reply;
        size_t len = size * n;

        if (reply->status >= 200 && reply->status < 300) {
                int r = c->request->body(c->request->data, reply, p, len, &c->err);
                c->active_ns = clock_mono_ns();
                if (r < 0) {
                        if (c->err.kind == ERR_NONE)
                                err_sys(&c->err, -r, "take what came");
                        c->stop = HTTP_STOPPED;
                        return 0;
                }
                return len;
        }
        c->active_ns = clock_mono_ns();
        size_t room = HTTP_ERROR_BODY_MAX - reply->error_body.len;
        strbuf_add(&reply->error_body, p, len < room ? len : room);
        return len <= room ? len : 0; /* the rest is not worth the wait; see finish() */
}

static int on_progress(void *data, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
                       curl_off_t ulnow)
{
        HttpClient *c = data;
        const HttpRequest *q = c->request;
        uint64_t now = clock_mono_ns();

        if (q->deadline_ns && now >= q->deadline_ns) {
                c->stop = HTTP_DEADLINE;
                err_set(&c->err, ERR_TIMEOUT, "the time for the transfer is over");
                return 1;
        }
        if (now > c->active_ns && now - c->active_ns > q->stall_ns) {
                c->stop = HTTP_STALLED;
                err_set(&c->err, ERR_UNAVAILABLE, "nothing came for %.3g s",
                        (double)q->stall_ns / 1e9);
                return 1;
        }
        return 0;
}

static bool is_link_local(const struct curl_sockaddr *a)
{
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;

        if (a->family == AF_INET) {
                memcpy(&v4, &a->addr, sizeof(v4));
                return ntohl(v4.sin_addr.s_addr) >> 16 == 0xa9fe;
        }
        if (a->family != AF_INET6)
                return false;
        memcpy(&v6, &a->addr, sizeof(v6));
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
                return v6.sin6_addr.s6_addr[12] == 169 && v6.sin6_addr.s6_addr[13] == 254;
        return IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr);
}

/* The name that the operator or the reference gave, or the address where that sent us? */
static bool is_own_host(const HttpClient *c)
{
        return str_eq(c->at->host, c->request->host->url.host);
}

/* A registry must not be able to send us to a cloud's metadata service. */
static curl_socket_t on_open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *a)
{
        HttpClient *c = data;

        if (!is_own_host(c) && is_link_local(a)) {
                c->refused_link_local = true;
                return CURL_SOCKET_BAD;
        }
        return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static void set_blob(CURL *h, CURLoption option, const StrBuf *b)
{
        struct curl_blob blob = { .data = b->data, .len = b->len, .flags = CURL_BLOB_NOCOPY };

        if (b->len)
                curl_easy_setopt(h, option, &blob);
}

static void set_tls(HttpClient *c)
{
        const RegistryHost *host = c->request->host;
        CURL *h = c->curl;

        curl_easy_setopt(h, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
        /* in place of the system's file of authorities; its folder of the same ones stays */
        set_blob(h, CURLOPT_CAINFO_BLOB, &host->ca);
        if (is_own_host(c)) {
                set_blob(h, CURLOPT_SSLCERT_BLOB, &host->client_cert);
                set_blob(h, CURLOPT_SSLKEY_BLOB, &host->client_key);
                curl_easy_setopt(h, CURLOPT_KEYPASSWD,
                                 ""); /* a key with a password is refused, not asked for */
        }
        if (host->skip_verify) {
                curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
                curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
        }
}

static void set_proxy(HttpClient *c, const Url *url)
{
        const char *upper = getenv("HTTP_PROXY");

        if (url_host_is_loopback(url->host))
                curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
        else if (str_eq(url->scheme, "http") && !getenv("http_proxy") && !str_empty(upper))
                curl_easy_setopt(c->curl, CURLOPT_PROXY,
                                 upper); /* libcurl reads it in lower case only */
}

static void set_options(HttpClient *c)
{
        const HttpRequest *q = c->request;
        uint64_t connect_ns = q->host->connect_ns ? q->host->connect_ns : q->connect_ns;
        CURL *h = c->curl;

        curl_easy_reset(h); /* keeps connections */
        curl_easy_setopt(h, CURLOPT_URL, c->at->text);
        curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(h, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);
        curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L); /* a resolver that hangs is left behind */
        curl_easy_setopt(h, CURLOPT_HTTP09_ALLOWED, 0L);
        curl_easy_setopt(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        curl_easy_setopt(h, CURLOPT_USERAGENT, "tare/" TARE_VERSION);
        curl_easy_setopt(h, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
        curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_ns / NS_PER_MS));
        curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->message);
        curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
        curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
        curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(h, CURLOPT_XFERINFODATA, c);
        curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, c);
        if (q->form)
                curl_easy_setopt(h, CURLOPT_POSTFIELDS, q->form);
        set_tls(c);
        set_proxy(c, c->at);
}

static int fail_connect(HttpClient *c, Err *err)
{
        _cleanup_free_ char *host = xstrndup(c->at->host, strcspn(c->at->host, "]"));
        long num = 0;

        if (!strstr(c->message, host + (host[0] == '[')))
                return err_set(err, ERR_UNAVAILABLE, "no connection to its proxy: %s", c->message);
        if (c->refused_link_local)
                return err_set(err, ERR_DENIED,
                               "it points to a link-local address, which is refused");
        (void)curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &num);
        if (num == ECONNREFUSED)
                return err_set(err, ERR_UNAVAILABLE, "connection refused: is it running?");
        if (num)
                return err_set(err, ERR_UNAVAILABLE, "no connection: %s", strerror((int)num));
        return err_set(err, ERR_UNAVAILABLE, "no connection: %s", c->message);
}

/* A server that wants a client certificate says so late: TLS 1.3 on the first read. */
static bool wants_certificate(const char *message)
{
        return strstr(message, "certificate required") || strstr(message, "bad certificate");
}

static int fail_resolve(HttpClient *c, Err *err)
{
        return err_set(err, ERR_UNAVAILABLE,
                       "its name cannot be resolved: check the name and the DNS");
}

static int fail_tls(HttpClient *c, Err *err)
{
        if (strstr(c->message, "wrong version number"))
                return err_set(err, ERR_UNAVAILABLE,
                               "it does not speak TLS: name it with http:// in hosts.toml");
        if (wants_certificate(c->message))
                return err_set(err, ERR_UNAUTHENTICATED,
                               "TLS: %s: name a client certificate in hosts.toml (client)",
                               c->message);
        return err_set(err, ERR_UNAVAILABLE,
                       "TLS: %s: if it has an authority of its own, name it in hosts.toml (ca)",
                       c->message);
}

static const struct {
        CURLcode code;
        HttpEnd end;
        int (*fail)(HttpClient *c, Err *err); /* NULL: libcurl's words */
} endings[] = {
        { CURLE_COULDNT_CONNECT, HTTP_UNREACHABLE, fail_connect },
        { CURLE_COULDNT_RESOLVE_HOST, HTTP_UNREACHABLE, fail_resolve },
        { CURLE_COULDNT_RESOLVE_PROXY, HTTP_UNREACHABLE, NULL },
        { CURLE_PROXY, HTTP_UNREACHABLE, NULL },
        { CURLE_OPERATION_TIMEDOUT, HTTP_UNREACHABLE, NULL }, /* of the connection alone */
        { CURLE_SSL_CONNECT_ERROR, HTTP_UNREACHABLE, fail_tls },
        { CURLE_PEER_FAILED_VERIFICATION, HTTP_UNREACHABLE, fail_tls },
        { CURLE_SSL_CERTPROBLEM, HTTP_UNREACHABLE, fail_tls },
        { CURLE_SSL_CACERT_BADFILE, HTTP_UNREACHABLE, fail_tls },
        { CURLE_SSL_ISSUER_ERROR, HTTP_UNREACHABLE, fail_tls },
        { CURLE_SSL_CIPHER, HTTP_UNREACHABLE, fail_tls },
        { CURLE_UNSUPPORTED_PROTOCOL, HTTP_GARBLED, NULL },
        { CURLE_WEIRD_SERVER_REPLY, HTTP_GARBLED, NULL },
        { CURLE_HTTP_RETURNED_ERROR, HTTP_GARBLED, NULL },
        { CURLE_URL_MALFORMAT, HTTP_GARBLED, NULL },
};

/* What became of the exchange; everything that is not in the table is a lost connection. */
static int finish(HttpClient *c, CURLcode rc, Err *err)
{
        HttpReply *reply = c->reply;
        curl_off_t after = 0;

        if (curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &after) == CURLE_OK && after > 0)
                reply->retry_after_ns = (uint64_t)(after < 86400 ? after : 86400) * NS_PER_S;
        if (c->stop != HTTP_ANSWERED) {
                reply->end = c->stop;
                return err_copy(err, &c->err);
        }
        bool enough = rc == CURLE_WRITE_ERROR && reply->error_body.len == HTTP_ERROR_BODY_MAX;
        if (rc == CURLE_OK || enough) {
                reply->end = HTTP_ANSWERED;
                return 0;
        }
        if (!c->message[0])
                (void)snprintf(c->message, sizeof(c->message), "%s", curl_easy_strerror(rc));
        if (wants_certificate(c->message))
                rc = CURLE_SSL_CERTPROBLEM;
        reply->end = HTTP_LOST;
        for (size_t i = 0; i < array_len(endings); i++) {
                if (endings[i].code != rc)
                        continue;
                reply->end = endings[i].end;
                if (endings[i].fail)
                        return endings[i].fail(c, err);
        }
        return err_set(err, ERR_UNAVAILABLE, "%s%s",
                       reply->end == HTTP_LOST ? "connection lost: " : "", c->message);
}

static void add_headers(struct curl_slist **list, char *const *headers)
{
        for (char *const *h = headers; h && *h; h++) {
                struct curl_slist *more = curl_slist_append(*list, *h);
                tare_assert(more);
                *list = more;
        }
}

static int perform(HttpClient *c, const HttpRequest *q, const Url *at, HttpReply *ret, Err *err)
{
        _cleanup_(curl_slist_free_allp) struct curl_slist *headers = NULL;

        http_reply_done(ret);
        c->request = q;
        c->at = at;
        c->reply = ret;
        c->header_bytes = 0;
        c->stop = HTTP_ANSWERED;
        c->refused_link_local = false;
        c->message[0] = 0;
        c->active_ns = clock_mono_ns();
        err_reset(&c->err);
        set_options(c);
        if (url_same_origin(at, q->url))
                add_headers(&headers, q->own_headers);
        add_headers(&headers, q->headers);
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
        int r = finish(c, curl_easy_perform(c->curl), err);
        curl_easy_reset(c->curl); /* it holds pointers */
        c->request = NULL;
        c->at = NULL;
        c->reply = NULL;
        return r;
}

static bool is_redirect(const HttpReply *r)
{
        return r->status == 301 || r->status == 302 || r->status == 303 || r->status == 307 ||
               r->status == 308;
}

static int next_address(Url *at, const HttpReply *reply, Err *err)
{
        Url next = {};

        if (!reply->location)
                return err_set(err, ERR_UNAVAILABLE, "redirect to nowhere (%d without Location)",
                               reply->status);
        int r = url_resolve(at, reply->location, &next, err);
        if (r < 0) {
                url_done(&next);
                return err_wrap(err, r, "redirect");
        }
        url_done(at);
        *at = next;
        return 0;
}

int http_ask(HttpClient *c, const HttpRequest *q, Url *at, HttpReply *ret, Err *err)
{
        int r = url_parse(q->url->text, at, err);

        for (int hops = 0; r == 0 && hops <= REDIRECTS_MAX; hops++) {
                r = perform(c, q, at, ret, err);
                if (r < 0 && ret->end != HTTP_STOPPED && !url_same_origin(at, q->url))
                        return err_wrap(err, r, "it points to %s", at->origin);
                if (r < 0 || q->form || !is_redirect(ret))
                        return r;
                r = next_address(at, ret, err);
        }
        ret->end = HTTP_GARBLED;
        return r < 0 ? r : err_set(err, ERR_UNAVAILABLE, "more than %d redirects", REDIRECTS_MAX);
}
