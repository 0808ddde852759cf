/* SPDX-License-Identifier: Apache-2.0 */
/* registry.h - the client side of the OCI distribution specification: hosts, logins, transfers.
 *
 * Runs in tare-image's fetcher: unprivileged, may block, may use libcurl and OpenSSL. Everything
 * received is foreign: bodies have limits, JSON is parsed by base/json.h, redirects never carry
 * Authorization to another host. Hosts come from a containerd-style folder:
 * <hosts_dir>/<host[:port]>/hosts.toml, then <hosts_dir>/_default/hosts.toml, then the registry
 * itself (facts: mirrors in order, capabilities, skip_verify, ca, client, header, override_path,
 * plain http; hosts.h). Errors name registry, repository and cure.
 *
 * registry_open() reads all files (certificates, keys) and talks to nobody: call it before rights
 * are given up. The other calls may run in several threads at once; each thread has a connection of
 * its own, kept for the next. */
#ifndef TARE_REGISTRY_REGISTRY_H
#define TARE_REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "oci/image-spec.h"

typedef struct Registry Registry;

typedef struct RegistryAuth {
        const char *username, *password;
        const char *auth;           /* base64("user:password") */
        const char *identity_token; /* refresh token */
        const char *registry_token; /* bearer */
        const char *server_address; /* when set, must match the host */
} RegistryAuth;

#define REGISTRY_MANIFEST_MAX ((size_t)4 << 20)

/* hosts_dir may be NULL. auth may be NULL. deadline_ns: CLOCK_MONOTONIC for the whole transfer, 0:
 * none; a stalled connection ends after 60 s without a byte anyhow. */
int registry_open(const ImageRef *ref, const char *hosts_dir, const RegistryAuth *auth,
                  uint64_t deadline_ns, Registry **ret, Err *err);
void registry_free(Registry *r);

/* All in nanoseconds but tries. Before the first call of the others. */
typedef struct RegistryLimits {
        uint64_t stall_ns;       /* 60 s: without a byte */
        uint64_t connect_ns;     /* 30 s: for name, connection and TLS */
        uint64_t backoff_ns;     /* 0.25 s: before the second try; doubles */
        uint64_t wait_max_ns;    /* 30 s: the longest wait, whatever Retry-After says */
        unsigned tries;          /* 5: in a row without a byte more */
        unsigned tries_in_total; /* 64: of one manifest or blob at one host */
} RegistryLimits;
void registry_get_limits(const Registry *r, RegistryLimits *ret);
void registry_set_limits(Registry *r, const RegistryLimits *limits);
DEFINE_CLEANUP(Registry, registry_free)

/* A manifest or index by tag or digest. With a digest the body is verified. *ret_media as the
 * server said; ret_digest: sha256 of the body, freed by the caller. NOT_FOUND:
 * `registry.k8s.io/x:1: not found (asked http://127.0.0.1:5000)`. */
int registry_get_manifest(Registry *r, const char *tag_or_digest, StrBuf *ret_body,
                          char **ret_media, char **ret_digest, Err *err);
/* Streams a blob; sink gets bytes in order and returns 0 or -errno to stop. Resumes with Range
 * after a broken connection (the sink never sees a byte twice); retries 408, 429 (Retry-After),
 * 5xx. Size and sha256 are verified against desc before 0 is returned. */
typedef int (*RegistrySink)(void *data, const void *p, size_t n, Err *err);
int registry_get_blob(Registry *r, const ImageDescriptor *desc, RegistrySink sink, void *data,
                      Err *err);

#endif
