/* SPDX-License-Identifier: Apache-2.0 */
/* spec-gen.h - from a pod's and container's CRI configuration to an OCI config.json. Pure: every
 * fact about the node comes in by SpecNode, about the image by SpecImage (content, untrusted),
 * about the pod by SpecPod, about the host paths of the request by SpecMountSource and
 * SpecDeviceSource.
 *
 * The vocabulary for what a client asks is runtime.v1 itself (proto/runtime/v1): those are the
 * field's standard terms. Rules and defaults: CRI v0.36 and what containerd and CRI-O do where it
 * is silent. Two C types keep policy and content apart: only SpecNode's and the request's strings
 * select host paths, labels or devices; SpecImage's never do.
 *
 * Order of use: spec_check_pod(); then for a container spec_check_container(), spec_user_request(),
 * spec_seccomp_path() and spec_image_volumes() say what has to be looked up or made on the host,
 * and spec_generate() gets what was found. */
#ifndef TARE_SPEC_SPEC_GEN_H
#define TARE_SPEC_SPEC_GEN_H

#include "base/err.h"
#include "oci/cdi.h"
#include "oci/image-spec.h"
#include "oci/runtime-spec.h"
#include "runtime/v1/api.pb-c.h"

/* Limits of one request; over: TOO_LARGE. */
#define SPEC_ARGS_MAX          65536
#define SPEC_ENV_MAX           65536
#define SPEC_MOUNTS_MAX        4096
#define SPEC_DEVICES_MAX       4096 /* also the nodes found below device folders */
#define SPEC_PATHS_MAX         1024 /* masked, readonly */
#define SPEC_ANNOTATIONS_MAX   4096
#define SPEC_SYSCTLS_MAX       256
#define SPEC_IMAGE_VOLUMES_MAX 256
#define SPEC_IMAGE_MOUNTS_MAX  8
/* Of arguments and environment, as the kernel has them by default. */
#define SPEC_STRING_MAX       ((size_t)128 << 10) /* bytes of one, with its NUL */
#define SPEC_STRINGS_MAX      ((size_t)2 << 20)   /* bytes of all */
#define SPEC_SECCOMP_TEXT_MAX ((size_t)1 << 20)   /* bytes of a localhost profile */

typedef struct SpecNode {
        char **capabilities; /* all that the daemon has: "CAP_CHOWN"; ALL and privileged mean these
                              */
        bool cgroup_v2;      /* unified hierarchy */
        bool systemd_cgroup;
        bool has_hugetlb, has_swap, has_seccomp, has_apparmor, has_selinux;
        /* Lowest that may be set: the daemon's own without CAP_SYS_RESOURCE. */
        int64_t min_oom_score_adj;
        const char *default_cgroup_parent; /* for a request without: "/tare", "tare.slice" */
        unsigned kernel_major, kernel_minor;
        const OciDevice *host_devices; /* all nodes of /dev, for privileged */
        size_t n_host_devices;
        bool recursive_read_only; /* mount_setattr(AT_RECURSIVE) is there */
        /* Why no pod can have a user namespace, and what to do; NULL: they can. */
        const char *no_user_namespaces;
        int64_t pids_limit;           /* of each container; 0: none */
        const char *apparmor_default; /* loaded profile that RuntimeDefault means; NULL: none */
        /* Keys of annotations that the runtime may see, by fnmatch(3): "io.example.*". */
        char **pod_annotations, **container_annotations;
} SpecNode;

typedef struct SpecPod {
        const char *id;
        const Runtime__V1__PodSandboxConfig *config;
        const char *net_path, *ipc_path, *uts_path; /* NULL: host's */
        const char *pid_path;                       /* NULL: host's, or one for each container */
        const char *user_path;                      /* NULL: host's */
        /* Of ours, mounted unless the request mounts there. NULL: not mounted; but /dev/shm is then
         * a tmpfs of the container. With host IPC the host's /dev/shm is bound in any case. */
        const char *hosts_path, *hostname_path, *resolv_path, *shm_path;
        const char *hostname;
        const char *selinux_level; /* the pod's own categories, "s0:c1,c2"; NULL: "s0" */
} SpecPod;

