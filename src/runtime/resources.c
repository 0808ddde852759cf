/* SPDX-License-Identifier: Apache-2.0 */
/* resources.c - see resources.h. */
#include "runtime/resources.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"

void resource_plan_done(ResourcePlan *p)
{
        for (size_t i = 0; i < p->n; i++) {
                free(p->items[i].file);
                free(p->items[i].text);
                free(p->items[i].other_file);
                free(p->items[i].other_text);
        }
        free(p->items);
        *p = (ResourcePlan){ 0 };
}

__attribute__((format(printf, 5, 6))) static ResourceWrite *add(ResourcePlan *p,
                                                                const char *property,
                                                                const char *controller,
                                                                const char *file, const char *fmt,
                                                                ...)
{
        va_list ap;

        p->items = xrealloc(p->items, (p->n + 1) * sizeof(*p->items));
        ResourceWrite *w = &p->items[p->n++];
        *w = (ResourceWrite){ .controller = controller,
                              .file = xstrdup(file),
                              .property = property };
        va_start(ap, fmt);
        w->text = xvasprintf(fmt, ap);
        va_end(ap);
        return w;
}

/* -1 is "no limit": "max" in v2, -1 in v1. */
static ResourceWrite *add_limit(ResourcePlan *p, const char *property, const char *controller,
                                const char *file, int64_t value, bool v2)
{
        if (value < 0)
                return add(p, property, controller, file, v2 ? "max" : "-1");
        return add(p, property, controller, file, "%" PRId64, value);
}

/* -- memory ------------------------------------------------------------------------------------ */

/* v1 has no word for it, only the last page of a long; v2's "max" is read as UINT64_MAX. */
#define MEMORY_UNLIMITED (UINT64_C(1) << 62)

int resource_fill_limit(OciMemory *m, uint64_t limit, Err *err)
{
        if (!m->has_swap || m->swap <= 0 || (m->has_limit && m->limit != 0))
                return 0;
        if (limit >= MEMORY_UNLIMITED)
                return err_set(err, ERR_INVALID,
                               "linux.resources.memory.swap counts memory and swap together, and "
                               "this container has no memory limit; give memory.limit, too");
        if ((uint64_t)m->swap < limit)
                return err_set(err, ERR_INVALID,
                               "linux.resources.memory.swap (%" PRId64 ") counts memory and swap "
                               "together; it is below this container's memory limit (%" PRIu64 ")",
                               m->swap, limit);
        m->has_limit = true;
        m->limit = (int64_t)limit;
        return 0;
}

int resource_swap_v2(const OciMemory *m, int64_t *ret, Err *err)
{
        *ret = 0;
        if (!m->has_swap || m->swap == 0) {
                if (m->has_limit && m->limit == -1)
                        *ret = -1;
                return m->has_limit && m->limit == -1;
        }
        if (m->swap == -1) {
                *ret = -1;
                return 1;
        }
        if (!m->has_limit || m->limit == 0)
                return err_set(err, ERR_INVALID,
                               "linux.resources.memory.swap counts memory and swap together; it "
                               "needs memory.limit");
        if (m->limit == -1) {
                *ret = m->swap;
                return 1;
        }
        if (m->swap < m->limit)
                return err_set(err, ERR_INVALID,
                               "linux.resources.memory.swap (%" PRId64 ") counts memory and swap "
                               "together; it is below memory.limit (%" PRId64 ")",
                               m->swap, m->limit);
        *ret = m->swap - m->limit;
        return 1;
}

static int plan_memory_v2(const OciMemory *m, ResourcePlan *p, Err *err)
{
        int64_t swap;
        int r = resource_swap_v2(m, &swap, err);

        if (r < 0)
                return r;
        if (m->has_swappiness && m->swappiness != UINT64_MAX)
                return err_set(err, ERR_UNSUPPORTED,
                               "linux.resources.memory.swappiness is not there in cgroup v2; leave "
                               "it out");
        /* swap first: a limit that is lowered may need room to swap to, and one that grows not */
        if (r > 0) {
                ResourceWrite *w =
                        add_limit(p, "memory.swap", "memory", "memory.swap.max", swap, true);
                w->optional = swap <= 0; /* without swap there is nothing to limit */
        }
        if (m->has_limit && m->limit != 0)
                add_limit(p, "memory.limit", "memory", "memory.max", m->limit, true);
        if (m->has_reservation && m->reservation != 0)
                add_limit(p, "memory.reservation", "memory", "memory.low", m->reservation, true);
        return 0;
}

