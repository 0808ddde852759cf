/* SPDX-License-Identifier: Apache-2.0 */
/* spec-resources.c - limits of a container: CPU, memory, huge pages, OOM score. Pure.
 *
 * CRI writes 0 for "not said". memory_swap_limit_in_bytes is memory and swap together; with a
 * memory limit and nothing said about swap the container gets none. What the node cannot do is left
 * out with a note when that does no harm, else it is an error. */
#include "spec/spec-internal.h"

#define OOM_SCORE_MIN     (-1000)
#define OOM_SCORE_MAX     1000
#define CPU_PERIOD_MIN    1000 /* us; the kernel's */
#define CPU_PERIOD_MAX    1000000
#define CPU_QUOTA_MIN     1000
#define CPUSET_MAX        8192 /* bytes */
#define HUGEPAGES_MAX     64
#define UNIFIED_MAX       256
#define UNIFIED_VALUE_MAX 4096 /* bytes */
#define UNIFIED_KEY_MAX   255  /* a file name */

/* --- checks --- */

static int check_range(int64_t v, int64_t min, int64_t max, const char *field, const char *name,
                       Err *err)
{
        if (v >= min && v <= max)
                return 0;
        return err_set(err, ERR_INVALID, "%s.%s: %lld is out of range; use %lld to %lld", field,
                       name, (long long)v, (long long)min, (long long)max);
}

static int check_cpu(const CriResources *r, const char *field, Err *err)
{
        int rc = 0;
        if (r->cpu_period != 0)
                rc = check_range(r->cpu_period, CPU_PERIOD_MIN, CPU_PERIOD_MAX, field, "cpu_period",
                                 err);
        if (rc == 0 && r->cpu_quota != 0 && r->cpu_quota != -1)
                rc = check_range(r->cpu_quota, CPU_QUOTA_MIN, INT64_MAX / 1000, field, "cpu_quota",
                                 err);
        if (rc == 0)
                rc = check_range(r->cpu_shares, 0, INT64_MAX, field, "cpu_shares", err);
        return rc;
}

static int check_memory(const CriResources *r, const char *field, Err *err)
{
        int64_t limit = r->memory_limit_in_bytes, swap = r->memory_swap_limit_in_bytes;
        int rc = check_range(limit, -1, INT64_MAX, field, "memory_limit_in_bytes", err);
        if (rc == 0)
                rc = check_range(swap, -1, INT64_MAX, field, "memory_swap_limit_in_bytes", err);
        if (rc < 0)
                return rc;
        if (swap > 0 && limit <= 0)
                return err_set(
                        err, ERR_INVALID,
                        "%s.memory_swap_limit_in_bytes is set without a memory limit; it counts "
                        "memory and swap together, so set memory_limit_in_bytes too",
                        field);
        if (swap > 0 && swap < limit)
                return err_set(
                        err, ERR_INVALID,
                        "%s.memory_swap_limit_in_bytes: %lld is less than the memory limit %lld; "
                        "it counts memory and swap together",
                        field, (long long)swap, (long long)limit);
        return 0;
}

/* "0-3,8" */
static bool cpuset_is_valid(const char *s)
{
        if (strlen(s) > CPUSET_MAX)
                return false;
        for (;;) {
                size_t digits = strspn(s, "0123456789");
                if (digits == 0 || digits > 6)
                        return false;
                s += digits;
                if (*s == '-') {
                        digits = strspn(++s, "0123456789");
                        if (digits == 0 || digits > 6)
                                return false;
                        s += digits;
                }
                if (*s == 0)
                        return true;
                if (*s++ != ',')
                        return false;
        }
}

static int check_cpusets(const CriResources *r, const char *field, Err *err)
{
        const struct {
                const char *name, *value;
        } sets[] = { { "cpuset_cpus", r->cpuset_cpus }, { "cpuset_mems", r->cpuset_mems } };
        for (size_t i = 0; i < array_len(sets); i++)
                if (!str_empty(sets[i].value) && !cpuset_is_valid(sets[i].value))
                        return err_set(err, ERR_INVALID,
                                       "%s.%s: \"%.100s\" is not a list; it looks like \"0-3,8\"",
                                       field, sets[i].name, sets[i].value);
        return 0;
}

/* "2MB", "1GB" */
static bool page_size_is_valid(const char *s)
{
        size_t digits = strspn(s, "0123456789");
        const char *unit = s + digits;
        return digits >= 1 && digits <= 6 && *s != '0' &&
               (str_eq(unit, "KB") || str_eq(unit, "MB") || str_eq(unit, "GB"));
}