typedef struct SpecImage { /* content */
        const ImageConfig *config;
        const char *reference; /* as the client asked */
} SpecImage;

typedef struct SpecUser { /* resolved in the root, numeric */
        uint32_t uid, gid;
        const uint32_t *additional_gids;
        size_t n_additional_gids;
        const char *home; /* HOME unless the request or image sets it; NULL: left alone */
} SpecUser;

/* A mount source of the request as found on the host by the caller (a process of its own with a
 * deadline): resolved path, directory or not; missing ones were made. Parallel to config->mounts.
 * For a mount of an image: where the caller has mounted it (image_sub_path applied). */
typedef struct SpecMountSource {
        const char *path;
        bool is_dir;
        bool shared, slave; /* of the mount that it lies in: it sends, it receives mounts */
} SpecMountSource;

/* A device node of the host behind config->devices[index], as found by the caller. An entry that is
 * a folder gives one of these for each node below it, or one of type 'd' when there is none. Sorted
 * by index. */
typedef struct SpecDeviceSource {
        size_t index;
        const char *below; /* node's path below the entry: "snd/timer"; NULL: the entry itself */
        char type;         /* 'c' 'b' 'p', 'd' */
        int64_t major, minor;
        uint32_t mode, uid, gid; /* mode: permission bits */
} SpecDeviceSource;

typedef struct SpecTarget { /* PID namespace of another container (NamespaceMode TARGET) */
        const char *pid_path;
} SpecTarget;

/* The user namespace that a checked pod asks for: ids 0 to size - 1 of the pod are those from uid
 * and gid on outside. False: the host's. */
typedef struct SpecPodUsers {
        uint32_t uid, gid, size;
} SpecPodUsers;
bool spec_pod_users(const Runtime__V1__PodSandboxConfig *pod, SpecPodUsers *ret);

/* Checks a request before anything is made: INVALID (UNSUPPORTED, TOO_LARGE, DENIED) with field and
 * cure. */
int spec_check_pod(const SpecNode *node, const Runtime__V1__PodSandboxConfig *pod, Err *err);
int spec_check_container(const SpecNode *node, const Runtime__V1__PodSandboxConfig *pod,
                         const Runtime__V1__ContainerConfig *c, Err *err);

/* The user string to resolve in the root ("", "name", "uid", "name:group", "uid:gid"), from request
 * and image, and the flags of PrepareContainerRequest. */
typedef struct SpecUserRequest {
        char *user;
        bool has_gid;
        uint32_t gid;
        const int64_t *supplemental_groups; /* borrowed from the request */
        size_t n_supplemental_groups;
        bool strict_groups;
} SpecUserRequest;
int spec_user_request(const Runtime__V1__PodSandboxConfig *pod,
                      const Runtime__V1__ContainerConfig *c, const SpecImage *image,
                      SpecUserRequest *ret, Err *err);
void spec_user_request_done(SpecUserRequest *u);

/* The host file with the seccomp profile that the request names (borrowed, absolute); NULL: none to
 * be read. */
int spec_seccomp_path(const Runtime__V1__ContainerConfig *c, const char **ret, Err *err);

/* The CDI devices that the request names, each once, in order; freed by strv_free(). NULL: none. */
int spec_cdi_names(const Runtime__V1__ContainerConfig *c, char ***ret, Err *err);

/* The same for devices that were asked for once the document was there. */
int spec_cdi_inject(OciSpec *spec, const CdiEdits *edits, const SpecPod *pod, const SpecUser *user,
                    Err *err);

/* Volume paths that the image declares and that no mount of the request covers, normalised, sorted,
 * without those that would hide /, /proc, /sys or /dev. *ret NULL: none. The caller makes a folder
 * for each. */
