/* SPDX-License-Identifier: Apache-2.0 */
/* resources.c - LinuxResources: described from config.json, claimed by plugins, applied. Pure. */
#include <stddef.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "nri/nri-internal.h"

/* Numbers: one row each, for all three directions. */
typedef enum NumberKind { NUM_I64, NUM_U64, NUM_BOOL } NumberKind;

typedef struct Number {
        Nri__Field field;
        NumberKind kind;
        size_t message;    /* of the pointer to the wrapper */
        size_t has, value; /* in OciMemory or OciCpu */
} Number;

#define MEM(f, k, m, o)                                                                            \
        {                                                                                          \
                NRI__FIELD__FIELD_##f, k, offsetof(Nri__LinuxMemory, m),                           \
                        offsetof(OciMemory, has_##o), offsetof(OciMemory, o)                       \
        }
static const Number memory_numbers[] = {
        MEM(MEM_LIMIT, NUM_I64, limit, limit),
        MEM(MEM_RESERVATION, NUM_I64, reservation, reservation),
        MEM(MEM_SWAP_LIMIT, NUM_I64, swap, swap),
        MEM(MEM_KERNEL_LIMIT, NUM_I64, kernel, kernel),
        MEM(MEM_TCP_LIMIT, NUM_I64, kernel_tcp, kernel_tcp),
        MEM(MEM_SWAPPINESS, NUM_U64, swappiness, swappiness),
        MEM(MEM_DISABLE_OOM_KILLER, NUM_BOOL, disable_oom_killer, disable_oom_killer),
        MEM(MEM_USE_HIERARCHY, NUM_BOOL, use_hierarchy, use_hierarchy),
};

#define CPU(f, k, m, o)                                                                            \
        {                                                                                          \
                NRI__FIELD__FIELD_##f, k, offsetof(Nri__LinuxCPU, m), offsetof(OciCpu, has_##o),   \
                        offsetof(OciCpu, o)                                                        \
        }
static const Number cpu_numbers[] = {
        CPU(CPU_SHARES, NUM_U64, shares, shares),
        CPU(CPU_QUOTA, NUM_I64, quota, quota),
        CPU(CPU_PERIOD, NUM_U64, period, period),
        CPU(CPU_REALTIME_RUNTIME, NUM_I64, realtime_runtime, rt_runtime),
        CPU(CPU_REALTIME_PERIOD, NUM_U64, realtime_period, rt_period),
};

/* The wrapper that a message has of a number, or NULL. */
static const void *wrapper(const void *message, const Number *n)
{
        return *(void *const *)((const char *)message + n->message);
}

/* --- from config.json --- */

static void describe_numbers(void *message, const void *oci, const Number *list, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                void **field = (void **)((char *)message + list[i].message);
                const char *value = (const char *)oci + list[i].value;
                if (!*(const bool *)((const char *)oci + list[i].has))
                        continue;
                if (list[i].kind == NUM_I64)
                        *field = nri_int64(*(const int64_t *)value);
                else if (list[i].kind == NUM_U64)
                        *field = nri_uint64(*(const uint64_t *)value);
                else
                        *field = nri_bool(*(const bool *)value);
        }
}

static void describe_rules(Nri__LinuxResources *m, const OciResources *r)
{
        for (size_t i = 0; i < r->n_devices; i++) {
                const OciDeviceRule *rule = &r->devices[i];
                Nri__LinuxDeviceCgroup *d =
                        nri_message(Nri__LinuxDeviceCgroup, nri__linux_device_cgroup__init);
                const char type[2] = { rule->type ? rule->type : 'a', 0 };
                d->allow = rule->allow;
                nri_set_string(&d->type, type);
                nri_set_string(&d->access, rule->access);
                if (rule->major >= 0)
                        d->major = nri_int64(rule->major);
                if (rule->minor >= 0)
                        d->minor = nri_int64(rule->minor);
                nri_push(m->devices, m->n_devices, d);
        }
}

