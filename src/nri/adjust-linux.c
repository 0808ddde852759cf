/* SPDX-License-Identifier: Apache-2.0 */
/* adjust-linux.c - a plugin's adjustment of the "linux" part of config.json, and of what of the
 * process is Linux' own. Pure. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "nri/nri-internal.h"

static int claim(const Adjustment *a, Nri__Field field, const char *key, Err *err)
{
        return owners_claim(a->owners, a->container, field, key, a->plugin, err);
}

/* "SCHED_FIFO" of an enum's value; NULL: there is none such. */
static const char *enum_name(const ProtobufCEnumDescriptor *type, int value)
{
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);

        return v ? v->name : NULL;
}

/* --- devices --- */

static void drop_device(OciLinux *l, const char *path)
{
        size_t kept = 0;

        for (size_t i = 0; i < l->n_devices; i++) {
                if (str_eq(l->devices[i].path, path))
                        free(l->devices[i].path);
                else
                        l->devices[kept++] = l->devices[i];
        }
        l->n_devices = kept;
}

static int add_device(const Adjustment *a, const Nri__LinuxDevice *d, Err *err)
{
        OciSpec *spec = a->spec;
        int r = claim(a, NRI__FIELD__FIELD_DEVICES, d->path, err);

        if (r < 0)
                return r;
        if (!path_is_absolute(d->path) || strlen(d->type) != 1 || !strchr("cubp", d->type[0]))
                return err_set(err, ERR_INVALID,
                               "device \"%.200s\": an absolute path and a type of c, u, b, p are "
                               "expected",
                               d->path);
        drop_device(&spec->linux, d->path);
        OciDevice *to = oci_spec_add_device(spec);
        to->path = xstrdup(d->path);
        to->type = d->type[0];
        to->major = d->major;
        to->minor = d->minor;
        to->has_mode = d->file_mode;
        to->mode = d->file_mode ? d->file_mode->value : 0;
        to->has_uid = d->uid;
        to->uid = d->uid ? d->uid->value : 0;
        to->has_gid = d->gid;
        to->gid = d->gid ? d->gid->value : 0;
        if (to->type == 'p')
                return 0;
        OciDeviceRule *rule = oci_resources_add_device(spec->linux.resources);
        rule->allow = true;
        rule->type = to->type == 'u' ? 'c' : to->type;
        rule->major = d->major;
        rule->minor = d->minor;
        rule->access = xstrdup(d->file_mode && !(d->file_mode->value & 0222) ? "rm" : "rwm");
        return 0;
}

static int adjust_devices(const Adjustment *a, const Nri__LinuxContainerAdjustment *with, Err *err)
{
        int r = 0;

        for (size_t i = 0; i < with->n_devices; i++) {
                const char *gone = removal_of(with->devices[i]->path);
                if (!gone)
                        continue;
                owners_clear(a->owners, a->container, NRI__FIELD__FIELD_DEVICES, gone, a->plugin);
                drop_device(&a->spec->linux, gone);
        }
        for (size_t i = 0; r == 0 && i < with->n_devices; i++)
                if (!removal_of(with->devices[i]->path))
                        r = add_device(a, with->devices[i], err);
        return r;
}

/* --- namespaces, sysctls, interfaces --- */

static int find_namespace(const char *name, OciNsType *ret, Err *err)
{
        for (int t = 0; t < _OCI_NS_MAX; t++) {
                if (!str_eq(oci_ns_name((OciNsType)t), name))
                        continue;
                *ret = (OciNsType)t;
                return 0;
        }
        return err_set(err, ERR_INVALID, "there is no namespace \"%.60s\"", name);
}

static int adjust_namespaces(const Adjustment *a, const Nri__LinuxContainerAdjustment *with,
                             Err *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < with->n_namespaces; i++) {
                const Nri__LinuxNamespace *n = with->namespaces[i];
                const char *gone = removal_of(n->type), *name = gone ? gone : n->type;
                OciNsType type = OCI_NS_PID;
                r = find_namespace(name, &type, err);
                if (r == 0)
                        r = claim(a, NRI__FIELD__FIELD_NAMESPACE, name, err);
                if (r < 0)
                        return r;
                if (gone && type == OCI_NS_MOUNT)
                        return err_set(err, ERR_UNSUPPORTED,
                                       "namespace \"-mount\": a container of a pod always has a "
                                       "mount namespace of its own");
                OciNamespace *ns = &a->spec->linux.namespaces[type];
                ns->present = !gone;
                str_assign(&ns->path, gone || str_empty(n->path) ? NULL : n->path);
        }
        return r;
}