static int check_hugepages(const CriResources *r, const char *field, Err *err)
{
        if (r->n_hugepage_limits > HUGEPAGES_MAX)
                return err_set(err, ERR_TOO_LARGE, "%s.hugepage_limits: %zu of them; at most %d",
                               field, r->n_hugepage_limits, HUGEPAGES_MAX);
        for (size_t i = 0; i < r->n_hugepage_limits; i++) {
                const char *size = str_or(r->hugepage_limits[i]->page_size, "");
                if (!page_size_is_valid(size))
                        return err_set(
                                err, ERR_INVALID,
                                "%s.hugepage_limits[%zu].page_size: \"%.50s\" is not a size; it "
                                "looks like \"2MB\"",
                                field, i, size);
                for (size_t k = 0; k < i; k++)
                        if (str_eq(size, r->hugepage_limits[k]->page_size))
                                return err_set(
                                        err, ERR_INVALID,
                                        "%s.hugepage_limits: %s is there twice; leave one out",
                                        field, size);
        }
        return 0;
}

/* A file of the cgroup that belongs to a controller; cgroup.* would move or freeze processes. */
static bool unified_key_is_valid(const char *key)
{
        const char *dot = strchr(key, '.');
        if (!dot || dot == key || !dot[1] || strlen(key) > UNIFIED_KEY_MAX)
                return false;
        for (const char *p = key; *p; p++)
                if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
                    !(*p >= '0' && *p <= '9') && !strchr("._-", *p))
                        return false;
        return !str_skip_prefix(key, "cgroup.") && !strstr(key, "..");
}

static int check_unified(const SpecNode *node, const CriResources *r, const char *field, Err *err)
{
        if (r->n_unified == 0)
                return 0;
        if (!node->cgroup_v2)
                return err_set(
                        err, ERR_UNSUPPORTED,
                        "%s.unified: \"%.100s\" needs cgroup v2, and this node has v1; leave "
                        "unified out",
                        field, r->unified[0]->key);
        if (r->n_unified > UNIFIED_MAX)
                return err_set(err, ERR_TOO_LARGE, "%s.unified: %zu entries; at most %d", field,
                               r->n_unified, UNIFIED_MAX);
        for (size_t i = 0; i < r->n_unified; i++) {
                const char *key = str_or(r->unified[i]->key, "");
                if (!unified_key_is_valid(key))
                        return err_set(
                                err, ERR_INVALID,
                                "%s.unified: \"%.100s\" is not a file of a controller; it looks "
                                "like \"memory.high\"",
                                field, key);
                if (strlen(str_or(r->unified[i]->value, "")) > UNIFIED_VALUE_MAX)
                        return err_set(err, ERR_TOO_LARGE,
                                       "%s.unified: the value of \"%s\" is longer than %d bytes",
                                       field, key, UNIFIED_VALUE_MAX);
                for (size_t k = 0; k < i; k++)
                        if (str_eq(key, r->unified[k]->key))
                                return err_set(err, ERR_INVALID,
                                               "%s.unified: \"%s\" is there twice", field, key);
        }
        return 0;
}

int spec_resources_check(const SpecNode *node, const CriResources *r, const char *field, Err *err)
{
        if (!r)
                return 0;
        int rc = check_cpu(r, field, err);
        if (rc == 0)
                rc = check_memory(r, field, err);
        if (rc == 0)
                rc = check_range(r->oom_score_adj, OOM_SCORE_MIN, OOM_SCORE_MAX, field,
                                 "oom_score_adj", err);
        if (rc == 0)
                rc = check_cpusets(r, field, err);
        if (rc == 0)
                rc = check_hugepages(r, field, err);
        if (rc == 0)
                rc = check_unified(node, r, field, err);
        return rc;
}

int spec_check_resources(const SpecNode *node, const CriResources *r, const char *field, Err *err)
{
        return spec_resources_check(node, r, field, err);
}

/* --- the spec; each sets what the request names and leaves the rest as it is --- */

static void set_cpu(OciCpu *cpu, const CriResources *r)
{
        if (r->cpu_period != 0) {
                cpu->has_period = true;
                cpu->period = (uint64_t)r->cpu_period;
        }
        if (r->cpu_quota != 0) {
                cpu->has_quota = true;
                cpu->quota = r->cpu_quota;
        }
        if (r->cpu_shares != 0) {
                cpu->has_shares = true;
                cpu->shares = (uint64_t)r->cpu_shares;
        }
        if (!str_empty(r->cpuset_cpus))
                str_assign(&cpu->cpus, r->cpuset_cpus);
        if (!str_empty(r->cpuset_mems))
                str_assign(&cpu->mems, r->cpuset_mems);
}

static void set_memory(OciMemory *m, const SpecNode *node, const CriResources *r, char ***notes)
{
        int64_t limit = r->memory_limit_in_bytes, swap = r->memory_swap_limit_in_bytes;
        if (limit != 0) {
                m->has_limit = true;
                m->limit = limit;
                if (swap == 0)
                        swap = limit;
                else if (!node->has_swap)
                        spec_note(
                                notes,
                                "memory_swap_limit_in_bytes %lld was left out: this node's kernel "
                                "does not count swap",
                                (long long)swap);
        }
        if (swap != 0 && node->has_swap) {
                m->has_swap = true;
                m->swap = swap;
        }
}