Nri__LinuxResources *nri_describe_resources(const OciResources *r)
{
        Nri__LinuxResources *m = nri_message(Nri__LinuxResources, nri__linux_resources__init);

        m->memory = nri_message(Nri__LinuxMemory, nri__linux_memory__init);
        m->cpu = nri_message(Nri__LinuxCPU, nri__linux_cpu__init);
        if (!r)
                return m;
        describe_numbers(m->memory, &r->memory, memory_numbers, array_len(memory_numbers));
        describe_numbers(m->cpu, &r->cpu, cpu_numbers, array_len(cpu_numbers));
        nri_set_string(&m->cpu->cpus, r->cpu.cpus);
        nri_set_string(&m->cpu->mems, r->cpu.mems);
        for (size_t i = 0; i < r->n_hugepages; i++) {
                Nri__HugepageLimit *h = nri_message(Nri__HugepageLimit, nri__hugepage_limit__init);
                nri_set_string(&h->page_size, r->hugepages[i].page_size);
                h->limit = r->hugepages[i].limit;
                nri_push(m->hugepage_limits, m->n_hugepage_limits, h);
        }
        for (size_t i = 0; i < r->n_unified; i++)
                nri_push_pair(&m->unified, &m->n_unified, r->unified[i].key, r->unified[i].value);
        describe_rules(m, r);
        if (r->has_pids_limit) {
                m->pids = nri_message(Nri__LinuxPids, nri__linux_pids__init);
                m->pids->limit = r->pids_limit;
        }
        return m;
}

/* --- claims --- */

typedef struct Claimer {
        Owners *owners;
        const char *container, *plugin;
        Err *err;
} Claimer;

static int claim(const Claimer *c, Nri__Field field, const char *key)
{
        return owners_claim(c->owners, c->container, field, key, c->plugin, c->err);
}

static int claim_numbers(const Claimer *c, const void *message, const Number *list, size_t n)
{
        int r = 0;

        for (size_t i = 0; message && r == 0 && i < n; i++)
                if (wrapper(message, &list[i]))
                        r = claim(c, list[i].field, "");
        return r;
}

static int claim_lists(const Claimer *c, const Nri__LinuxResources *r)
{
        int e = 0;

        for (size_t i = 0; e == 0 && i < r->n_hugepage_limits; i++)
                e = claim(c, NRI__FIELD__FIELD_HUGEPAGE_LIMITS, r->hugepage_limits[i]->page_size);
        for (size_t i = 0; e == 0 && i < r->n_unified; i++)
                e = claim(c, NRI__FIELD__FIELD_CGROUPS_UNIFIED, r->unified[i]->key);
        return e;
}

int resources_claim(Owners *o, const char *container, const char *plugin,
                    const Nri__LinuxResources *r, Err *err)
{
        const Claimer c = { o, container, plugin, err };
        const struct {
                bool set;
                Nri__Field field;
        } singles[] = {
                { r->cpu && !str_empty(r->cpu->cpus), NRI__FIELD__FIELD_CPU_SET_CPUS },
                { r->cpu && !str_empty(r->cpu->mems), NRI__FIELD__FIELD_CPU_SET_MEMS },
                { r->blockio_class, NRI__FIELD__FIELD_BLOCKIO_CLASS },
                { r->rdt_class, NRI__FIELD__FIELD_RDT_CLASS },
                { r->pids, NRI__FIELD__FIELD_PIDS_LIMIT },
        };
        int e = claim_numbers(&c, r->memory, memory_numbers, array_len(memory_numbers));

        if (e == 0)
                e = claim_numbers(&c, r->cpu, cpu_numbers, array_len(cpu_numbers));
        for (size_t i = 0; e == 0 && i < array_len(singles); i++)
                if (singles[i].set)
                        e = claim(&c, singles[i].field, "");
        return e == 0 ? claim_lists(&c, r) : e;
}

/* --- into config.json --- */

