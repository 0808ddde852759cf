/* SPDX-License-Identifier: Apache-2.0 */
/* spec-gen.h - from a pod's and container's CRI configuration to an OCI config.json. Pure: every fact about
 * the node comes in by SpecNode, about the image by SpecImage (content, untrusted), about the pod by SpecPod.
 *
 * The engine's vocabulary for what a client asks is runtime.v1 itself (proto/runtime/v1): those are the
 * field's standard terms. Rules and defaults: CRI v0.36 and what containerd and CRI-O do where it is silent;
 * each rule in the source cites which. Two C types keep policy and content apart: only SpecPolicy's and the
 * request's strings select host paths, labels or devices; SpecImage's never do. */
#ifndef TARE_ENGINE_SPEC_GEN_H
#define TARE_ENGINE_SPEC_GEN_H

#include "base/err.h"
#include "oci/image-spec.h"
#include "oci/runtime-spec.h"
#include "runtime/v1/api.pb-c.h"

typedef struct SpecNode {
        char **capabilities;   /* all that the daemon has: "CAP_CHOWN"...; ALL and privileged mean these */
        bool cgroup_v2;        /* unified hierarchy */
        bool systemd_cgroup;
        bool has_hugetlb, has_swap, has_seccomp, has_apparmor, has_selinux;
        int64_t min_oom_score_adj; /* lowest that may be set; the daemon's own without CAP_SYS_RESOURCE */
        const char *default_cgroup_parent; /* for a request without: "/tare" */
        unsigned kernel_major, kernel_minor;
        const OciDevice *host_devices; /* all nodes of /dev, for privileged */
        size_t n_host_devices;
        bool recursive_read_only; /* mount_setattr(AT_RECURSIVE) is there */
} SpecNode;

typedef struct SpecPod {
        const char *id;
        const Runtime__V1__PodSandboxConfig *config;
        const char *net_path, *ipc_path, *uts_path, *pid_path; /* NULL: host's (or, pid: per container) */
        const char *hosts_path, *hostname_path, *resolv_path, *shm_path; /* of ours, mounted unless asked else */
        const char *hostname;
} SpecPod;

typedef struct SpecImage { /* content */
        const ImageConfig *config;
        const char *reference; /* as the client asked */
} SpecImage;

typedef struct SpecUser { /* resolved in the root, numeric */
        uint32_t uid, gid;
        const uint32_t *additional_gids;
        size_t n_additional_gids;
        const char *home;
} SpecUser;

/* A mount source of the request as found on the host by the caller (a process of its own with a deadline):
 * resolved path, directory or not; missing ones were made. Parallel to config->mounts. */
typedef struct SpecMountSource {
        const char *path;
        bool is_dir;
} SpecMountSource;

typedef struct SpecTarget { /* PID namespace of another container (NamespaceMode TARGET); NULL: none */
        const char *pid_path;
} SpecTarget;

/* Checks a request before anything is made: INVALID with field and cure. */
int spec_check_pod(const SpecNode *node, const Runtime__V1__PodSandboxConfig *pod, Err *err);
int spec_check_container(const SpecNode *node, const Runtime__V1__PodSandboxConfig *pod,
                         const Runtime__V1__ContainerConfig *c, Err *err);

/* The user string to resolve in the root ("", "name", "uid:gid"), from request and image, and the flags of
 * PrepareContainerRequest. ret_user is freed by the caller. */
typedef struct SpecUserRequest {
        char *user;
        bool has_gid;
        uint32_t gid;
        const int64_t *supplemental_groups; /* borrowed from the request */
        size_t n_supplemental_groups;
        bool strict_groups;
} SpecUserRequest;
int spec_user_request(const Runtime__V1__PodSandboxConfig *pod, const Runtime__V1__ContainerConfig *c,
                      const SpecImage *image, SpecUserRequest *ret, Err *err);
void spec_user_request_done(SpecUserRequest *u);

int spec_generate(const SpecNode *node, const SpecPod *pod, const char *container_id,
                  const Runtime__V1__ContainerConfig *c, const SpecImage *image, const SpecUser *user,
                  const SpecMountSource *sources, const SpecTarget *target, OciSpec **ret, Err *err);

/* The process of ExecSync/Exec: the container's own with other args, no new terminal size. */
int spec_exec_process(const OciSpec *container, char *const *args, bool tty, OciProcess **ret,
                      Err *err);

/* cgroupsPath for a container or (id of the) pod below the client's parent; driver decides the form. */
char *spec_cgroups_path(const SpecNode *node, const Runtime__V1__PodSandboxConfig *pod, const char *id);

/* resolv.conf text for a DNSConfig (search, nameserver, options lines, in this order); freed by the caller. */
char *spec_resolv_conf(const Runtime__V1__DNSConfig *dns);
/* Signal number of a CRI Signal, of "SIGTERM", "TERM", "15", "SIGRTMIN+1". -EINVAL */
int spec_signal_parse(const char *s);
int spec_signal_from_cri(Runtime__V1__Signal s); /* 0 for RUNTIME_DEFAULT */
/* Stop signal of a container: request, image, SIGTERM. */
int spec_stop_signal(const Runtime__V1__ContainerConfig *c, const ImageConfig *image);

/* Default seccomp profile with its conditions resolved for these capabilities and this kernel. */
int spec_default_seccomp(const SpecNode *node, char *const *capabilities, OciSeccomp **ret, Err *err);

#endif