static void drop_sysctl(OciLinux *l, const char *key)
{
        size_t kept = 0;

        for (size_t i = 0; i < l->n_sysctls; i++) {
                if (!str_eq(l->sysctls[i].key, key)) {
                        l->sysctls[kept++] = l->sysctls[i];
                        continue;
                }
                free(l->sysctls[i].key);
                free(l->sysctls[i].value);
        }
        l->n_sysctls = kept;
}

static int adjust_sysctls(const Adjustment *a, const Nri__LinuxContainerAdjustment *with, Err *err)
{
        int r = 0;

        for (size_t i = 0; i < with->n_sysctl; i++) {
                const char *gone = removal_of(with->sysctl[i]->key);
                if (!gone)
                        continue;
                owners_clear(a->owners, a->container, NRI__FIELD__FIELD_SYSCTL, gone, a->plugin);
                drop_sysctl(&a->spec->linux, gone);
        }
        for (size_t i = 0; r == 0 && i < with->n_sysctl; i++) {
                const Nri__KeyValue *kv = with->sysctl[i];
                if (removal_of(kv->key))
                        continue;
                r = claim(a, NRI__FIELD__FIELD_SYSCTL, kv->key, err);
                if (r == 0)
                        oci_spec_set_sysctl(a->spec, kv->key, kv->value);
        }
        return r;
}

static void drop_net_device(OciLinux *l, const char *name)
{
        size_t kept = 0;

        for (size_t i = 0; i < l->n_net_devices; i++) {
                if (!str_eq(l->net_devices[i].name, name)) {
                        l->net_devices[kept++] = l->net_devices[i];
                        continue;
                }
                free(l->net_devices[i].name);
                free(l->net_devices[i].new_name);
        }
        l->n_net_devices = kept;
}

static int adjust_net_devices(const Adjustment *a, const Nri__LinuxContainerAdjustment *with,
                              Err *err)
{
        OciLinux *l = &a->spec->linux;
        int r = 0;

        for (size_t i = 0; i < with->n_net_devices; i++) {
                const char *gone = removal_of(with->net_devices[i]->key);
                if (!gone)
                        continue;
                owners_clear(a->owners, a->container, NRI__FIELD__FIELD_LINUX_NET_DEVICES, gone,
                             a->plugin);
                drop_net_device(l, gone);
        }
        for (size_t i = 0; r == 0 && i < with->n_net_devices; i++) {
                const Nri__NetDeviceEntry *d = with->net_devices[i];
                if (removal_of(d->key))
                        continue;
                r = claim(a, NRI__FIELD__FIELD_LINUX_NET_DEVICES, d->key, err);
                if (r < 0)
                        return r;
                drop_net_device(l, d->key);
                l->net_devices =
                        xrealloc(l->net_devices, (l->n_net_devices + 1) * sizeof(*l->net_devices));
                l->net_devices[l->n_net_devices++] =
                        (OciNetDevice){ .name = xstrdup(d->key),
                                        .new_name = d->value && !str_empty(d->value->name)
                                                            ? xstrdup(d->value->name)
                                                            : NULL };
        }
        return r;
}

/* --- seccomp --- */

static OciSeccompRule *add_rule(OciSeccomp *s, const Nri__LinuxSyscall *m)
{
        s->rules = xrealloc(s->rules, (s->n_rules + 1) * sizeof(*s->rules));
        OciSeccompRule *rule = &s->rules[s->n_rules++];

        *rule = (OciSeccompRule){ .action = xstrdup(m->action),
                                  .has_errno_ret = m->errno_ret,
                                  .errno_ret = m->errno_ret ? m->errno_ret->value : 0,
                                  .args = xnew_array(OciSeccompArg, m->n_args),
                                  .n_args = m->n_args };
        for (size_t i = 0; i < m->n_names; i++)
                strv_push(&rule->names, m->names[i]);
        for (size_t i = 0; i < m->n_args; i++)
                rule->args[i] = (OciSeccompArg){ .index = m->args[i]->index,
                                                 .value = m->args[i]->value,
                                                 .value_two = m->args[i]->value_two,
                                                 .op = xstrdup(m->args[i]->op) };
        return rule;
}