static int plan_memory_v1(const OciMemory *m, ResourcePlan *p, Err *err)
{
        if (m->has_limit && m->limit > 0 && m->has_swap && m->swap > 0 && m->swap < m->limit)
                return err_set(err, ERR_INVALID,
                               "linux.resources.memory.swap (%" PRId64 ") counts memory and swap "
                               "together; it is below memory.limit (%" PRId64 ")",
                               m->swap, m->limit);
        if (m->has_limit && m->limit != 0)
                add_limit(p, "memory.limit", "memory", "memory.limit_in_bytes", m->limit, false)
                        ->mutual = true;
        if (m->has_swap && m->swap != 0)
                add_limit(p, "memory.swap", "memory", "memory.memsw.limit_in_bytes", m->swap, false)
                        ->mutual = true;
        else if (m->has_limit && m->limit == -1)
                add_limit(p, "memory.swap", "memory", "memory.memsw.limit_in_bytes", -1, false)
                        ->optional = true;
        if (m->has_reservation && m->reservation != 0)
                add_limit(p, "memory.reservation", "memory", "memory.soft_limit_in_bytes",
                          m->reservation, false);
        if (m->has_kernel_tcp && m->kernel_tcp != 0)
                add_limit(p, "memory.kernelTCP", "memory", "memory.kmem.tcp.limit_in_bytes",
                          m->kernel_tcp, false);
        if (m->has_swappiness && m->swappiness != UINT64_MAX)
                add(p, "memory.swappiness", "memory", "memory.swappiness", "%" PRIu64,
                    m->swappiness);
        if (m->has_disable_oom_killer && m->disable_oom_killer)
                add(p, "memory.disableOOMKiller", "memory", "memory.oom_control", "1");
        return 0;
}

/* -- cpu --------------------------------------------------------------------------------------- */

/* log2 with 32 bits after the point, by squaring: no floating point, no libm in a static program.
 */
static uint64_t log2_fixed(uint64_t x)
{
        unsigned whole = 63U - (unsigned)__builtin_clzll(x);
        uint64_t mantissa = x << (63 - whole); /* in [1, 2), 63 bits after the point */
        uint64_t result = (uint64_t)whole << 32;

        for (unsigned bit = 32; bit-- > 0;) {
                unsigned __int128 square = (unsigned __int128)mantissa * mantissa; /* 126 bits */
                bool two = square >> 127;                                          /* 2 or more */
                mantissa = (uint64_t)(square >> (two ? 64 : 63));
                if (two)
                        result |= UINT64_C(1) << bit;
        }
        return result;
}

/* 10^(a/2^32), by powers for each bit: rounding is far below the half that decides. */
static double pow10_fixed(int64_t a)
{
        double result = 1, factor = 10;
        uint64_t whole = (uint64_t)(a < 0 ? -a : a) >> 32, rest = (uint64_t)(a < 0 ? -a : a);

        for (uint64_t i = 0; i < whole; i++)
                result *= 10;
        for (unsigned bit = 32; bit-- > 0;) {
                /* factor = sqrt(factor), by Newton */
                double s = factor;
                for (int k = 0; k < 8; k++)
                        s = (s + factor / s) / 2;
                factor = s;
                if (rest & (UINT64_C(1) << bit))
                        result *= factor;
        }
        return a < 0 ? 1 / result : result;
}

uint64_t resource_cpu_weight(uint64_t shares)
{
        if (shares == 0)
                return 0;
        if (shares <= 2)
                return 1;
        if (shares >= 262144)
                return 10000;
        /* ceil(10^((l*l + 125*l)/612 - 7/34)), l = log2(shares) */
        double l = (double)log2_fixed(shares) / 4294967296.0;
        double exponent = (l * l + 125 * l) / 612 - 7.0 / 34;
        double weight = pow10_fixed((int64_t)(exponent * 4294967296.0));
        uint64_t floor = (uint64_t)weight;
        /* 1024 is exactly 100: what is over by less than the precision is not over */
        return weight - (double)floor > 1e-6 ? floor + 1 : floor;
}

/* Alone, a quota leaves the period as it is, and a period the quota. */
static void plan_cpu_max(const OciCpu *c, ResourcePlan *p)
{
        bool quota = c->has_quota && c->quota != 0, period = c->has_period && c->period != 0;
        char text[24] = "max";
        ResourceWrite *w;

        if (quota && c->quota > 0)
                snprintf(text, sizeof(text), "%" PRId64, c->quota);
        if (quota && period)
                w = add(p, "cpu.quota", "cpu", "cpu.max", "%s %" PRIu64, text, c->period);
        else if (quota)
                w = add(p, "cpu.quota", "cpu", "cpu.max", "%s", text);
        else if (period)
                w = add(p, "cpu.period", "cpu", "cpu.max", "%" PRIu64, c->period);
        else
                return;
        w->mutual = true;
        w->second = !quota;
}

