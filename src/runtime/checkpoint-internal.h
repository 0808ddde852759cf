/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint-internal.h - what checkpoint and restore have in common: the request to criu, and the
 * mounts and namespaces of the host that a container has. */
#ifndef TARE_RUNTIME_CHECKPOINT_INTERNAL_H
#define TARE_RUNTIME_CHECKPOINT_INTERNAL_H

#include "runtime/checkpoint.h"
#include "runtime/criu.h"
#include "runtime/setup-internal.h"

#define DESCRIPTORS_NAME   "descriptors.json" /* runc's name, in the folder of the images */
#define CHECKPOINT_FDS_MAX 8
#define CHECKPOINT_KEY_MAX 64

/* A request and all that it points to. */
typedef struct CheckpointRequest {
        Criu__Request request;
        Criu__Options opts;
        Criu__PageServer page_server;
        Criu__CgroupRoot cgroup_root, *cgroup_roots[1];
        Criu__InheritFd inherit[CHECKPOINT_FDS_MAX], *inherited[CHECKPOINT_FDS_MAX];
        char keys[CHECKPOINT_FDS_MAX][CHECKPOINT_KEY_MAX];
        Criu__JoinNamespace join[_OCI_NS_MAX], *joined[_OCI_NS_MAX];
        char **external; /* opts.external, until it is sent */
        char *address;
        char *image_path, *log_dir; /* absolute */
        int image_fd, work_fd;
} CheckpointRequest;
void checkpoint_request_init(CheckpointRequest *q, Criu__Type type);
void checkpoint_request_done(CheckpointRequest *q);
/* Opens the folders, sets what both commands have. make: folders that are missing. */
int checkpoint_request_fill(CheckpointRequest *q, const CheckpointOptions *o, const char *log_file,
                            bool make, Err *err);
/* key is copied, and cut when it is too long. */
void checkpoint_request_inherit(CheckpointRequest *q, const char *key, int fd);
/* Points the request at its lists; after the last change of `external`. */
void checkpoint_request_close(CheckpointRequest *q);

/* "extRootNetNS": criu's key of a namespace that the container joined, or NULL. */
const char *checkpoint_ns_key(OciNsType type);

/* Mounts whose file systems are the host's. Both sides call them by the same names. dump: those
 * that a process has now; restore: where the configuration takes them from. */
int checkpoint_mounts_dump(const OciSpec *spec, const char *bundle, const char *cgroup, pid_t pid,
                           char ***external, Err *err);
int checkpoint_mounts_restore(const OciSpec *spec, const char *bundle, const char *cgroup,
                              const char *stage, char ***external, Err *err);
/* In criu's mount namespace: makes below `stage`, an empty folder, what the above names. */
int checkpoint_mounts_stage(Setup *s, const char *stage, Err *err);
/* Makes the mount points that the root lacks. In a mount namespace of its own, where `at` is an
 * empty folder to work in; s has its root and bundle. */
int checkpoint_make_mount_points(Setup *s, const char *at, Err *err);

#endif
