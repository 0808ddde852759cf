/* SPDX-License-Identifier: Apache-2.0 */
/* hosts.h - whom to ask for a registry's images: the mirrors of a hosts.toml file, then the
 * registry.
 *
 * The folder is laid out as containerd's /etc/containerd/certs.d. The first of these folders that
 * exists is taken: <hosts_dir>/<host>_<port>_, <hosts_dir>/<host:port>, <hosts_dir>/_default;
 * without a hosts.toml in it, its
 * *.crt are authorities and its *.cert with *.key a client certificate (docker's layout).
 * Certificates and keys are read into memory here, so that they may be root's alone.
 *
 * Without a word in a file: docker.io is https://registry-1.docker.io; loopback hosts are spoken to
 * in plain HTTP (other than on port 443), all others in HTTPS. A `server` or [host] line decides
 * otherwise. */
#ifndef TARE_REGISTRY_HOSTS_H
#define TARE_REGISTRY_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "registry/url.h"

#define HOSTS_FILE_MAX   ((size_t)1 << 20)
#define HOSTS_PEM_MAX    ((size_t)4 << 20)
#define HOSTS_MAX        64 /* mirrors of one registry */
#define HOSTS_HEADERS    32 /* of one mirror */
#define HOSTS_HEADER_MAX 8192

enum {
        HOST_PULL = 1 << 0,    /* content by digest */
        HOST_RESOLVE = 1 << 1, /* what a tag means */
};

typedef struct RegistryHost {
        Url url;     /* with the path of the API's root: "http://127.0.0.1:5000/v2" */
        bool mirror; /* not the registry itself: told which one is meant by ?ns= */
        unsigned capabilities;
        bool skip_verify;
        StrBuf ca;                      /* PEM, in addition to the system's authorities */
        StrBuf client_cert, client_key; /* PEM */
        char **headers;                 /* "Name: value" */
        uint64_t connect_ns;            /* 0: the usual */
} RegistryHost;

typedef struct RegistryHosts {
        RegistryHost
                *items; /* in the order in which they are asked; the last is the registry itself */
        size_t n;
} RegistryHosts;

/* domain: "registry.k8s.io", "localhost:5000". hosts_dir may be NULL or missing. */
int hosts_load(const char *hosts_dir, const char *domain, RegistryHosts *ret, Err *err);
/* The same for the text of a hosts.toml; dirfd: where its relative paths start. name: for messages.
 */
int hosts_parse(const char *text, size_t len, const char *name, int dirfd, const char *domain,
                RegistryHosts *ret, Err *err);
void hosts_done(RegistryHosts *h);

/* "1m30s", "5s", "300ms": Go's durations, which hosts.toml uses. 0 or -EINVAL. */
int hosts_parse_duration(const char *s, uint64_t *ret_ns);

#endif
