/* SPDX-License-Identifier: Apache-2.0 */
/* nri-message.c - pods and containers as NRI's plugins see them. */
#include "engine/engine-internal.h"

typedef Runtime__V1__LinuxContainerResources CriResources;

/* --- resources --- */

Nri__LinuxResources *nri_from_cri(const CriResources *r)
{
        Nri__LinuxResources *m = nri_message(Nri__LinuxResources, nri__linux_resources__init);

        m->memory = nri_message(Nri__LinuxMemory, nri__linux_memory__init);
        m->cpu = nri_message(Nri__LinuxCPU, nri__linux_cpu__init);
        if (r->cpu_shares)
                m->cpu->shares = nri_uint64((uint64_t)r->cpu_shares);
        if (r->cpu_quota)
                m->cpu->quota = nri_int64(r->cpu_quota);
        if (r->cpu_period)
                m->cpu->period = nri_uint64((uint64_t)r->cpu_period);
        nri_set_string(&m->cpu->cpus, r->cpuset_cpus);
        nri_set_string(&m->cpu->mems, r->cpuset_mems);
        if (r->memory_limit_in_bytes)
                m->memory->limit = nri_int64(r->memory_limit_in_bytes);
        if (r->memory_swap_limit_in_bytes)
                m->memory->swap = nri_int64(r->memory_swap_limit_in_bytes);
        for (size_t i = 0; i < r->n_hugepage_limits; i++) {
                Nri__HugepageLimit *h = nri_message(Nri__HugepageLimit, nri__hugepage_limit__init);
                nri_set_string(&h->page_size, r->hugepage_limits[i]->page_size);
                h->limit = r->hugepage_limits[i]->limit;
                nri_push(m->hugepage_limits, m->n_hugepage_limits, h);
        }
        for (size_t i = 0; i < r->n_unified; i++)
                nri_push_pair(&m->unified, &m->n_unified, r->unified[i]->key, r->unified[i]->value);
        return m;
}

static CriResources *add_lists(CriResources *r, const Nri__LinuxResources *m)
{
        for (size_t i = 0; i < m->n_hugepage_limits; i++) {
                Runtime__V1__HugepageLimit *h =
                        nri_message(Runtime__V1__HugepageLimit, runtime__v1__hugepage_limit__init);
                nri_set_string(&h->page_size, m->hugepage_limits[i]->page_size);
                h->limit = m->hugepage_limits[i]->limit;
                nri_push(r->hugepage_limits, r->n_hugepage_limits, h);
        }
        for (size_t i = 0; i < m->n_unified; i++) {
                Runtime__V1__LinuxContainerResources__UnifiedEntry *u =
                        nri_message(Runtime__V1__LinuxContainerResources__UnifiedEntry,
                                    runtime__v1__linux_container_resources__unified_entry__init);
                nri_set_string(&u->key, m->unified[i]->key);
                nri_set_string(&u->value, m->unified[i]->value);
                nri_push(r->unified, r->n_unified, u);
        }
        return r;
}

/* What the kubelet has words for, too: for ContainerStatus. */
CriResources *nri_to_cri(const Nri__LinuxResources *m)
{
        CriResources *r = nri_message(CriResources, runtime__v1__linux_container_resources__init);

        if (m->cpu) {
                r->cpu_shares = m->cpu->shares ? (int64_t)m->cpu->shares->value : 0;
                r->cpu_quota = m->cpu->quota ? m->cpu->quota->value : 0;
                r->cpu_period = m->cpu->period ? (int64_t)m->cpu->period->value : 0;
                nri_set_string(&r->cpuset_cpus, m->cpu->cpus);
                nri_set_string(&r->cpuset_mems, m->cpu->mems);
        }
        if (m->memory) {
                r->memory_limit_in_bytes = m->memory->limit ? m->memory->limit->value : 0;
                r->memory_swap_limit_in_bytes = m->memory->swap ? m->memory->swap->value : 0;
        }
        return add_lists(r, m);
}

/* --- pods --- */

static void push_namespace(Nri__LinuxPodSandbox *l, const char *type, const char *path)
{
        Nri__LinuxNamespace *n;

        if (str_empty(path))
                return;
        n = nri_message(Nri__LinuxNamespace, nri__linux_namespace__init);
        nri_set_string(&n->type, type);
        nri_set_string(&n->path, path);
        nri_push(l->namespaces, l->n_namespaces, n);
}

static Nri__LinuxPodSandbox *pod_linux(const Engine *e, const Pod *p)
{
        const Runtime__V1__LinuxPodSandboxConfig *config = p->request->config->linux;
        const CriResources *overhead = p->overhead ? p->overhead : config ? config->overhead : NULL;
        const CriResources *own = p->resources ? p->resources : config ? config->resources : NULL;
        _cleanup_free_ char *cgroups_path = spec_cgroups_path(&e->node, p->request->config, p->id);
        Nri__LinuxPodSandbox *l = nri_message(Nri__LinuxPodSandbox, nri__linux_pod_sandbox__init);

        push_namespace(l, "network", p->netns_path);
        push_namespace(l, "ipc", p->ipc_path);
        push_namespace(l, "uts", p->uts_path);
        push_namespace(l, "pid", p->pid_path);
        push_namespace(l, "user", p->user_path);
        if (overhead)
                l->pod_overhead = nri_from_cri(overhead);
        if (own)
                l->pod_resources = nri_from_cri(own);
        nri_set_string(&l->cgroup_parent, p->cgroup_parent);
        nri_set_string(&l->cgroups_path, cgroups_path);
        return l;
}

