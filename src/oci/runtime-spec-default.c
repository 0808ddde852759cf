/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-spec-default.c - the document that a container starts from: what `runc spec` writes.
 *
 * It does not look at the machine: whoever knows that the machine has cgroup v2 adds the cgroup
 * namespace. */
#include "oci/runtime-spec.h"

static const struct {
        const char *destination, *type, *source, *options;
} default_mounts[] = {
        { "/proc", "proc", "proc", NULL },
        { "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
        { "/dev/pts", "devpts", "devpts",
          "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
        { "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k" },
        { "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
        { "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro" },
        { "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro" },
};

static const char *const default_env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TERM=xterm",
        NULL,
};

static const char *const default_capabilities[] = {
        "CAP_AUDIT_WRITE",
        "CAP_KILL",
        "CAP_NET_BIND_SERVICE",
        NULL,
};

static const char *const default_masked_paths[] = {
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/sys/firmware",
        "/proc/scsi",
        NULL,
};

static const char *const default_readonly_paths[] = {
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

static const OciNsType default_namespaces[] = {
        OCI_NS_PID, OCI_NS_NETWORK, OCI_NS_IPC, OCI_NS_UTS, OCI_NS_MOUNT,
};

static char **list_of(const char *const *v)
{
        return strv_dup((char *const *)v);
}

static OciProcess *default_process(void)
{
        OciProcess *p = xnew(OciProcess);

        p->terminal = true;
        p->cwd = xstrdup("/");
        strv_push(&p->args, "sh");
        p->env = list_of(default_env);
        p->capabilities = (OciCapabilities){
                .present = true,
                .bounding = list_of(default_capabilities),
                .effective = list_of(default_capabilities),
                .permitted = list_of(default_capabilities),
        };
        p->no_new_privileges = true;
        p->n_rlimits = 1;
        p->rlimits = xnew_array(OciRlimit, 1);
        p->rlimits[0] = (OciRlimit){ .type = xstrdup("RLIMIT_NOFILE"), .soft = 1024, .hard = 1024 };
        return p;
}

OciSpec *oci_spec_default(void)
{
        OciSpec *spec = xnew(OciSpec);
        OciLinux *l = &spec->linux;

        spec->oci_version = xstrdup("1.3.0");
        spec->root_path = xstrdup("rootfs");
        spec->root_readonly = true;
        spec->hostname = xstrdup("tare");
        spec->process = default_process();
        for (size_t i = 0; i < array_len(default_mounts); i++)
                oci_spec_add_mount(spec, default_mounts[i].destination, default_mounts[i].type,
                                   default_mounts[i].source, default_mounts[i].options);
        for (size_t i = 0; i < array_len(default_namespaces); i++)
                l->namespaces[default_namespaces[i]].present = true;
        l->resources = xnew(OciResources);
        *oci_resources_add_device(l->resources) =
                (OciDeviceRule){ .major = -1, .minor = -1, .access = xstrdup("rwm") };
        l->masked_paths = list_of(default_masked_paths);
        l->readonly_paths = list_of(default_readonly_paths);
        return spec;
}

/* Without privileges no other group may own a file: mounts lose their owner options. */
static void drop_owner_options(OciMount *m)
{
        char **kept = NULL;

        for (size_t i = 0; m->options && m->options[i]; i++)
                if (!str_skip_prefix(m->options[i], "gid=") &&
                    !str_skip_prefix(m->options[i], "uid="))
                        strv_push(&kept, m->options[i]);
        strv_free(m->options);
        m->options = kept;
}

static void map_to(OciIdMap **maps, size_t *n, uint32_t host_id)
{
        free(*maps);
        *maps = xnew(OciIdMap);
        (*maps)[0] = (OciIdMap){ .container_id = 0, .host_id = host_id, .size = 1 };
        *n = 1;
}

void oci_spec_make_rootless(OciSpec *spec, uint32_t uid, uint32_t gid)
{
        OciLinux *l = &spec->linux;

        free(l->namespaces[OCI_NS_NETWORK].path);
        l->namespaces[OCI_NS_NETWORK] = (OciNamespace){};
        free(l->namespaces[OCI_NS_USER].path);
        l->namespaces[OCI_NS_USER] = (OciNamespace){ .present = true };
        map_to(&l->uid_maps, &l->n_uid_maps, uid);
        map_to(&l->gid_maps, &l->n_gid_maps, gid);
        for (size_t i = 0; i < spec->n_mounts; i++) {
                OciMount *m = &spec->mounts[i];
                drop_owner_options(m);
                if (!str_eq(m->destination, "/sys"))
                        continue;
                /* a new sysfs needs a network namespace of one's own: bind the host's instead */
                str_assign(&m->type, "none");
                str_assign(&m->source, "/sys");
                strv_free(m->options);
                m->options = strv_split("rbind,nosuid,noexec,nodev,ro", ",");
        }
        oci_resources_free(take_ptr(l->resources));
}
