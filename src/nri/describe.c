/* SPDX-License-Identifier: Apache-2.0 */
/* describe.c - config.json as plugins see it: the parts of a Container that come from it. Pure. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "nri/nri-internal.h"

static int enum_value(const ProtobufCEnumDescriptor *type, const char *name)
{
        const ProtobufCEnumValue *v =
                name ? protobuf_c_enum_descriptor_get_value_by_name(type, name) : NULL;

        return v ? v->value : 0;
}

static void push_words(char ***list, size_t *n, char *const *words)
{
        for (size_t i = 0; words && words[i]; i++)
                nri_push_string(list, n, words[i]);
}

/* --- forgetting what was described before --- */

static void free_list(void *list, size_t *n)
{
        ProtobufCMessage ***messages = list;

        for (size_t i = 0; i < *n; i++)
                protobuf_c_message_free_unpacked((*messages)[i], NULL);
        free(*messages);
        *messages = NULL;
        *n = 0;
}

static void free_words(char ***list, size_t *n)
{
        for (size_t i = 0; i < *n; i++)
                free((*list)[i]);
        free(*list);
        *list = NULL;
        *n = 0;
}

static void forget(Nri__Container *c)
{
        free_list(&c->annotations, &c->n_annotations);
        free_words(&c->args, &c->n_args);
        free_words(&c->env, &c->n_env);
        free_list(&c->mounts, &c->n_mounts);
        free_list(&c->rlimits, &c->n_rlimits);
        if (c->hooks)
                nri__hooks__free_unpacked(c->hooks, NULL);
        if (c->linux)
                nri__linux_container__free_unpacked(c->linux, NULL);
        if (c->user)
                nri__user__free_unpacked(c->user, NULL);
        c->hooks = NULL;
        c->linux = NULL;
        c->user = NULL;
}

/* --- --- */

static void describe_mounts(Nri__Container *c, const OciSpec *spec)
{
        for (size_t i = 0; i < spec->n_mounts; i++) {
                Nri__Mount *m = nri_message(Nri__Mount, nri__mount__init);
                nri_set_string(&m->destination, spec->mounts[i].destination);
                nri_set_string(&m->type, spec->mounts[i].type);
                nri_set_string(&m->source, spec->mounts[i].source);
                push_words(&m->options, &m->n_options, spec->mounts[i].options);
                nri_push(c->mounts, c->n_mounts, m);
        }
}

static void describe_hooks(Nri__Hook ***list, size_t *n, const OciHookList *hooks)
{
        for (size_t i = 0; i < hooks->n; i++) {
                Nri__Hook *h = nri_message(Nri__Hook, nri__hook__init);
                nri_set_string(&h->path, hooks->items[i].path);
                push_words(&h->args, &h->n_args, hooks->items[i].args);
                push_words(&h->env, &h->n_env, hooks->items[i].env);
                if (hooks->items[i].timeout_s) {
                        h->timeout = nri_message(Nri__OptionalInt, nri__optional_int__init);
                        h->timeout->value = hooks->items[i].timeout_s;
                }
                nri_push(*list, *n, h);
        }
}

static void describe_all_hooks(Nri__Container *c, const OciHooks *from)
{
        Nri__Hooks *h = c->hooks = nri_message(Nri__Hooks, nri__hooks__init);

        describe_hooks(&h->prestart, &h->n_prestart, &from->prestart);
        describe_hooks(&h->create_runtime, &h->n_create_runtime, &from->create_runtime);
        describe_hooks(&h->create_container, &h->n_create_container, &from->create_container);
        describe_hooks(&h->start_container, &h->n_start_container, &from->start_container);
        describe_hooks(&h->poststart, &h->n_poststart, &from->poststart);
        describe_hooks(&h->poststop, &h->n_poststop, &from->poststop);
}

