/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - http and https addresses of registries and of where they point to. A face over libcurl's
 * parser. */
#ifndef TARE_REGISTRY_URL_H
#define TARE_REGISTRY_URL_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/err.h"

#define URL_MAX 16384 /* bytes; signed addresses of blob stores take a few thousand */

typedef struct Url {
        char *text;   /* whole, normalised, without a fragment */
        char *scheme; /* "http" or "https" */
        char *host;   /* name or address; IPv6 in brackets */
        char *port;   /* also where it is the default */
        char *path;   /* "/..." */
        char *origin; /* "http://127.0.0.1:5000": scheme, host, and the port where it is not the
                         default */
} Url;

/* Absolute, http or https, without user or password. */
int url_parse(const char *text, Url *ret, Err *err);
/* location may be relative to base. */
int url_resolve(const Url *base, const char *location, Url *ret, Err *err);
void url_done(Url *u);
/* Scheme, host and port are equal. */
bool url_same_origin(const Url *a, const Url *b);
/* "localhost", *.localhost, 127.0.0.0/8, ::1; host as in Url. */
bool url_host_is_loopback(const char *host);
#define _cleanup_url_ __attribute__((cleanup(url_done)))

/* Appends "name=value" to a query, both percent-encoded; the caller writes '?' or '&'. */
struct StrBuf;
void url_add_query(struct StrBuf *b, const char *name, const char *value);

#endif
