/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-spec.h - config.json of the OCI runtime-spec 1.3 for Linux: parse, check, print, free.
 *
 * Pure functions: no file system, no system call. Source: runtime-spec v1.3 config.md,
 * config-linux.md, schema. Every OciX is plain data; strings and arrays are owned by the spec and
 * freed by oci_spec_free(). "has_x" tells an absent number from zero. Lists of strings are Strv.
 * A parsed spec has passed oci_spec_check(): paths absolute, names known, numbers in range. Unknown
 * members are ignored as the specification says. Limits: JSON_CONFIG_MAX bytes, OCI_LIST_MAX items.
 */
#ifndef TARE_OCI_RUNTIME_SPEC_H
#define TARE_OCI_RUNTIME_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "oci/runtime-linux.h"

#define OCI_LIST_MAX 65536

typedef struct OciMount {
        char *destination, *type, *source;
        char **options;
        OciIdMap *uid_maps, *gid_maps;
        size_t n_uid_maps, n_gid_maps;
} OciMount;

typedef struct OciRlimit {
        char *type; /* "RLIMIT_NOFILE" */
        uint64_t soft, hard;
} OciRlimit;

typedef struct OciUser {
        uint32_t uid, gid;
        bool has_umask;
        uint32_t umask;
        uint32_t *additional_gids;
        size_t n_additional_gids;
} OciUser;

typedef struct OciCapabilities {
        bool present;
        char **bounding, **effective, **inheritable, **permitted, **ambient; /* "CAP_CHOWN" */
} OciCapabilities;

typedef struct OciScheduler {
        char *policy; /* NULL: absent */
        int64_t nice, priority;
        char **flags;
        uint64_t runtime, deadline, period;
} OciScheduler;

typedef struct OciProcess {
        bool terminal;
        bool has_console_size;
        uint32_t console_width, console_height;
        char *cwd;
        char **env, **args;
        OciUser user;
        OciCapabilities capabilities;
        OciRlimit *rlimits;
        size_t n_rlimits;
        bool no_new_privileges;
        bool has_oom_score_adj;
        int64_t oom_score_adj;
        char *apparmor_profile, *selinux_label;
        OciScheduler scheduler;
        char *io_priority_class; /* NULL: absent */
        int64_t io_priority;
        char *exec_cpu_affinity_initial, *exec_cpu_affinity_final;
} OciProcess;

typedef struct OciHook {
        char *path;
        char **args, **env;
        uint32_t timeout_s; /* 0: none */
} OciHook;

typedef struct OciHookList {
        OciHook *items;
        size_t n;
} OciHookList;

typedef struct OciHooks {
        OciHookList prestart, create_runtime, create_container, start_container, poststart,
                poststop;
} OciHooks;

typedef struct OciSpec {
        char *oci_version, *hostname, *domainname;
        char *root_path; /* as written: absolute or relative to the bundle */
        bool root_readonly;
        OciMount *mounts;
        size_t n_mounts;
        OciProcess *process; /* NULL: absent */
        OciHooks hooks;
        OciKeyValue *annotations;
        size_t n_annotations;
        OciLinux linux;
} OciSpec;

int oci_spec_parse(const char *text, size_t len, OciSpec **ret, Err *err);
int oci_spec_from_json(Json *j, OciSpec **ret, Err *err);
int oci_spec_read(int dirfd, const char *path, OciSpec **ret, Err *err); /* a regular file */
/* The same, and what the file says, freed by the caller. */
int oci_spec_read_text(int dirfd, const char *path, OciSpec **ret, char **ret_text, Err *err);
int oci_spec_check(const OciSpec *spec, Err *err);
/* A new Json object; members that are absent are left out. */
Json *oci_spec_to_json(const OciSpec *spec);
void oci_spec_free(OciSpec *spec);
DEFINE_CLEANUP(OciSpec, oci_spec_free)

/* The parts that travel alone: `exec --process`, `update --resources`, a seccomp profile file. */
int oci_process_from_json(Json *j, OciProcess **ret, Err *err);
Json *oci_process_to_json(const OciProcess *p);
void oci_process_free(OciProcess *p);
DEFINE_CLEANUP(OciProcess, oci_process_free)
int oci_resources_from_json(Json *j, OciResources **ret, Err *err);
Json *oci_resources_to_json(const OciResources *r);
void oci_resources_free(OciResources *r);
DEFINE_CLEANUP(OciResources, oci_resources_free)
int oci_seccomp_from_json(Json *j, OciSeccomp **ret, Err *err);
void oci_seccomp_free(OciSeccomp *s);
DEFINE_CLEANUP(OciSeccomp, oci_seccomp_free)

/* The document that `tare-runtime spec` writes (and that CRI specs start from): shell in a
 * terminal, default mounts, capabilities, masked paths. rootless adds a user namespace for uid and
 * gid. */
OciSpec *oci_spec_default(void);
void oci_spec_make_rootless(OciSpec *spec, uint32_t uid, uint32_t gid);

const char *oci_ns_name(OciNsType type);                          /* "network" */
int oci_ns_clone_flag(OciNsType type);                            /* CLONE_NEWNET */
const char *oci_annotation(const OciSpec *spec, const char *key); /* NULL: absent */

/* Building helpers: append a zeroed item and return it. */
OciMount *oci_spec_add_mount(OciSpec *spec, const char *destination, const char *type,
                             const char *source, const char *options /* "nosuid,ro" or NULL */);
OciDevice *oci_spec_add_device(OciSpec *spec);
OciDeviceRule *oci_resources_add_device(OciResources *r);
void oci_spec_set_annotation(OciSpec *spec, const char *key, const char *value);
void oci_spec_set_sysctl(OciSpec *spec, const char *key, const char *value);

#endif
