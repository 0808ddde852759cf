/* SPDX-License-Identifier: Apache-2.0 */
/* spec-fixture.h - a node, a pod and an image to generate specs for, and one run of the generator
 * with the host paths that its caller would have found. */
#ifndef TARE_UNIT_SPEC_FIXTURE_H
#define TARE_UNIT_SPEC_FIXTURE_H

#include "spec/spec-gen.h"
#include "unit/pb-json.h"

enum {
        NODE_V2 = 1 << 0,
        NODE_SYSTEMD = 1 << 1,
        NODE_HUGETLB = 1 << 2,
        NODE_NO_SWAP = 1 << 3,
        NODE_NO_SECCOMP = 1 << 4,
        NODE_APPARMOR = 1 << 5,
        NODE_SELINUX = 1 << 6,
        NODE_NO_RRO = 1 << 7,
        NODE_NO_USERS = 1 << 16,
        NODE_OOM_0 = 1 << 8, /* may not go below 0 */
        NODE_PIDS = 1 << 9,
        NODE_PASS = 1 << 10,   /* annotations of example.com pass */
        NODE_TARGET = 1 << 11, /* not of the node: there is a target container */
};

static char *test_caps[] = {
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE",
        "CAP_SYS_ADMIN",
        "CAP_MKNOD",
        "CAP_AUDIT_WRITE",
        "CAP_SETFCAP",
        NULL,
};
static char *test_patterns[] = { "example.com/*", NULL };
static const OciDevice test_devices[] = {
        { .path = "/dev/null",
          .type = 'c',
          .major = 1,
          .minor = 3,
          .has_mode = true,
          .mode = 0666 },
        { .path = "/dev/fuse",
          .type = 'c',
          .major = 10,
          .minor = 229,
          .has_mode = true,
          .mode = 0666 },
        { .path = "/dev/sda",
          .type = 'b',
          .major = 8,
          .minor = 0,
          .has_mode = true,
          .mode = 0660,
          .has_gid = true,
          .gid = 6 },
        { .path = "/dev/pts/0", .type = 'c', .major = 136, .minor = 0 },
        { .path = "/dev/console", .type = 'c', .major = 5, .minor = 1 },
        { .path = "/dev/ptmx", .type = 'c', .major = 5, .minor = 2 },
};

static inline SpecNode test_node(unsigned flags)
{
        return (SpecNode){
                .capabilities = test_caps,
                .cgroup_v2 = flags & NODE_V2,
                .systemd_cgroup = flags & NODE_SYSTEMD,
                .has_hugetlb = flags & NODE_HUGETLB,
                .has_swap = !(flags & NODE_NO_SWAP),
                .has_seccomp = !(flags & NODE_NO_SECCOMP),
                .has_apparmor = flags & NODE_APPARMOR,
                .has_selinux = flags & NODE_SELINUX,
                .min_oom_score_adj = flags & NODE_OOM_0 ? 0 : -1000,
                .default_cgroup_parent = flags & NODE_SYSTEMD ? "tare.slice" : "/tare",
                .kernel_major = 6,
                .kernel_minor = 18,
                .host_devices = test_devices,
                .n_host_devices = array_len(test_devices),
                .recursive_read_only = !(flags & NODE_NO_RRO),
                .no_user_namespaces = flags & NODE_NO_USERS ? "not on this node" : NULL,
                .pids_limit = flags & NODE_PIDS ? 100 : 0,
                .apparmor_default = flags & NODE_APPARMOR ? "tare-default" : NULL,
                .pod_annotations = flags & NODE_PASS ? test_patterns : NULL,
                .container_annotations = flags & NODE_PASS ? test_patterns : NULL,
        };
}

/* Members as in an image's config: Env, Entrypoint, Cmd, WorkingDir, User, Volumes (a list). */
static inline ImageConfig *test_image(const char *text)
{
        _cleanup_json_ Json *j = quoted_json(text);
        ImageConfig *c = xnew(ImageConfig);
        json_get_strv(j, "Env", "", &c->env, NULL);
        json_get_strv(j, "Entrypoint", "", &c->entrypoint, NULL);
        json_get_strv(j, "Cmd", "", &c->cmd, NULL);
        json_get_strv(j, "Volumes", "", &c->volumes, NULL);
        json_get_str(j, "WorkingDir", "", &c->working_dir, NULL);
        json_get_str(j, "User", "", &c->user, NULL);
        return c;
}

static inline void test_image_free(ImageConfig *c)
{
        char **lists[] = { c->env, c->entrypoint, c->cmd, c->volumes };
        for (size_t i = 0; i < array_len(lists); i++)
                strv_free(lists[i]);
        free(c->working_dir);
        free(c->user);
        free(c);
}

/* --- one run of the generator --- */

typedef struct SpecRun {
        Runtime__V1__PodSandboxConfig *pod;
        Runtime__V1__ContainerConfig *container;
        ImageConfig *image;
        SpecNode node;
        OciSpec *spec;
        char **notes;
        Json *json; /* of spec */
        Err err;
        int r;
} SpecRun;