static void plan_cpu_v2(const OciCpu *c, ResourcePlan *p)
{
        if (c->has_idle)
                add(p, "cpu.idle", "cpu", "cpu.idle", "%" PRId64, c->idle);
        if (c->has_shares && c->shares != 0 && !(c->has_idle && c->idle == 1))
                add(p, "cpu.shares", "cpu", "cpu.weight", "%" PRIu64,
                    resource_cpu_weight(c->shares));
        plan_cpu_max(c, p);
        if (c->has_burst)
                add(p, "cpu.burst", "cpu", "cpu.max.burst", "%" PRIu64, c->burst)->mutual = true;
}

static void plan_cpu_v1(const OciCpu *c, ResourcePlan *p)
{
        if (c->has_idle)
                add(p, "cpu.idle", "cpu", "cpu.idle", "%" PRId64, c->idle)->optional = c->idle == 0;
        if (c->has_shares && c->shares != 0 && !(c->has_idle && c->idle == 1))
                add(p, "cpu.shares", "cpu", "cpu.shares", "%" PRIu64, c->shares);
        if (c->has_period && c->period != 0)
                add(p, "cpu.period", "cpu", "cpu.cfs_period_us", "%" PRIu64, c->period)->mutual =
                        true;
        if (c->has_quota && c->quota != 0)
                add_limit(p, "cpu.quota", "cpu", "cpu.cfs_quota_us", c->quota, false)->mutual =
                        true;
        if (c->has_burst)
                add(p, "cpu.burst", "cpu", "cpu.cfs_burst_us", "%" PRIu64, c->burst)->mutual = true;
        if (c->has_rt_period && c->rt_period != 0)
                add(p, "cpu.realtimePeriod", "cpu", "cpu.rt_period_us", "%" PRIu64, c->rt_period);
        if (c->has_rt_runtime && c->rt_runtime != 0)
                add(p, "cpu.realtimeRuntime", "cpu", "cpu.rt_runtime_us", "%" PRId64,
                    c->rt_runtime);
}

static void plan_cpuset(const OciCpu *c, ResourcePlan *p)
{
        if (!str_empty(c->cpus))
                add(p, "cpu.cpus", "cpuset", "cpuset.cpus", "%s", c->cpus);
        if (!str_empty(c->mems))
                add(p, "cpu.mems", "cpuset", "cpuset.mems", "%s", c->mems);
}

/* -- block devices ----------------------------------------------------------------------------- */

static void plan_rates(const OciBlkioRate *rates, size_t n, const char *property, const char *v1,
                       const char *v2_key, bool v2, ResourcePlan *p)
{
        for (size_t i = 0; i < n; i++) {
                const OciBlkioRate *t = &rates[i];
                if (v2 && t->rate == 0)
                        add(p, property, "io", "io.max", "%" PRId64 ":%" PRId64 " %s=max", t->major,
                            t->minor, v2_key);
                else if (v2)
                        add(p, property, "io", "io.max", "%" PRId64 ":%" PRId64 " %s=%" PRIu64,
                            t->major, t->minor, v2_key, t->rate);
                else
                        add(p, property, "blkio", v1, "%" PRId64 ":%" PRId64 " %" PRIu64, t->major,
                            t->minor, t->rate);
        }
}

/* Of what schedules with weights, bfq counts as the specification does (10 to 1000). Without it v2
 * has the cost model, from 1 to 10000, and v1 had cfq before Linux 5.0. device: "8:0", or "". */
static void add_weight(ResourcePlan *p, const char *property, const char *device, unsigned weight,
                       bool v2)
{
        bool all = !*device;
        const char *v1_file = all ? "blkio.bfq.weight" : "blkio.bfq.weight_device";
        const char *blank = all ? "" : " ";
        ResourceWrite *w = add(p, property, v2 ? "io" : "blkio", v2 ? "io.bfq.weight" : v1_file,
                               "%s%s%u", device, blank, weight);

        if (v2) {
                w->other_file = xstrdup("io.weight");
                w->other_text = xasprintf("%s %u", all ? "default" : device,
                                          1 + (weight - 10U) * 9999U / 990U);
        } else {
                w->other_file = xstrdup(all ? "blkio.weight" : "blkio.weight_device");
                w->other_text = xstrdup(w->text);
        }
}