static int adjust_seccomp(const Adjustment *a, const Nri__LinuxSeccomp *m, Err *err)
{
        int r = m ? claim(a, NRI__FIELD__FIELD_SECCOMP_POLICY, "", err) : 0;

        if (!m || r < 0)
                return r;
        OciSeccomp *s = xnew(OciSeccomp);
        s->default_action = xstrdup(m->default_action);
        s->has_default_errno_ret = m->default_errno;
        s->default_errno_ret = m->default_errno ? m->default_errno->value : 0;
        for (size_t i = 0; i < m->n_architectures; i++)
                strv_push(&s->architectures, m->architectures[i]);
        for (size_t i = 0; i < m->n_flags; i++)
                strv_push(&s->flags, m->flags[i]);
        s->listener_path = str_empty(m->listener_path) ? NULL : xstrdup(m->listener_path);
        s->listener_metadata =
                str_empty(m->listener_metadata) ? NULL : xstrdup(m->listener_metadata);
        for (size_t i = 0; i < m->n_syscalls; i++)
                add_rule(s, m->syscalls[i]);
        oci_seccomp_free(a->spec->linux.seccomp);
        a->spec->linux.seccomp = s;
        return 0;
}

/* --- scheduling --- */

static int adjust_scheduler(const Adjustment *a, const Nri__LinuxScheduler *m, Err *err)
{
        OciScheduler *s = &a->spec->process->scheduler;
        int r = m ? claim(a, NRI__FIELD__FIELD_LINUX_SCHED, "", err) : 0;

        if (!m || r < 0)
                return r;
        str_assign(&s->policy,
                   m->policy == NRI__LINUX_SCHEDULER_POLICY__SCHED_NONE
                           ? NULL
                           : enum_name(&nri__linux_scheduler_policy__descriptor, (int)m->policy));
        s->nice = m->nice;
        s->priority = m->priority;
        s->runtime = m->runtime;
        s->deadline = m->deadline;
        s->period = m->period;
        strv_free(s->flags);
        s->flags = NULL;
        for (size_t i = 0; i < m->n_flags; i++)
                strv_push(&s->flags, str_or(enum_name(&nri__linux_scheduler_flag__descriptor,
                                                      (int)m->flags[i]),
                                            "?"));
        return 0;
}

static int adjust_io_priority(const Adjustment *a, const Nri__LinuxIOPriority *m, Err *err)
{
        OciProcess *p = a->spec->process;
        int r = m ? claim(a, NRI__FIELD__FIELD_IO_PRIORITY, "", err) : 0;

        if (!m || r < 0)
                return r;
        str_assign(&p->io_priority_class,
                   m->class_ == NRI__IOPRIO_CLASS__IOPRIO_CLASS_NONE
                           ? NULL
                           : enum_name(&nri__ioprio_class__descriptor, (int)m->class_));
        p->io_priority = m->priority;
        return 0;
}

static int adjust_memory_policy(const Adjustment *a, const Nri__LinuxMemoryPolicy *m, Err *err)
{
        OciMemoryPolicy *p = &a->spec->linux.memory_policy;
        int r = m ? claim(a, NRI__FIELD__FIELD_MEMORY_POLICY, "", err) : 0;

        if (!m || r < 0)
                return r;
        str_assign(&p->mode, str_or(enum_name(&nri__mpol_mode__descriptor, (int)m->mode), "?"));
        str_assign(&p->nodes, str_empty(m->nodes) ? NULL : m->nodes);
        strv_free(p->flags);
        p->flags = NULL;
        for (size_t i = 0; i < m->n_flags; i++)
                strv_push(&p->flags,
                          str_or(enum_name(&nri__mpol_flag__descriptor, (int)m->flags[i]), "?"));
        return 0;
}

/* --- RDT --- */

