/* SPDX-License-Identifier: Apache-2.0 */
/* registry.c - see registry.h: the hosts in order, what is asked of them, and whether it is what
 * was asked for.
 *
 *     get_manifest, get_blob -> ask_hosts -> transfer_ask
 *
 * A blob is the same wherever it comes from: when a host breaks off, the next one is asked for the
 * rest. */
#include "registry/registry.h"

#include <curl/curl.h>
#include <openssl/evp.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "registry/auth.h"
#include "registry/registry-internal.h"

#define DIGEST_SIZE 72  /* "sha256:", 64 digits, NUL */
#define ASKED_WORDS 120 /* of the error of a host that is not the last */

typedef EVP_MD_CTX Hash;
DEFINE_CLEANUP(Hash, EVP_MD_CTX_free)

static Hash *hash_new(void)
{
        Hash *h = EVP_MD_CTX_new();

        tare_assert(h && EVP_DigestInit_ex(h, EVP_sha256(), NULL) == 1);
        return h;
}

static void hash_add(Hash *h, const void *p, size_t n)
{
        tare_assert(EVP_DigestUpdate(h, p, n) == 1);
}

static void hash_text(Hash *h, char ret[static DIGEST_SIZE])
{
        unsigned char raw[EVP_MAX_MD_SIZE];
        unsigned n = 0;
        int at = snprintf(ret, DIGEST_SIZE, "sha256:");

        tare_assert(EVP_DigestFinal_ex(h, raw, &n) == 1 && n == 32);
        for (unsigned i = 0; i < n; i++, at += 2)
                (void)snprintf(ret + at, DIGEST_SIZE - (size_t)at, "%02x", raw[i]);
}

int registry_open(const ImageRef *ref, const char *hosts_dir, const RegistryAuth *auth,
                  uint64_t deadline_ns, Registry **ret, Err *err)
{
        _cleanup_(registry_freep) Registry *r = xnew(Registry);

        tare_assert(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); /* counted */
        pthread_mutex_init(&r->lock, NULL);
        r->domain = xstrdup(ref->domain);
        r->repository = xstrdup(ref->repository);
        r->name = image_ref_name(ref);
        r->deadline_ns = deadline_ns;
        r->limits = (RegistryLimits){
                .stall_ns = 60 * NS_PER_S,
                .connect_ns = 30 * NS_PER_S,
                .backoff_ns = 250 * NS_PER_MS,
                .wait_max_ns = 30 * NS_PER_S,
                .tries = 5,
                .tries_in_total = 64,
        };
        int x = credentials_set(&r->credentials, auth, err);
        if (x == 0)
                x = hosts_load(hosts_dir, ref->domain, &r->hosts, err);
        if (x < 0)
                return err_wrap(err, x, "registry %s", ref->domain);
        r->states = xnew_array(HostState, r->hosts.n);
        *ret = take_ptr(r);
        return 0;
}

void registry_free(Registry *r)
{
        if (!r)
                return;
        for (size_t i = 0; i < r->n_clients; i++)
                http_client_free(r->clients[i]);
        for (size_t i = 0; r->states && i < r->hosts.n; i++) {
                secret_free(r->states[i].authorization);
                strv_free(r->states[i].scopes);
        }
        credentials_done(&r->credentials);
        free(r->states);
        hosts_done(&r->hosts);
        free(r->domain);
        free(r->repository);
        free(r->name);
        pthread_mutex_destroy(&r->lock);
        free(r);
        curl_global_cleanup();
}

void registry_get_limits(const Registry *r, RegistryLimits *ret)
{
        *ret = r->limits;
}

void registry_set_limits(Registry *r, const RegistryLimits *limits)
{
        tare_assert(limits->tries > 0 && limits->tries_in_total > 0);
        r->limits = *limits;
}

HttpClient *registry_take_client(Registry *r)
{
        HttpClient *c = NULL;

        pthread_mutex_lock(&r->lock);
        if (r->n_clients)
                c = r->clients[--r->n_clients];
        pthread_mutex_unlock(&r->lock);
        return c ? c : http_client_new();
}

void registry_give_client(Registry *r, HttpClient *c)
{
        pthread_mutex_lock(&r->lock);
        if (r->n_clients < CLIENTS_MAX)
                r->clients[r->n_clients++] = take_ptr(c);
        pthread_mutex_unlock(&r->lock);
        http_client_free(c);
}

static bool is_down(Registry *r, size_t host)
{
        pthread_mutex_lock(&r->lock);
        bool down = r->states[host].down;
        pthread_mutex_unlock(&r->lock);
        return down;
}

static void set_down(Registry *r, size_t host)
{
        pthread_mutex_lock(&r->lock);
        r->states[host].down = true;
        pthread_mutex_unlock(&r->lock);
}

