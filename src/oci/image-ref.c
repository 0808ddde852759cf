/* SPDX-License-Identifier: Apache-2.0 */
/* image-ref.c - image references: [domain/]repository[:tag][@digest], normalised as docker does.
 *
 * The first part is a domain when it looks like a host: it has a '.', a ':' or an upper-case
 * letter, or is "localhost". What is not said is docker.io, library/ and latest. */
#include "oci/image-spec.h"

#define NAME_MAX_BYTES 255
#define TAG_MAX_BYTES  128

#define DEFAULT_DOMAIN "docker.io"
#define LOWER_ALNUM    "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER          "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALNUM          LOWER_ALNUM UPPER

static bool all_of(const char *s, size_t n, const char *set)
{
        return strspn(s, set) >= n;
}

/* One or more alphanumeric runs joined by ".", "_", "__" or any number of "-". */
static bool is_component(const char *s, size_t n)
{
        const char *end = s + n;

        for (;;) {
                size_t run = strspn(s, LOWER_ALNUM), sep;
                if (run == 0 || s + run > end)
                        return false;
                s += run;
                if (s == end)
                        return true;
                if (*s == '-')
                        sep = strspn(s, "-");
                else if (*s == '_')
                        sep = s[1] == '_' ? 2 : 1;
                else
                        sep = *s == '.' ? 1 : 0;
                if (sep == 0)
                        return false;
                s += sep;
        }
}

static bool is_repository(const char *s)
{
        for (;;) {
                size_t n = strcspn(s, "/");
                if (!is_component(s, n))
                        return false;
                if (!s[n])
                        return true;
                s += n + 1;
        }
}

static bool is_tag(const char *s)
{
        size_t n = strlen(s);

        return n > 0 && n <= TAG_MAX_BYTES && all_of(s, 1, ALNUM "_") && all_of(s, n, ALNUM "_.-");
}

/* Labels of letters, digits and inner dashes, joined by dots. */
static bool is_host_name(const char *s, size_t n)
{
        for (size_t i = 0; i < n;) {
                size_t label = strcspn(s + i, ".");
                label = label < n - i ? label : n - i;
                if (label == 0 || !all_of(s + i, label, ALNUM "-") || s[i] == '-' ||
                    s[i + label - 1] == '-')
                        return false;
                i += label;
                if (i < n && ++i == n)
                        return false;
        }
        return n > 0;
}

static bool is_domain(const char *s)
{
        size_t n = strcspn(s, ":");
        uint32_t port;

        if (*s == '[') {
                const char *close = strchr(s, ']');
                if (!close)
                        return false;
                n = (size_t)(close - s) + 1;
                if (n == 2 || !all_of(s + 1, n - 2, "0123456789abcdefABCDEF:"))
                        return false;
        } else if (!is_host_name(s, n)) {
                return false;
        }
        if (!s[n])
                return true;
        return s[n] == ':' && str_to_u32(s + n + 1, &port) >= 0 && port > 0 && port <= 65535;
}

static bool looks_like_domain(const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (strchr(".:" UPPER, s[i]))
                        return true;
        return n == strlen("localhost") && strncmp(s, "localhost", n) == 0;
}

static int bad(Err *err, const char *text, const char *why)
{
        return err_set(err, ERR_INVALID, "image reference \"%.300s\": %s", text, why);
}

/* Cuts "@digest" and ":tag" off name. */
static int split_suffixes(const char *text, char *name, ImageRef *ref, Err *err)
{
        char *at = strchr(name, '@'), *slash, *colon;

        if (at) {
                *at = 0;
                if (str_skip_prefix(at + 1, "sha512:") || str_skip_prefix(at + 1, "sha384:"))
                        return err_set(err, ERR_UNSUPPORTED,
                                       "image reference \"%.300s\": only "
                                       "sha256 digests are supported",
                                       text);
                if (!image_digest_is_valid(at + 1))
                        return bad(err, text,
                                   "after \"@\" comes a digest: \"sha256:\" and 64 lower-case "
                                   "hexadecimal digits");
                ref->digest = xstrdup(at + 1);
        }
        slash = strrchr(name, '/');
        colon = strrchr(slash ? slash : name, ':');
        if (colon) {
                *colon = 0;
                if (!is_tag(colon + 1))
                        return bad(err, text,
                                   "a tag has up to 128 letters, digits, \"_\", \".\" and \"-\", "
                                   "and starts with none of the last two");
                ref->tag = xstrdup(colon + 1);
        }
        if (!ref->tag && !ref->digest)
                ref->tag = xstrdup("latest");
        return 0;
}

static void split_name(const char *name, ImageRef *ref)
{
        size_t first = strcspn(name, "/");

        if (name[first] && looks_like_domain(name, first)) {
                ref->domain = xstrndup(name, first);
                name += first + 1;
        } else {
                ref->domain = xstrdup(DEFAULT_DOMAIN);
        }
        if (str_eq(ref->domain, "index.docker.io"))
                str_assign(&ref->domain, DEFAULT_DOMAIN);
        if (str_eq(ref->domain, DEFAULT_DOMAIN) && !strchr(name, '/'))
                ref->repository = xasprintf("library/%s", name);
        else
                ref->repository = xstrdup(name);
}

static int parse_into(const char *text, ImageRef *ref, Err *err)
{
        _cleanup_free_ char *name = xstrdup(text);
        int r;

        if (strstr(text, "://"))
                return bad(err, text, "is a URL; leave the scheme off");
        r = split_suffixes(text, name, ref, err);
        if (r < 0)
                return r;
        if (strlen(name) == 64 && all_of(name, 64, "0123456789abcdef"))
                return bad(err, text, "is an image id, not a name");
        split_name(name, ref);
        if (!is_domain(ref->domain))
                return bad(err, text, "the part before the first \"/\" is not a host or host:port");
        if (strpbrk(ref->repository, UPPER))
                return bad(err, text, "the repository must be in lower case");
        if (!is_repository(ref->repository))
                return bad(err, text,
                           "a repository is made of lower-case letters, digits and single "
                           "separators \".\", \"_\", \"-\", in parts divided by \"/\"");
        if (strlen(ref->domain) + 1 + strlen(ref->repository) > NAME_MAX_BYTES)
                return bad(err, text, "the name is longer than 255 bytes");
        return 0;
}

int image_ref_parse(const char *text, ImageRef *ret, Err *err)
{
        ImageRef ref = {};
        int r;

        if (str_empty(text))
                return err_set(err, ERR_INVALID, "image reference: empty; name an image");
        if (strlen(text) > 1024)
                return bad(err, text, "longer than 1024 bytes");
        r = parse_into(text, &ref, err);
        if (r < 0) {
                image_ref_done(&ref);
                return r;
        }
        *ret = ref;
        return 0;
}

void image_ref_done(ImageRef *ref)
{
        free(ref->domain);
        free(ref->repository);
        free(ref->tag);
        free(ref->digest);
        *ref = (ImageRef){};
}

char *image_ref_name(const ImageRef *ref)
{
        return xasprintf("%s/%s", ref->domain, ref->repository);
}

char *image_ref_tagged(const ImageRef *ref)
{
        return ref->tag ? xasprintf("%s/%s:%s", ref->domain, ref->repository, ref->tag) : NULL;
}

char *image_ref_digested(const ImageRef *ref, const char *digest)
{
        return xasprintf("%s/%s@%s", ref->domain, ref->repository, digest);
}