static void forget_rdt(OciIntelRdt *rdt)
{
        free(rdt->clos_id);
        strv_free(rdt->schemata);
        free(rdt->l3_cache_schema);
        free(rdt->mem_bw_schema);
        *rdt = (OciIntelRdt){};
}

static int adjust_rdt(const Adjustment *a, const Nri__LinuxRdt *m, Err *err)
{
        static const Nri__Field fields[] = { NRI__FIELD__FIELD_RDT_CLOS_ID,
                                             NRI__FIELD__FIELD_RDT_SCHEMATA,
                                             NRI__FIELD__FIELD_RDT_ENABLE_MONITORING };
        OciIntelRdt *rdt = &a->spec->linux.intel_rdt;
        int r = 0;

        if (!m)
                return 0;
        const bool set[] = { m->clos_id, m->schemata, m->enable_monitoring };
        if (m->remove)
                forget_rdt(rdt);
        for (size_t i = 0; m->remove && i < array_len(fields); i++)
                owners_clear(a->owners, a->container, fields[i], "", a->plugin);
        for (size_t i = 0; r == 0 && i < array_len(fields); i++)
                if (set[i])
                        r = claim(a, fields[i], "", err);
        if (r < 0)
                return r;
        rdt->present = rdt->present || m->clos_id || m->schemata || m->enable_monitoring;
        if (m->clos_id)
                str_assign(&rdt->clos_id, m->clos_id->value);
        if (m->enable_monitoring)
                rdt->enable_monitoring = m->enable_monitoring->value;
        if (m->schemata) {
                strv_free(rdt->schemata);
                rdt->schemata = NULL;
                for (size_t i = 0; i < m->schemata->n_value; i++)
                        strv_push(&rdt->schemata, m->schemata->value[i]);
        }
        return 0;
}

/* --- resources and the rest --- */

static int adjust_limits(const Adjustment *a, const Nri__LinuxResources *m, Err *err)
{
        OciSpec *spec = a->spec;
        int r;

        if (!m)
                return 0;
        r = resources_claim(a->owners, a->container, a->plugin, m, err);
        if (r == 0)
                r = nri_adjust_resources(spec->linux.resources, m, err);
        if (r == 0 && m->rdt_class) {
                forget_rdt(&spec->linux.intel_rdt);
                spec->linux.intel_rdt.present = !str_empty(m->rdt_class->value);
                if (spec->linux.intel_rdt.present)
                        spec->linux.intel_rdt.clos_id = xstrdup(m->rdt_class->value);
        }
        return r;
}

static int adjust_singles(const Adjustment *a, const Nri__LinuxContainerAdjustment *with, Err *err)
{
        OciSpec *spec = a->spec;
        int r = 0;

        if (!str_empty(with->cgroups_path)) {
                r = claim(a, NRI__FIELD__FIELD_CGROUPS_PATH, "", err);
                if (r == 0)
                        str_assign(&spec->linux.cgroups_path, with->cgroups_path);
        }
        if (r == 0 && with->oom_score_adj) {
                r = claim(a, NRI__FIELD__FIELD_OOM_SCORE_ADJ, "", err);
                spec->process->has_oom_score_adj = true;
                spec->process->oom_score_adj = with->oom_score_adj->value;
        }
        return r;
}

int adjust_linux(const Adjustment *a, const Nri__LinuxContainerAdjustment *with, Err *err)
{
        int r = 0;

        if (!a->spec->linux.resources)
                a->spec->linux.resources = xnew(OciResources);
        r = adjust_devices(a, with, err);
        if (r == 0)
                r = adjust_limits(a, with->resources, err);
        if (r == 0)
                r = adjust_singles(a, with, err);
        if (r == 0)
                r = adjust_io_priority(a, with->io_priority, err);
        if (r == 0)
                r = adjust_seccomp(a, with->seccomp_policy, err);
        if (r == 0)
                r = adjust_namespaces(a, with, err);
        if (r == 0)
                r = adjust_sysctls(a, with, err);
        if (r == 0)
                r = adjust_net_devices(a, with, err);
        if (r == 0)
                r = adjust_scheduler(a, with->scheduler, err);
        if (r == 0)
                r = adjust_rdt(a, with->rdt, err);
        return r == 0 ? adjust_memory_policy(a, with->memory_policy, err) : r;
}