int spec_image_volumes(const Runtime__V1__ContainerConfig *c, const SpecImage *image, char ***ret,
                       Err *err);

typedef struct SpecInput { /* everything is borrowed */
        const SpecNode *node;
        const SpecPod *pod;
        const char *container_id;
        const Runtime__V1__ContainerConfig *config;
        const SpecImage *image;
        const SpecUser *user;
        const SpecMountSource *mount_sources; /* config->n_mounts */
        const SpecDeviceSource *device_sources;
        size_t n_device_sources;
        const CdiEdits *cdi;             /* what spec_cdi_names() need; NULL: none */
        const SpecTarget *target;        /* for pid TARGET, else NULL */
        const char *seccomp_text;        /* content of spec_seccomp_path(), else NULL */
        char *const *image_volumes;      /* of spec_image_volumes(); NULL: none mounted */
        char *const *image_volume_paths; /* host folders, parallel */
} SpecInput;

/* Repeats both checks, then builds. ret_notes (may be NULL): one line for a person for each wish
 * that was cut down to what the node can do ("oom_score_adj -998 raised to 0: ..."); for the log
 * and inspect; freed by strv_free(). Namespaces that spec lacks are the host's. */
int spec_generate(const SpecInput *in, OciSpec **ret, char ***ret_notes, Err *err);

/* The process of ExecSync/Exec: the container's own with other args, no terminal size. */
int spec_exec_process(const OciSpec *container, char *const *args, bool tty, OciProcess **ret,
                      Err *err);

/* Resources of a pod; NULL is fine. */
int spec_check_resources(const SpecNode *node, const Runtime__V1__LinuxContainerResources *r,
                         const char *field, Err *err);
/* linux.resources of UpdateContainerResources: what the request names, else as in `old` (may be
 * NULL; device rules are kept). Checks like spec_check_container(); notes as above. */
int spec_update_resources(const SpecNode *node, const OciResources *old,
                          const Runtime__V1__LinuxContainerResources *r, OciResources **ret,
                          char ***ret_notes, Err *err);

/* cgroupsPath for a container or pod id below the client's parent, in the driver's form:
 * "/kubepods/pod1/<id>", "kubepods-pod1.slice:tare:<id>". Freed by the caller. */
char *spec_cgroups_path(const SpecNode *node, const Runtime__V1__PodSandboxConfig *pod,
                        const char *id);

/* Whether a client's annotation is one that the operator's patterns let through; never under a name
 * that is ours to give. */
bool spec_annotation_may_pass(char *const *patterns, const char *key);

/* resolv.conf text for a DNSConfig (search, nameserver, options lines, in this order); freed by the
 * caller. NULL: the request says nothing, the host's file is to be copied. */
char *spec_resolv_conf(const Runtime__V1__DNSConfig *dns);
/* Signal number of "SIGTERM", "TERM", "15", "SIGRTMIN+1", "RTMAX-2". -EINVAL */
int spec_signal_parse(const char *s);
int spec_signal_from_cri(Runtime__V1__Signal s); /* 0 for RUNTIME_DEFAULT and unknown ones */
/* Stop signal of a container: request, image, SIGTERM. */
int spec_stop_signal(const Runtime__V1__ContainerConfig *c, const ImageConfig *image);

/* A sysctl (name with dots or slashes) that belongs to the pod's own namespaces; INVALID with the
 * reason: net.* with a host network, kernel.shm* with host IPC, everything that is not namespaced.
 */
int spec_check_sysctl(const char *name, const char *value, bool host_network, bool host_ipc,
                      Err *err);
/* Whether it is of one interface, which is there only when the network has been set up. */
bool spec_sysctl_is_of_interface(const char *name);

/* Default seccomp profile with its conditions resolved for these capabilities and this kernel. */
int spec_default_seccomp(const SpecNode *node, char *const *capabilities, OciSeccomp **ret,
                         Err *err);

#endif
