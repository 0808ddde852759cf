/* SPDX-License-Identifier: Apache-2.0 */
/* image-platform.c - which entry of an index is for this machine. See image-spec.h.
 *
 * Names are folded first (x86_64 is amd64, aarch64 is arm64, armhf is arm/v7); then each entry gets
 * a rank, the lowest wins, and among equals the first. A machine runs its own variant, lower ones,
 * and the 32-bit architecture below its own. */
#include "oci/image-spec.h"

#include <stdio.h>

#define RANK_NONE     UINT32_MAX
#define RANK_32BIT    1000000u /* after every variant of the machine's own */
#define PLATFORMS_MAX 16       /* named in an error */

static const struct {
        const char *name, *architecture, *variant;
} aliases[] = {
        { "x86_64", "amd64", NULL }, { "x86-64", "amd64", NULL },  { "i386", "386", NULL },
        { "i686", "386", NULL },     { "aarch64", "arm64", NULL }, { "armhf", "arm", "v7" },
        { "armel", "arm", "v6" },
};

/* The variant that stands for "none said". */
static const struct {
        const char *architecture, *variant;
} base_variants[] = {
        { "amd64", "v1" },
        { "arm64", "v8" },
        { "arm", "v7" },
};

typedef struct Cpu {
        const char *architecture, *variant; /* borrowed; never NULL */
} Cpu;

static Cpu cpu_fold(const char *architecture, const char *variant)
{
        Cpu c = { str_or(architecture, ""), str_or(variant, "") };

        for (size_t i = 0; i < array_len(aliases); i++)
                if (str_eq(aliases[i].name, c.architecture)) {
                        c.architecture = aliases[i].architecture;
                        c.variant = str_or(aliases[i].variant, c.variant);
                        break;
                }
        for (size_t i = 0; !*c.variant && i < array_len(base_variants); i++)
                if (str_eq(base_variants[i].architecture, c.architecture))
                        c.variant = base_variants[i].variant;
        return c;
}

/* "v8.2" -> 802, "8" -> 800; -1: not of this form. */
static int variant_number(const char *s)
{
        unsigned major, minor = 0;
        int end = 0;

        s += *s == 'v';
        if (sscanf(s, "%2u%n", &major, &end) != 1 || s[0] < '0' || s[0] > '9')
                return -1;
        if (s[end] == '.') {
                s += end + 1;
                if (s[0] < '0' || s[0] > '9' || sscanf(s, "%2u%n", &minor, &end) != 1)
                        return -1;
        }
        return s[end] ? -1 : (int)(major * 100 + minor);
}

/* How far below `host` a variant is; RANK_NONE when above, or not comparable. */
static uint32_t rank_variant(const char *host, const char *variant)
{
        int h = variant_number(host), v = variant_number(variant);

        if (h < 0 || v < 0 || v > h)
                return str_eq(host, variant) ? 0 : RANK_NONE;
        return (uint32_t)(h - v);
}

static uint32_t rank_cpu(Cpu host, Cpu cpu)
{
        uint32_t below;

        if (str_eq(host.architecture, cpu.architecture)) {
                if (str_eq(host.architecture, "amd64") || str_eq(host.architecture, "arm64") ||
                    str_eq(host.architecture, "arm"))
                        return rank_variant(host.variant, cpu.variant);
                return str_eq(host.variant, cpu.variant) ? 0 : RANK_NONE;
        }
        if (str_eq(host.architecture, "amd64") && str_eq(cpu.architecture, "386"))
                return RANK_32BIT;
        if (str_eq(host.architecture, "arm64") && str_eq(cpu.architecture, "arm")) {
                below = rank_variant("v8", cpu.variant);
                return below == RANK_NONE ? RANK_NONE : RANK_32BIT + below;
        }
        return RANK_NONE;
}

static bool is_absent(const ImagePlatform *p)
{
        return !p->os && !p->architecture && !p->variant && !p->os_version;
}

/* BuildKit puts provenance next to the images, as platform unknown/unknown. */
static bool is_attestation(const ImageDescriptor *d)
{
        for (size_t i = 0; i < d->n_annotations; i++)
                if (str_eq(d->annotations[i].key, "vnd.docker.reference.type"))
                        return true;
        return str_eq(d->platform.os, "unknown");
}

static bool is_candidate(const ImageDescriptor *d)
{
        return (d->media == IMAGE_MEDIA_MANIFEST || d->media == IMAGE_MEDIA_INDEX) &&
               !is_attestation(d);
}

static int no_platform(const ImageIndex *index, Cpu host, const char *variant, Err *err)
{
        _cleanup_strbuf_ StrBuf known = {};
        size_t n = 0;

        for (size_t i = 0; i < index->n_manifests; i++) {
                const ImageDescriptor *d = &index->manifests[i];
                const ImagePlatform *p = &d->platform;
                if (!is_candidate(d))
                        continue;
                if (n++ == PLATFORMS_MAX) {
                        strbuf_adds(&known, ", ...");
                        break;
                }
                strbuf_addf(&known, "%s%.30s/%.30s%s%.20s", n > 1 ? ", " : "", str_or(p->os, "?"),
                            str_or(p->architecture, "?"), str_empty(p->variant) ? "" : "/",
                            str_or(p->variant, ""));
        }
        if (n == 0)
                return err_set(err, ERR_NOT_FOUND, "no image for linux/%s; the index has none",
                               host.architecture);
        return err_set(err, ERR_NOT_FOUND, "no image for linux/%s%s%s; it has %s",
                       host.architecture, str_empty(variant) ? "" : "/", str_or(variant, ""),
                       known.data);
}

int image_index_select(const ImageIndex *i, const char *architecture, const char *variant,
                       const ImageDescriptor **ret, Err *err)
{
        const Cpu host = cpu_fold(architecture, variant);
        const ImageDescriptor *best = NULL, *unsaid = NULL;
        uint32_t best_rank = RANK_NONE;

        for (size_t k = 0; k < i->n_manifests; k++) {
                const ImageDescriptor *d = &i->manifests[k];
                uint32_t rank;
                if (!is_candidate(d))
                        continue;
                if (is_absent(&d->platform)) {
                        unsaid = unsaid ? unsaid : d;
                        continue;
                }
                if (!str_eq(d->platform.os, "linux"))
                        continue;
                rank = rank_cpu(host, cpu_fold(d->platform.architecture, d->platform.variant));
                if (rank < best_rank) {
                        best = d;
                        best_rank = rank;
                }
        }
        /* an entry that does not say: its configuration will */
        best = best ? best : unsaid;
        if (!best)
                return no_platform(i, host, variant, err);
        *ret = best;
        return 0;
}

const char *image_host_architecture(void)
{
#if defined(__x86_64__)
        return "amd64";
#elif defined(__aarch64__)
        return "arm64";
#elif defined(__i386__)
        return "386";
#elif defined(__arm__)
        return "arm";
#elif defined(__riscv) && __riscv_xlen == 64
        return "riscv64";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
        return "ppc64le";
#elif defined(__s390x__)
        return "s390x";
#elif defined(__loongarch64)
        return "loong64";
#else
#error "name this architecture as Go does"
#endif
}