Nri__PodSandbox *nri_pod(const Engine *e, const Pod *p)
{
        const Runtime__V1__PodSandboxConfig *config = p->request->config;
        Nri__PodSandbox *m = nri_message(Nri__PodSandbox, nri__pod_sandbox__init);

        nri_set_string(&m->id, p->id);
        nri_set_string(&m->name, config->metadata->name);
        nri_set_string(&m->uid, config->metadata->uid);
        nri_set_string(&m->namespace_, config->metadata->namespace_);
        for (size_t i = 0; i < config->n_labels; i++)
                nri_push_pair(&m->labels, &m->n_labels, config->labels[i]->key,
                              config->labels[i]->value);
        for (size_t i = 0; i < config->n_annotations; i++)
                nri_push_pair(&m->annotations, &m->n_annotations, config->annotations[i]->key,
                              config->annotations[i]->value);
        nri_set_string(&m->runtime_handler, p->request->runtime_handler);
        m->linux = pod_linux(e, p);
        m->pid = (uint32_t)(p->pause_pid > 0 ? p->pause_pid : p->shim_pid);
        for (size_t i = 0; p->ips && p->ips[i]; i++)
                nri_push_string(&m->ips, &m->n_ips, p->ips[i]);
        return m;
}

/* --- containers --- */

static Nri__ContainerState state_of(const Container *c)
{
        switch (c->state) {
        case CONTAINER_MAKING:
        case CONTAINER_CREATED:
                return NRI__CONTAINER_STATE__CONTAINER_CREATED;
        case CONTAINER_RUNNING:
                return NRI__CONTAINER_STATE__CONTAINER_RUNNING;
        case CONTAINER_EXITED:
                return NRI__CONTAINER_STATE__CONTAINER_STOPPED;
        }
        return NRI__CONTAINER_STATE__CONTAINER_UNKNOWN;
}

/* Of one whose config.json is gone, or is not there yet. */
static void from_request(Nri__Container *m, const Runtime__V1__ContainerConfig *config)
{
        for (size_t i = 0; i < config->n_annotations; i++)
                nri_push_pair(&m->annotations, &m->n_annotations, config->annotations[i]->key,
                              config->annotations[i]->value);
        for (size_t i = 0; i < config->n_command; i++)
                nri_push_string(&m->args, &m->n_args, config->command[i]);
        for (size_t i = 0; i < config->n_args; i++)
                nri_push_string(&m->args, &m->n_args, config->args[i]);
}

/* What was asked for; the policy that came of it is in config.json. */
static Nri__SecurityProfile *seccomp_profile(const Runtime__V1__ContainerConfig *config)
{
        const Runtime__V1__LinuxContainerSecurityContext *s =
                config->linux ? config->linux->security_context : NULL;
        Nri__SecurityProfile *m = nri_message(Nri__SecurityProfile, nri__security_profile__init);

        m->profile_type = NRI__SECURITY_PROFILE__PROFILE_TYPE__UNCONFINED;
        if (!s || !s->seccomp || s->privileged)
                return m;
        m->profile_type = (Nri__SecurityProfile__ProfileType)s->seccomp->profile_type;
        nri_set_string(&m->localhost_ref, s->seccomp->localhost_ref);
        return m;
}

static Nri__Image *image(const Container *c)
{
        const Runtime__V1__ContainerConfig *config = c->request->config;
        Nri__Image *m = nri_message(Nri__Image, nri__image__init);
        const char *at = c->image_ref ? strchr(c->image_ref, '@') : NULL;

        nri_set_string(&m->name, config->image ? config->image->image : NULL);
        nri_set_string(&m->digest, at ? at + 1 : NULL);
        nri_set_string(&m->config_digest, c->image_id);
        return m;
}

Nri__Container *nri_container(Engine *e, const Container *c)
{
        const Runtime__V1__ContainerConfig *config = c->request->config;
        Nri__Container *m = nri_message(Nri__Container, nri__container__init);
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;

        nri_set_string(&m->id, c->id);
        nri_set_string(&m->pod_sandbox_id, c->pod->id);
        nri_set_string(&m->name, config->metadata->name);
        m->state = state_of(c);
        for (size_t i = 0; i < config->n_labels; i++)
                nri_push_pair(&m->labels, &m->n_labels, config->labels[i]->key,
                              config->labels[i]->value);
        if (c->state != CONTAINER_MAKING && container_read_spec(e, c, &spec, NULL) == 0)
                nri_describe_spec(m, spec);
        else
                from_request(m, config);
        if (!m->linux)
                m->linux = nri_message(Nri__LinuxContainer, nri__linux_container__init);
        m->linux->seccomp_profile = seccomp_profile(config);
        m->pid = c->state == CONTAINER_RUNNING ? (uint32_t)c->pid : 0;
        m->created_at = c->created_at;
        m->started_at = c->started_at;
        m->finished_at = c->finished_at;
        m->exit_code = c->exit_code;
        nri_set_string(&m->status_reason, c->reason);
        nri_set_string(&m->status_message, c->message);
        for (size_t i = 0; i < config->n_cdi_devices; i++) {
                Nri__CDIDevice *d = nri_message(Nri__CDIDevice, nri__cdidevice__init);
                nri_set_string(&d->name, config->cdi_devices[i]->name);
                nri_push(m->cdi_devices, m->n_cdi_devices, d);
        }
        m->image = image(c);
        return m;
}