static void plan_blkio(const OciBlkio *b, bool v2, ResourcePlan *p)
{
        if (b->has_weight && b->weight != 0)
                add_weight(p, "blockIO.weight", "", b->weight, v2);
        if (b->has_leaf_weight && b->leaf_weight != 0 && !v2)
                add(p, "blockIO.leafWeight", "blkio", "blkio.leaf_weight", "%u", b->leaf_weight);
        for (size_t i = 0; i < b->n_weight_devices; i++) {
                const OciBlkioWeight *w = &b->weight_devices[i];
                char device[48];
                snprintf(device, sizeof(device), "%" PRId64 ":%" PRId64, w->major, w->minor);
                if (w->has_weight && w->weight != 0)
                        add_weight(p, "blockIO.weightDevice", device, w->weight, v2);
                if (w->has_leaf_weight && w->leaf_weight != 0 && !v2)
                        add(p, "blockIO.weightDevice", "blkio", "blkio.leaf_weight_device",
                            "%" PRId64 ":%" PRId64 " %u", w->major, w->minor, w->leaf_weight);
        }
        plan_rates(b->read_bps, b->n_read_bps, "blockIO.throttleReadBpsDevice",
                   "blkio.throttle.read_bps_device", "rbps", v2, p);
        plan_rates(b->write_bps, b->n_write_bps, "blockIO.throttleWriteBpsDevice",
                   "blkio.throttle.write_bps_device", "wbps", v2, p);
        plan_rates(b->read_iops, b->n_read_iops, "blockIO.throttleReadIOPSDevice",
                   "blkio.throttle.read_iops_device", "riops", v2, p);
        plan_rates(b->write_iops, b->n_write_iops, "blockIO.throttleWriteIOPSDevice",
                   "blkio.throttle.write_iops_device", "wiops", v2, p);
}

/* -- the rest ---------------------------------------------------------------------------------- */

static void plan_hugetlb(const OciResources *r, bool v2, ResourcePlan *p)
{
        for (size_t i = 0; i < r->n_hugepages; i++) {
                const OciHugepage *h = &r->hugepages[i];
                _cleanup_free_ char *file = xasprintf(
                        v2 ? "hugetlb.%s.max" : "hugetlb.%s.limit_in_bytes", h->page_size);
                _cleanup_free_ char *reserved =
                        xasprintf(v2 ? "hugetlb.%s.rsvd.max" : "hugetlb.%s.rsvd.limit_in_bytes",
                                  h->page_size);
                add(p, "hugepageLimits", "hugetlb", file, "%" PRIu64, h->limit);
                add(p, "hugepageLimits", "hugetlb", reserved, "%" PRIu64, h->limit)->optional =
                        true;
        }
}

static int plan_network(const OciResources *r, bool v2, ResourcePlan *p, Err *err)
{
        if (v2 && (r->has_class_id || r->n_net_priorities > 0))
                return err_set(err, ERR_UNSUPPORTED,
                               "linux.resources.network is not there in cgroup v2; leave it out");
        if (r->has_class_id && r->class_id != 0)
                add(p, "network.classID", "net_cls", "net_cls.classid", "%u", r->class_id);
        for (size_t i = 0; i < r->n_net_priorities; i++)
                add(p, "network.priorities", "net_prio", "net_prio.ifpriomap", "%s %u",
                    r->net_priorities[i].name, r->net_priorities[i].priority);
        return 0;
}

static void plan_rdma(const OciResources *r, ResourcePlan *p)
{
        for (size_t i = 0; i < r->n_rdma; i++) {
                const OciRdma *d = &r->rdma[i];
                char handles[40] = "", objects[40] = "";
                if (d->has_handles)
                        snprintf(handles, sizeof(handles), " hca_handle=%u", d->handles);
                if (d->has_objects)
                        snprintf(objects, sizeof(objects), " hca_object=%u", d->objects);
                add(p, "rdma", "rdma", "rdma.max", "%s%s%s", d->device, handles, objects);
        }
}

static int plan_unified(const OciResources *r, bool has_v2, ResourcePlan *p, Err *err)
{
        for (size_t i = 0; i < r->n_unified; i++) {
                const OciKeyValue *kv = &r->unified[i];
                if (!has_v2)
                        return err_set(err, ERR_UNSUPPORTED,
                                       "linux.resources.unified needs cgroup v2; leave it out");
                if (strchr(kv->key, '/') || !strchr(kv->key, '.') ||
                    str_eq(kv->key, "cgroup.procs") || str_eq(kv->key, "cgroup.threads"))
                        return err_set(err, ERR_INVALID,
                                       "linux.resources.unified: '%s' is not a setting", kv->key);
                _cleanup_free_ char *copy = xstrdup(kv->value);
                for (char *rest = copy, *line; (line = strsep(&rest, "\n"));)
                        if (*line)
                                add(p, "unified", "", kv->key, "%s", line);
        }
        return 0;
}