static inline void run_parse(SpecRun *run, const char *pod, const char *container,
                             const char *image, unsigned flags)
{
        *run = (SpecRun){ .node = test_node(flags) };
        run->pod = pb_parse(&runtime__v1__pod_sandbox_config__descriptor, pod ? pod : "{}",
                            "{'name': 'web', 'namespace': 'prod', 'uid': 'u-1'}");
        run->container = pb_parse(&runtime__v1__container_config__descriptor,
                                  container ? container : "{}", "{'name': 'app'}");
        run->image = test_image(image ? image : "{'Cmd': ['sh']}");
}

static inline SpecPod run_pod(const SpecRun *run)
{
        const Runtime__V1__LinuxPodSandboxConfig *l = run->pod->linux;
        const Runtime__V1__NamespaceOption *n =
                l && l->security_context ? l->security_context->namespace_options : NULL;
        const bool host_net = n && n->network == RUNTIME__V1__NAMESPACE_MODE__NODE;
        bool host_ipc = n && n->ipc == RUNTIME__V1__NAMESPACE_MODE__NODE;
        SpecPodUsers users;
        bool shared_pid = !n || n->pid == RUNTIME__V1__NAMESPACE_MODE__POD;
        return (SpecPod){
                .id = "pod1",
                .config = run->pod,
                .net_path = host_net ? NULL : "/run/netns/tare-1",
                .uts_path = host_net ? NULL : "/run/tare/pods/pod1/uts",
                .ipc_path = host_ipc ? NULL : "/run/tare/pods/pod1/ipc",
                .pid_path = shared_pid ? "/run/tare/pods/pod1/pid" : NULL,
                .user_path = spec_pod_users(run->pod, &users) ? "/run/tare/pods/pod1/user" : NULL,
                .hosts_path = "/run/tare/pods/pod1/hosts",
                .hostname_path = "/run/tare/pods/pod1/hostname",
                .resolv_path = "/run/tare/pods/pod1/resolv.conf",
                .shm_path = "/run/tare/pods/pod1/shm",
                .hostname = run->pod->hostname,
                .selinux_level = "s0:c1,c2",
        };
}

/* What the caller of the generator would have found: sources as asked for, a folder for a device
 * path that ends in '/', nothing for one below /missing. */
static inline size_t run_device_sources(const SpecRun *run, SpecDeviceSource *s)
{
        size_t n = 0;
        for (size_t i = 0; i < run->container->n_devices; i++) {
                const char *path = run->container->devices[i]->host_path;
                SpecDeviceSource one = { .index = i,
                                         .type = 'c',
                                         .major = 10,
                                         .minor = 200 + (int)n,
                                         .mode = 0660,
                                         .gid = 5 };
                if (str_skip_prefix(path, "/missing"))
                        continue;
                if (str_has_suffix(path, "/")) {
                        one.below = "one";
                        s[n++] = one;
                        one.below = "sub/two";
                        one.type = 'b';
                        one.minor++;
                }
                s[n++] = one;
        }
        return n;
}

static inline void run_generate(SpecRun *run, unsigned flags, const char *seccomp_text)
{
        static const uint32_t gids[] = { 10, 20 };
        static char *volume_paths[] = { "/var/lib/tare/v/0", "/var/lib/tare/v/1",
                                        "/var/lib/tare/v/2", NULL };
        SpecPod pod = run_pod(run);
        SpecImage image = { .config = run->image, .reference = "docker.io/library/busybox:latest" };
        SpecUser user = { .uid = 1000,
                          .gid = 100,
                          .additional_gids = gids,
                          .n_additional_gids = 2,
                          .home = "/home/app" };
        SpecTarget target = { .pid_path = "/proc/77/ns/pid" };
        SpecDeviceSource devices[16];
        _cleanup_free_ SpecMountSource *mounts =
                xnew_array(SpecMountSource, run->container->n_mounts + 1);
        for (size_t i = 0; i < run->container->n_mounts; i++) {
                mounts[i].path =
                        str_or(run->container->mounts[i]->host_path, "/run/tare/image-mount");
                mounts[i].shared = !str_eq(mounts[i].path, "/private");
        }
        _cleanup_strv_ char **volumes = NULL;
        run->r = spec_image_volumes(run->container, &image, &volumes, &run->err);
        if (run->r < 0)
                return;
        SpecInput in = { .node = &run->node,
                         .pod = &pod,
                         .container_id = "ctr1",
                         .config = run->container,
                         .image = &image,
                         .user = &user,
                         .mount_sources = mounts,
                         .device_sources = devices,
                         .n_device_sources = run_device_sources(run, devices),
                         .target = flags & NODE_TARGET ? &target : NULL,
                         .seccomp_text = seccomp_text,
                         .image_volumes = volumes,
                         .image_volume_paths = volume_paths };
        run->r = spec_generate(&in, &run->spec, &run->notes, &run->err);
        if (run->r == 0)
                run->json = oci_spec_to_json(run->spec);
}

static inline void run_done(SpecRun *run)
{
        protobuf_c_message_free_unpacked(&run->pod->base, NULL);
        protobuf_c_message_free_unpacked(&run->container->base, NULL);
        test_image_free(run->image);
        oci_spec_freep(&run->spec);
        strv_free(run->notes);
        json_putp(&run->json);
}

#endif