static void describe_process(Nri__Container *c, const OciProcess *p)
{
        push_words(&c->args, &c->n_args, p->args);
        push_words(&c->env, &c->n_env, p->env);
        for (size_t i = 0; i < p->n_rlimits; i++) {
                Nri__POSIXRlimit *l = nri_message(Nri__POSIXRlimit, nri__posixrlimit__init);
                nri_set_string(&l->type, p->rlimits[i].type);
                l->soft = p->rlimits[i].soft;
                l->hard = p->rlimits[i].hard;
                nri_push(c->rlimits, c->n_rlimits, l);
        }
        c->user = nri_message(Nri__User, nri__user__init);
        c->user->uid = p->user.uid;
        c->user->gid = p->user.gid;
        for (size_t i = 0; i < p->user.n_additional_gids; i++)
                nri_push(c->user->additional_gids, c->user->n_additional_gids,
                         p->user.additional_gids[i]);
}

static void describe_scheduling(Nri__LinuxContainer *l, const OciProcess *p)
{
        if (p->has_oom_score_adj) {
                l->oom_score_adj = nri_message(Nri__OptionalInt, nri__optional_int__init);
                l->oom_score_adj->value = p->oom_score_adj;
        }
        if (p->io_priority_class) {
                l->io_priority = nri_message(Nri__LinuxIOPriority, nri__linux_iopriority__init);
                l->io_priority->class_ = (Nri__IOPrioClass)enum_value(
                        &nri__ioprio_class__descriptor, p->io_priority_class);
                l->io_priority->priority = (int32_t)p->io_priority;
        }
        if (p->scheduler.policy) {
                const OciScheduler *s = &p->scheduler;
                Nri__LinuxScheduler *m = l->scheduler =
                        nri_message(Nri__LinuxScheduler, nri__linux_scheduler__init);
                m->policy = (Nri__LinuxSchedulerPolicy)enum_value(
                        &nri__linux_scheduler_policy__descriptor, s->policy);
                m->nice = (int32_t)s->nice;
                m->priority = (int32_t)s->priority;
                m->runtime = s->runtime;
                m->deadline = s->deadline;
                m->period = s->period;
                for (size_t i = 0; s->flags && s->flags[i]; i++)
                        nri_push(m->flags, m->n_flags,
                                 (Nri__LinuxSchedulerFlag)enum_value(
                                         &nri__linux_scheduler_flag__descriptor, s->flags[i]));
        }
}

static void describe_devices(Nri__LinuxContainer *l, const OciLinux *from)
{
        for (size_t i = 0; i < from->n_devices; i++) {
                const OciDevice *d = &from->devices[i];
                Nri__LinuxDevice *m = nri_message(Nri__LinuxDevice, nri__linux_device__init);
                const char type[2] = { d->type, 0 };
                nri_set_string(&m->path, d->path);
                nri_set_string(&m->type, type);
                m->major = d->major;
                m->minor = d->minor;
                if (d->has_mode) {
                        m->file_mode =
                                nri_message(Nri__OptionalFileMode, nri__optional_file_mode__init);
                        m->file_mode->value = d->mode;
                }
                if (d->has_uid) {
                        m->uid = nri_message(Nri__OptionalUInt32, nri__optional_uint32__init);
                        m->uid->value = d->uid;
                }
                if (d->has_gid) {
                        m->gid = nri_message(Nri__OptionalUInt32, nri__optional_uint32__init);
                        m->gid->value = d->gid;
                }
                nri_push(l->devices, l->n_devices, m);
        }
}

static void describe_namespaces(Nri__LinuxContainer *l, const OciLinux *from)
{
        for (int t = 0; t < _OCI_NS_MAX; t++) {
                if (!from->namespaces[t].present)
                        continue;
                Nri__LinuxNamespace *m =
                        nri_message(Nri__LinuxNamespace, nri__linux_namespace__init);
                nri_set_string(&m->type, oci_ns_name((OciNsType)t));
                nri_set_string(&m->path, from->namespaces[t].path);
                nri_push(l->namespaces, l->n_namespaces, m);
        }
}