int resource_plan_make(const OciResources *res, bool (*is_v2)(const char *controller),
                       ResourcePlan *ret, Err *err)
{
        ResourcePlan p = { 0 };
        int r = 0;

        if (res->cpu.cpus || res->cpu.mems)
                plan_cpuset(&res->cpu, &p);
        if (is_v2("cpu"))
                plan_cpu_v2(&res->cpu, &p);
        else
                plan_cpu_v1(&res->cpu, &p);
        if (res->has_pids_limit && res->pids_limit != 0)
                add_limit(&p, "pids.limit", "pids", "pids.max", res->pids_limit, true);
        plan_blkio(&res->blkio, is_v2("io"), &p);
        plan_hugetlb(res, is_v2("hugetlb"), &p);
        plan_rdma(res, &p);
        r = is_v2("memory") ? plan_memory_v2(&res->memory, &p, err)
                            : plan_memory_v1(&res->memory, &p, err);
        if (r >= 0)
                r = plan_network(res, is_v2("net_cls") || is_v2("memory"), &p, err);
        if (r >= 0)
                r = plan_unified(res, is_v2(""), &p, err);
        if (r < 0) {
                resource_plan_done(&p);
                return r;
        }
        *ret = p;
        return 0;
}

/* -- devices ----------------------------------------------------------------------------------- */

#define RULE(type_, major_, minor_, access_)                                                       \
        {                                                                                          \
                .allow = true, .type = (type_), .major = (major_), .minor = (minor_),              \
                .access = (char *)(access_)                                                        \
        }

static const OciDeviceRule default_rules[] = {
        RULE('c', -1, -1, "m"),    RULE('b', -1, -1, "m"), /* a node is not access */
        RULE('c', 1, 3, "rwm"),    RULE('c', 1, 8, "rwm"), RULE('c', 1, 7, "rwm"),
        RULE('c', 5, 0, "rwm"),    RULE('c', 1, 5, "rwm"), RULE('c', 1, 9, "rwm"),
        RULE('c', 136, -1, "rwm"), /* terminals */
        RULE('c', 5, 2, "rwm"),    /* ptmx */
};

static bool is_all(const OciDeviceRule *r)
{
        const char *access = str_or(r->access, "rwm");

        return (r->type == 'a' || r->type == 0) && r->major < 0 && r->minor < 0 &&
               strchr(access, 'r') && strchr(access, 'w') && strchr(access, 'm');
}

size_t device_rules(const OciResources *r, OciDeviceRule **ret)
{
        size_t n = r ? r->n_devices : 0, start = 0;
        OciDeviceRule *rules = xnew_array(OciDeviceRule, n + array_len(default_rules) + 1);

        /* what comes before a rule for everything does not count */
        for (size_t i = 0; i < n; i++)
                if (is_all(&r->devices[i]))
                        start = i;
        size_t used = 0;
        for (size_t i = start; i < n; i++)
                rules[used++] = r->devices[i];
        for (size_t i = 0; i < array_len(default_rules); i++)
                rules[used++] = default_rules[i];
        *ret = rules;
        return used;
}

static void add_v1(ResourcePlan *p, const OciDeviceRule *d)
{
        char major[24] = "*", minor[24] = "*";

        if (d->major >= 0)
                snprintf(major, sizeof(major), "%" PRId64, d->major);
        if (d->minor >= 0)
                snprintf(minor, sizeof(minor), "%" PRId64, d->minor);
        /* v1 knows "a" for everything only */
        for (const char *t = d->type == 'c' || d->type == 'b' ? (char[]){ d->type, 0 } : "cb"; *t;
             t++)
                add(p, "devices", "devices", d->allow ? "devices.allow" : "devices.deny",
                    "%c %s:%s %s", *t, major, minor, str_or(d->access, "rwm"));
}

void device_plan_v1(const OciResources *r, ResourcePlan *ret)
{
        _cleanup_free_ OciDeviceRule *rules = NULL;
        size_t n = device_rules(r, &rules);
        bool all = is_all(&rules[0]);
        bool allowed = all && rules[0].allow;

        *ret = (ResourcePlan){ 0 };
        /* For an update too: deny takes all away, and then the list gives back. */
        add(ret, "devices", "devices", allowed ? "devices.allow" : "devices.deny", "a");
        for (size_t i = all ? 1 : 0; i < n; i++)
                if (!allowed || !rules[i].allow)
                        add_v1(ret, &rules[i]);
}