/* The order: as written, but those that could not be reached before come last. */
static size_t order_hosts(Registry *r, unsigned capability, size_t *order)
{
        size_t n = 0;

        for (int down = 0; down <= 1; down++)
                for (size_t i = 0; i < r->hosts.n; i++)
                        if ((r->hosts.items[i].capabilities & capability) &&
                            is_down(r, i) == (bool)down)
                                order[n++] = i;
        return n;
}

/* before: "http://a: connection refused: ..., http://b: not found (404)", the hosts that were asked
 * first. */
static int fail_hosts(Registry *r, const Ask *ask, const RegistryHost *last, const Err *e,
                      const char *before, Err *err)
{
        const char *host = str_skip_prefix(last->url.origin, "https://");

        host = host ? host : str_skip_prefix(last->url.origin, "http://");
        if (e->kind == ERR_NOT_FOUND)
                return err_set(err, e->kind, "%s: not found (asked %s%s%s)", ask->what, before,
                               *before ? ", " : "", last->url.origin);
        return err_set(err, e->kind, "registry %s: %s (for %s%s%s)", host, e->msg, ask->what,
                       *before ? "; asked before: " : "", before);
}

static int ask_hosts(Registry *r, Ask *ask, HttpReply *reply, Err *err)
{
        _cleanup_free_ size_t *order = xnew_array(size_t, r->hosts.n);
        size_t n = order_hosts(r, ask->capability, order);
        _cleanup_strbuf_ StrBuf before = {};

        if (n == 0)
                return err_set(err, ERR_UNAVAILABLE,
                               "%s: no host in hosts.toml has the capability \"%s\"", ask->what,
                               ask->capability == HOST_PULL ? "pull" : "resolve");
        for (size_t i = 0;; i++) {
                const RegistryHost *host = &r->hosts.items[order[i]];
                Err e = {};
                int x = transfer_ask(r, order[i], ask, reply, &e);
                if (x == 0)
                        return 0;
                if (ask->final)
                        return err_copy(err, &e);
                if (reply->end == HTTP_UNREACHABLE)
                        set_down(r, order[i]);
                if (i + 1 == n || registry_is_late(r))
                        return fail_hosts(r, ask, host, &e, str_or(before.data, ""), err);
                strbuf_addf(&before, "%s%s", before.len ? ", " : "", host->url.origin);
                if (e.kind != ERR_NOT_FOUND)
                        strbuf_addf(&before, ": %.*s", ASKED_WORDS, e.msg);
        }
}

/* --- manifests -------------------------------------------------------------------------------- */

typedef struct ManifestJob {
        StrBuf *body;
        const char *want; /* the digest; NULL: whatever the tag means */
        char got[DIGEST_SIZE];
} ManifestJob;

static void manifest_begin(void *data)
{
        strbuf_reset(((ManifestJob *)data)->body);
}

static int manifest_body(void *data, const HttpReply *reply, const void *p, size_t n, Err *err)
{
        ManifestJob *job = data;

        if (job->body->len + n > REGISTRY_MANIFEST_MAX)
                return err_set(err, ERR_TOO_LARGE, "the manifest has more than %zu bytes",
                               REGISTRY_MANIFEST_MAX);
        strbuf_add(job->body, p, n);
        return 0;
}

static int manifest_end(void *data, const HttpReply *reply, Err *err)
{
        _cleanup_(EVP_MD_CTX_freep) Hash *hash = hash_new();
        ManifestJob *job = data;
        const char *want = job->want;

        hash_add(hash, job->body->data ? job->body->data : "", job->body->len);
        hash_text(hash, job->got);
        if (!want && reply->digest && image_digest_is_valid(reply->digest))
                want = reply->digest; /* what the host says that it sent */
        if (want && !str_eq(want, job->got))
                return err_set(err, ERR_CORRUPT,
                               "the manifest has digest %s, not %s: what came is not used",
                               job->got, want);
        return 0;
}

static bool is_tag(const char *s)
{
        return *s && strlen(s) <= 128 && *s != '.' && *s != '-' &&
               strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
                       strlen(s);
}