static void describe_seccomp(Nri__LinuxContainer *l, const OciSeccomp *s)
{
        Nri__LinuxSeccomp *m = l->seccomp_policy =
                nri_message(Nri__LinuxSeccomp, nri__linux_seccomp__init);

        nri_set_string(&m->default_action, s->default_action);
        if (s->has_default_errno_ret) {
                m->default_errno = nri_message(Nri__OptionalUInt32, nri__optional_uint32__init);
                m->default_errno->value = s->default_errno_ret;
        }
        push_words(&m->architectures, &m->n_architectures, s->architectures);
        push_words(&m->flags, &m->n_flags, s->flags);
        nri_set_string(&m->listener_path, s->listener_path);
        nri_set_string(&m->listener_metadata, s->listener_metadata);
        for (size_t i = 0; i < s->n_rules; i++) {
                Nri__LinuxSyscall *rule = nri_message(Nri__LinuxSyscall, nri__linux_syscall__init);
                push_words(&rule->names, &rule->n_names, s->rules[i].names);
                nri_set_string(&rule->action, s->rules[i].action);
                if (s->rules[i].has_errno_ret) {
                        rule->errno_ret =
                                nri_message(Nri__OptionalUInt32, nri__optional_uint32__init);
                        rule->errno_ret->value = s->rules[i].errno_ret;
                }
                for (size_t k = 0; k < s->rules[i].n_args; k++) {
                        const OciSeccompArg *from = &s->rules[i].args[k];
                        Nri__LinuxSeccompArg *arg =
                                nri_message(Nri__LinuxSeccompArg, nri__linux_seccomp_arg__init);
                        arg->index = from->index;
                        arg->value = from->value;
                        arg->value_two = from->value_two;
                        nri_set_string(&arg->op, from->op);
                        nri_push(rule->args, rule->n_args, arg);
                }
                nri_push(m->syscalls, m->n_syscalls, rule);
        }
}

static void describe_rdt(Nri__LinuxContainer *l, const OciIntelRdt *rdt)
{
        Nri__LinuxRdt *m = l->rdt = nri_message(Nri__LinuxRdt, nri__linux_rdt__init);

        if (rdt->clos_id) {
                m->clos_id = nri_message(Nri__OptionalString, nri__optional_string__init);
                nri_set_string(&m->clos_id->value, rdt->clos_id);
        }
        if (rdt->schemata) {
                m->schemata = nri_message(Nri__OptionalRepeatedString,
                                          nri__optional_repeated_string__init);
                push_words(&m->schemata->value, &m->schemata->n_value, rdt->schemata);
        }
        if (rdt->enable_monitoring)
                m->enable_monitoring = nri_bool(true);
}

static void describe_linux(Nri__Container *c, const OciSpec *spec)
{
        const OciLinux *from = &spec->linux;
        Nri__LinuxContainer *l = c->linux =
                nri_message(Nri__LinuxContainer, nri__linux_container__init);

        describe_namespaces(l, from);
        describe_devices(l, from);
        l->resources = nri_describe_resources(from->resources);
        nri_set_string(&l->cgroups_path, from->cgroups_path);
        if (spec->process)
                describe_scheduling(l, spec->process);
        for (size_t i = 0; i < from->n_sysctls; i++)
                nri_push_pair(&l->sysctl, &l->n_sysctl, from->sysctls[i].key,
                              from->sysctls[i].value);
        for (size_t i = 0; i < from->n_net_devices; i++) {
                Nri__NetDeviceEntry *d =
                        nri_message(Nri__NetDeviceEntry, nri__net_device_entry__init);
                nri_set_string(&d->key, from->net_devices[i].name);
                d->value = nri_message(Nri__LinuxNetDevice, nri__linux_net_device__init);
                nri_set_string(&d->value->name, from->net_devices[i].new_name);
                nri_push(l->net_devices, l->n_net_devices, d);
        }
        if (from->seccomp)
                describe_seccomp(l, from->seccomp);
        if (from->intel_rdt.present)
                describe_rdt(l, &from->intel_rdt);
}

void nri_describe_spec(Nri__Container *c, const OciSpec *spec)
{
        /* not of the document */
        Nri__SecurityProfile *asked = c->linux ? take_ptr(c->linux->seccomp_profile) : NULL;

        forget(c);
        for (size_t i = 0; i < spec->n_annotations; i++)
                nri_push_pair(&c->annotations, &c->n_annotations, spec->annotations[i].key,
                              spec->annotations[i].value);
        if (spec->process)
                describe_process(c, spec->process);
        describe_mounts(c, spec);
        describe_all_hooks(c, &spec->hooks);
        describe_linux(c, spec);
        c->linux->seccomp_profile = asked;
}