static void set_numbers(void *oci, const void *message, const Number *list, size_t n)
{
        for (size_t i = 0; message && i < n; i++) {
                const void *w = wrapper(message, &list[i]);
                char *value = (char *)oci + list[i].value;
                if (!w)
                        continue;
                *(bool *)((char *)oci + list[i].has) = true;
                if (list[i].kind == NUM_I64)
                        *(int64_t *)value = ((const Nri__OptionalInt64 *)w)->value;
                else if (list[i].kind == NUM_U64)
                        *(uint64_t *)value = ((const Nri__OptionalUInt64 *)w)->value;
                else
                        *(bool *)value = ((const Nri__OptionalBool *)w)->value;
        }
}

/* A limit without one of memory and swap together would leave the former one of these: no swap is
 * added to what the new limit allows. */
static void set_memory(OciMemory *m, const Nri__LinuxMemory *u)
{
        bool had_swap = m->has_swap;

        set_numbers(m, u, memory_numbers, array_len(memory_numbers));
        if (u && u->limit && !u->swap && had_swap)
                m->swap = u->limit->value;
}

static void set_hugepages(OciResources *r, const Nri__LinuxResources *u)
{
        for (size_t i = 0; i < u->n_hugepage_limits; i++) {
                const Nri__HugepageLimit *h = u->hugepage_limits[i];
                size_t k = 0;
                while (k < r->n_hugepages && !str_eq(r->hugepages[k].page_size, h->page_size))
                        k++;
                if (k == r->n_hugepages) {
                        r->hugepages = xrealloc(r->hugepages, (k + 1) * sizeof(*r->hugepages));
                        r->hugepages[r->n_hugepages++] =
                                (OciHugepage){ .page_size = xstrdup(h->page_size) };
                }
                r->hugepages[k].limit = h->limit;
        }
}

static void set_unified(OciResources *r, const Nri__LinuxResources *u)
{
        for (size_t i = 0; i < u->n_unified; i++) {
                const Nri__KeyValue *kv = u->unified[i];
                size_t k = 0;
                while (k < r->n_unified && !str_eq(r->unified[k].key, kv->key))
                        k++;
                if (k == r->n_unified) {
                        r->unified = xrealloc(r->unified, (k + 1) * sizeof(*r->unified));
                        r->unified[r->n_unified++] = (OciKeyValue){ .key = xstrdup(kv->key) };
                }
                str_assign(&r->unified[k].value, kv->value);
        }
}

static void add_rules(OciResources *r, const Nri__LinuxResources *u)
{
        for (size_t i = 0; i < u->n_devices; i++) {
                const Nri__LinuxDeviceCgroup *d = u->devices[i];
                OciDeviceRule *rule = oci_resources_add_device(r);
                rule->allow = d->allow;
                rule->type = str_empty(d->type) ? 'a' : d->type[0];
                rule->major = d->major ? d->major->value : -1;
                rule->minor = d->minor ? d->minor->value : -1;
                rule->access = str_empty(d->access) ? NULL : xstrdup(d->access);
        }
}

int nri_adjust_resources(OciResources *r, const Nri__LinuxResources *u, Err *err)
{
        if (u->blockio_class && !str_empty(u->blockio_class->value))
                return err_set(err, ERR_UNSUPPORTED,
                               "block I/O class \"%.60s\": no classes are configured on this node",
                               u->blockio_class->value);
        set_memory(&r->memory, u->memory);
        set_numbers(&r->cpu, u->cpu, cpu_numbers, array_len(cpu_numbers));
        if (u->cpu && !str_empty(u->cpu->cpus))
                str_assign(&r->cpu.cpus, u->cpu->cpus);
        if (u->cpu && !str_empty(u->cpu->mems))
                str_assign(&r->cpu.mems, u->cpu->mems);
        set_hugepages(r, u);
        set_unified(r, u);
        add_rules(r, u);
        if (u->pids) {
                r->has_pids_limit = true;
                r->pids_limit = u->pids->limit > 0 ? u->pids->limit : -1;
        }
        return 0;
}
