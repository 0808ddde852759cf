/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - HTTP/1.1 exchanges, one at a time, over kept connections: a face over libcurl's easy
 * handle.
 *
 * Blocks. An HttpClient belongs to one thread at a time. Logins and retries are the caller's. No
 * cookies, no netrc, no decompression, http and https alone. Proxies come from the environment
 * (http_proxy, HTTP_PROXY, https_proxy, HTTPS_PROXY, all_proxy, no_proxy and NO_PROXY, which may
 * hold CIDR ranges), never for loopback hosts.
 *
 * Redirects of GET are followed. Only the origin of the first address gets own_headers, only the
 * host's own name its client certificate; its other TLS settings count on the whole way, as in
 * containerd. An address that a peer gave is not followed to link-local networks, where clouds keep
 * their metadata services. */
#ifndef TARE_REGISTRY_HTTP_H
#define TARE_REGISTRY_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "registry/hosts.h"
#include "registry/url.h"

#define HTTP_HEADERS_MAX    ((size_t)64 << 10) /* of one answer */
#define HTTP_ERROR_BODY_MAX ((size_t)64 << 10) /* of an answer that is no success */

typedef enum HttpEnd {
        HTTP_ANSWERED,    /* whole answer, whatever its status */
        HTTP_UNREACHABLE, /* no connection: another try is of no use now */
        HTTP_LOST,        /* broke off */
        HTTP_STALLED,     /* no byte for too long */
        HTTP_DEADLINE,
        HTTP_GARBLED, /* not HTTP, or over a limit */
        HTTP_STOPPED, /* by the caller's body function */
} HttpEnd;

typedef struct HttpReply {
        HttpEnd end;
        int status;
        char *location, *media, *digest; /* of the headers; NULL without */
        char *challenges;                /* all WWW-Authenticate, joined by ", " */
        bool has_range;                  /* Content-Range: bytes START- */
        uint64_t range_start;
        uint64_t retry_after_ns; /* 0: not said */
        StrBuf error_body;       /* of an answer that is no success */
} HttpReply;

typedef struct HttpRequest {
        const Url *url;
        const RegistryHost *host; /* whose TLS settings and time for connecting count */
        char *const *own_headers; /* "Name: value", for the origin of url alone: may be secret */
        char *const *headers;     /* the same, for all */
        const char *form;         /* POST application/x-www-form-urlencoded; NULL: GET */
        uint64_t stall_ns, connect_ns, deadline_ns; /* deadline: CLOCK_MONOTONIC, 0: none */
        /* Gets the body of a success (status 2xx) in order; a negative return stops it. */
        int (*body)(void *data, const HttpReply *reply, const void *p, size_t n, Err *err);
        void *data;
} HttpRequest;

typedef struct HttpClient HttpClient;
HttpClient *http_client_new(void);
void http_client_free(HttpClient *c);

/* 0 when end is HTTP_ANSWERED; else negative, and err says what happened without naming the host.
 * ret and at are reset first; at: where the answer came from. */
int http_ask(HttpClient *c, const HttpRequest *q, Url *at, HttpReply *ret, Err *err);
void http_reply_done(HttpReply *r);
#define _cleanup_http_reply_ __attribute__((cleanup(http_reply_done)))

/* The value of Content-Range: "bytes 5-9/10"; false when it is none. */
bool http_parse_content_range(const char *value, uint64_t *ret_start);

#endif