static void set_hugepage(OciResources *res, const char *size, uint64_t limit)
{
        for (size_t i = 0; i < res->n_hugepages; i++)
                if (str_eq(res->hugepages[i].page_size, size)) {
                        res->hugepages[i].limit = limit;
                        return;
                }
        res->hugepages = xrealloc(res->hugepages, (res->n_hugepages + 1) * sizeof(*res->hugepages));
        res->hugepages[res->n_hugepages++] =
                (OciHugepage){ .page_size = xstrdup(size), .limit = limit };
}

static void set_hugepages(OciResources *res, const SpecNode *node, const CriResources *r,
                          char ***notes)
{
        for (size_t i = 0; i < r->n_hugepage_limits; i++) {
                const Runtime__V1__HugepageLimit *h = r->hugepage_limits[i];
                if (node->has_hugetlb)
                        set_hugepage(res, h->page_size, h->limit);
                else if (h->limit > 0) /* the kubelet says 0 for every size of every pod */
                        spec_note(notes,
                                  "hugepage_limits %s was left out: this node has no hugetlb "
                                  "controller, so their use is not limited",
                                  h->page_size);
        }
}

static void set_unified(OciResources *res, const char *key, const char *value)
{
        for (size_t i = 0; i < res->n_unified; i++)
                if (str_eq(res->unified[i].key, key)) {
                        str_assign(&res->unified[i].value, value);
                        return;
                }
        res->unified = xrealloc(res->unified, (res->n_unified + 1) * sizeof(*res->unified));
        res->unified[res->n_unified++] =
                (OciKeyValue){ .key = xstrdup(key), .value = xstrdup(value) };
}

static void set_all(OciResources *res, const SpecNode *node, const CriResources *r, char ***notes)
{
        set_cpu(&res->cpu, r);
        set_memory(&res->memory, node, r, notes);
        set_hugepages(res, node, r, notes);
        for (size_t i = 0; i < r->n_unified; i++)
                set_unified(res, r->unified[i]->key, str_or(r->unified[i]->value, ""));
}

static void set_oom_score(SpecBuild *b, const CriResources *r)
{
        OciProcess *p = b->spec->process;
        int64_t min = b->in->node->min_oom_score_adj;
        p->has_oom_score_adj = true;
        p->oom_score_adj = r->oom_score_adj;
        if (p->oom_score_adj >= min)
                return;
        spec_note(&b->notes,
                  "oom_score_adj %lld was raised to %lld: the daemon may not set less without "
                  "CAP_SYS_RESOURCE",
                  (long long)r->oom_score_adj, (long long)min);
        p->oom_score_adj = min;
}

int spec_resources_build(SpecBuild *b, Err *err)
{
        (void)err;
        const SpecInput *in = b->in;
        OciResources *res = b->spec->linux.resources;
        const CriResources *r = spec_request_resources(in->config);

        b->spec->linux.cgroups_path =
                spec_cgroups_path(in->node, in->pod->config, in->container_id);
        if (in->node->pids_limit > 0) {
                res->has_pids_limit = true;
                res->pids_limit = in->node->pids_limit;
        }
        if (!r)
                return 0;
        set_all(res, in->node, r, &b->notes);
        set_oom_score(b, r);
        return 0;
}

/* A swap limit may come alone: it is held against the memory limit that is there. */
static int check_update(const SpecNode *node, const OciResources *old, const CriResources *r,
                        Err *err)
{
        if (!r)
                return err_set(err, ERR_INVALID, "linux is missing; say which resources to change");
        CriResources merged = *r;
        if (merged.memory_limit_in_bytes == 0 && old && old->memory.has_limit)
                merged.memory_limit_in_bytes = old->memory.limit;
        return spec_resources_check(node, &merged, "linux", err);
}

int spec_update_resources(const SpecNode *node, const OciResources *old, const CriResources *r,
                          OciResources **ret, char ***ret_notes, Err *err)
{
        _cleanup_(oci_resources_freep) OciResources *res = NULL;
        _cleanup_strv_ char **notes = NULL;
        int rc = check_update(node, old, r, err);
        if (rc < 0)
                return rc;
        if (old) {
                _cleanup_json_ Json *j = oci_resources_to_json(old);
                rc = oci_resources_from_json(j, &res, err);
                if (rc < 0)
                        return err_wrap(err, rc, "the container's resources");
        } else
                res = xnew(OciResources);
        set_all(res, node, r, &notes);
        if (res->n_unified > UNIFIED_MAX)
                return err_set(
                        err, ERR_TOO_LARGE,
                        "linux.unified: with those of earlier updates it has %zu entries; at "
                        "most %d: make the container anew with those that it needs",
                        res->n_unified, UNIFIED_MAX);
        if (ret_notes)
                *ret_notes = take_ptr(notes);
        *ret = take_ptr(res);
        return 0;
}
