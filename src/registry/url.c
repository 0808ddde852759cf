/* SPDX-License-Identifier: Apache-2.0 */
/* url.c - see url.h. */
#include "registry/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

#define PARSE_FLAGS (CURLU_DISALLOW_USER | CURLU_PATH_AS_IS)

DEFINE_CLEANUP(CURLU, curl_url_cleanup)

static char *part(CURLU *u, CURLUPart what)
{
        char *s = NULL;

        if (curl_url_get(u, what, &s, CURLU_DEFAULT_PORT) != CURLUE_OK)
                return NULL;
        char *copy = xstrdup(s);
        curl_free(s);
        return copy;
}

/* Control characters, blanks and bytes above ASCII end or change a request line. */
static bool has_odd_bytes(const char *text)
{
        for (const char *p = text; *p; p++)
                if (*p <= ' ' || *p == 0x7f)
                        return true;
        return false;
}

/* libcurl takes "http:/a" and "http:///a" for "http://a", and reads a host twice when it is
 * percent-encoded: other programs would understand another host than we do. */
static bool has_odd_host(const char *text)
{
        size_t scheme = strcspn(text, ":/?#");
        const char *s = text[scheme] == ':' ? text + scheme + 1 : text;
        size_t slashes = strspn(s, "/\\");

        if (s != text && slashes != 2)
                return true;
        s += slashes;
        return slashes >= 2 && memchr(s, '%', strcspn(s, "/?#")) != NULL;
}

static void fill(CURLU *u, Url *ret)
{
        char *text = NULL;

        url_done(ret);
        ret->scheme = part(u, CURLUPART_SCHEME);
        ret->host = part(u, CURLUPART_HOST);
        ret->port = part(u, CURLUPART_PORT);
        ret->path = part(u, CURLUPART_PATH);
        if (curl_url_get(u, CURLUPART_URL, &text, CURLU_NO_DEFAULT_PORT) == CURLUE_OK)
                ret->text = xstrdup(text);
        curl_free(text);
        for (char *p = ret->host; p && *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p += 'a' - 'A';
        if (!ret->scheme || !ret->host || !ret->port)
                return;
        bool usual = str_eq(ret->port, str_eq(ret->scheme, "https") ? "443" : "80");
        ret->origin = xasprintf("%s://%s%s%s", ret->scheme, ret->host, usual ? "" : ":",
                                usual ? "" : ret->port);
}

static int set(CURLU *u, const char *text, Url *ret, Err *err)
{
        if (strlen(text) > URL_MAX)
                return err_set(err, ERR_TOO_LARGE, "address of more than %d bytes", URL_MAX);
        if (has_odd_bytes(text))
                return err_set(err, ERR_INVALID,
                               "address '%.200s': only printable ASCII is expected", text);
        if (has_odd_host(text))
                return err_set(err, ERR_INVALID, "address '%.200s': it has no plain host", text);
        CURLUcode rc = curl_url_set(u, CURLUPART_URL, text, PARSE_FLAGS);
        if (rc == CURLUE_USER_NOT_ALLOWED)
                return err_set(err, ERR_INVALID,
                               "address with a user name in it: give credentials apart");
        if (rc != CURLUE_OK)
                return err_set(err, ERR_INVALID, "address '%.200s': %s", text,
                               curl_url_strerror(rc));
        (void)curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
        fill(u, ret);
        if (!ret->origin || !ret->text || !ret->path || has_odd_bytes(ret->text)) /* of a "%0a" */
                return err_set(err, ERR_INVALID, "address '%.200s': it has no host", text);
        if (!str_eq(ret->scheme, "http") && !str_eq(ret->scheme, "https"))
                return err_set(err, ERR_INVALID, "address '%.200s': only http and https are spoken",
                               text);
        return 0;
}

int url_parse(const char *text, Url *ret, Err *err)
{
        _cleanup_(curl_url_cleanupp) CURLU *u = curl_url();

        tare_assert(u);
        if (!strstr(text, "://"))
                return err_set(err, ERR_INVALID,
                               "address '%.200s': expected http:// or https:// and a host", text);
        return set(u, text, ret, err);
}

int url_resolve(const Url *base, const char *location, Url *ret, Err *err)
{
        _cleanup_(curl_url_cleanupp) CURLU *u = curl_url();

        tare_assert(u);
        if (curl_url_set(u, CURLUPART_URL, base->text, PARSE_FLAGS) != CURLUE_OK)
                return err_set(err, ERR_INVALID, "address '%.200s'", base->text);
        return set(u, location, ret, err);
}

void url_done(Url *u)
{
        free(u->text);
        free(u->scheme);
        free(u->host);
        free(u->port);
        free(u->path);
        free(u->origin);
        *u = (Url){};
}

bool url_same_origin(const Url *a, const Url *b)
{
        return a->origin && str_eq(a->origin, b->origin);
}

bool url_host_is_loopback(const char *host)
{
        struct in_addr v4;

        if (strcasecmp(host, "localhost") == 0 || str_eq(host, "[::1]"))
                return true;
        size_t n = strlen(host), tail = strlen(".localhost");
        if (n > tail && strcasecmp(host + n - tail, ".localhost") == 0)
                return true;
        return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

void url_add_query(StrBuf *b, const char *name, const char *value)
{
        char *n = curl_easy_escape(NULL, name, 0), *v = curl_easy_escape(NULL, value, 0);

        tare_assert(n && v);
        strbuf_addf(b, "%s=%s", n, v);
        curl_free(n);
        curl_free(v);
}