int registry_get_manifest(Registry *r, const char *tag_or_digest, StrBuf *ret_body,
                          char **ret_media, char **ret_digest, Err *err)
{
        static char *const accept[] = {
                "Accept: application/vnd.oci.image.index.v1+json",
                "Accept: application/vnd.oci.image.manifest.v1+json",
                "Accept: application/vnd.docker.distribution.manifest.list.v2+json",
                "Accept: application/vnd.docker.distribution.manifest.v2+json",
                NULL,
        };
        bool by_digest = image_digest_is_valid(tag_or_digest);
        _cleanup_strbuf_ StrBuf body = {};
        _cleanup_http_reply_ HttpReply reply = {};
        ManifestJob job = { .body = &body, .want = by_digest ? tag_or_digest : NULL };

        if (!by_digest && !is_tag(tag_or_digest))
                return err_set(err, ERR_INVALID, "%s: '%.100s' is neither a tag nor a digest",
                               r->name, tag_or_digest);
        _cleanup_free_ char *what =
                xasprintf("%s%s%s", r->name, by_digest ? "@" : ":", tag_or_digest);
        Ask ask = {
                .kind = "manifests",
                .reference = tag_or_digest,
                .accept = accept,
                .capability = by_digest ? HOST_PULL : HOST_RESOLVE,
                .what = what,
                .begin = manifest_begin,
                .body = manifest_body,
                .end = manifest_end,
                .data = &job,
        };
        int x = ask_hosts(r, &ask, &reply, err);
        if (x < 0)
                return x;
        strbuf_add(ret_body, body.data ? body.data : "", body.len);
        *ret_media = xstrdup(str_or(reply.media, ""));
        *ret_digest = xstrdup(job.got);
        return 0;
}

/* --- blobs ------------------------------------------------------------------------------------ */

typedef struct BlobJob {
        const ImageDescriptor *desc;
        RegistrySink sink;
        void *data;
        Hash *hash;
        Ask *ask; /* its offset counts what the sink has */
        bool begun;
        uint64_t skip; /* bytes to come that the sink has */
} BlobJob;

static void blob_begin(void *data)
{
        ((BlobJob *)data)->begun = false;
}

/* The first bytes of an answer: where in the blob are they? A host may not know ranges. */
static int blob_place(BlobJob *job, const HttpReply *reply, Err *err)
{
        job->begun = true;
        job->skip = job->ask->offset;
        if (reply->status != 206)
                return 0;
        if (!reply->has_range || reply->range_start > job->ask->offset)
                return err_set(err, ERR_UNAVAILABLE, "it sent another part than was asked for");
        job->skip = job->ask->offset - reply->range_start;
        return 0;
}

static int blob_body(void *data, const HttpReply *reply, const void *p, size_t n, Err *err)
{
        BlobJob *job = data;
        const char *at = p;

        int r = job->begun ? 0 : blob_place(job, reply, err);
        if (r < 0)
                return r;
        size_t skip = job->skip < n ? (size_t)job->skip : n;
        job->skip -= skip;
        at += skip;
        n -= skip;
        if (n > job->desc->size - job->ask->offset)
                return err_set(err, ERR_CORRUPT,
                               "the blob has more than the %llu bytes that its manifest says",
                               (unsigned long long)job->desc->size);
        if (n == 0)
                return 0;
        hash_add(job->hash, at, n);
        r = job->sink(job->data, at, n, err);
        if (r < 0) {
                job->ask->final = true;
                return r;
        }
        job->ask->offset += n;
        return 0;
}

static int blob_end(void *data, const HttpReply *reply, Err *err)
{
        BlobJob *job = data;

        if (job->ask->offset == job->desc->size)
                return 0;
        return err_set(err, ERR_UNAVAILABLE, "the blob ended after %llu of %llu bytes",
                       (unsigned long long)job->ask->offset, (unsigned long long)job->desc->size);
}

static int blob_check(Registry *r, BlobJob *job, Err *err)
{
        char got[DIGEST_SIZE];

        hash_text(job->hash, got);
        if (str_eq(got, job->desc->digest))
                return 0;
        return err_set(err, ERR_CORRUPT, "blob %s of %s: what came has digest %s: it is not used",
                       job->desc->digest, r->name, got);
}

int registry_get_blob(Registry *r, const ImageDescriptor *desc, RegistrySink sink, void *data,
                      Err *err)
{
        _cleanup_(EVP_MD_CTX_freep) Hash *hash = hash_new();
        _cleanup_http_reply_ HttpReply reply = {};
        BlobJob job = { .desc = desc, .sink = sink, .data = data, .hash = hash };

        if (!image_digest_is_valid(desc->digest))
                return err_set(err, ERR_INVALID, "%s: '%.100s' is no digest", r->name,
                               desc->digest);
        _cleanup_free_ char *what = xasprintf("blob %s of %s", desc->digest, r->name);
        Ask ask = {
                .kind = "blobs",
                .reference = desc->digest,
                .capability = HOST_PULL,
                .what = what,
                .begin = blob_begin,
                .body = blob_body,
                .end = blob_end,
                .data = &job,
        };
        job.ask = &ask;
        int x = desc->size ? ask_hosts(r, &ask, &reply, err) : 0;
        return x < 0 ? x : blob_check(r, &job, err);
}
