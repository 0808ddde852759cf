/* SPDX-License-Identifier: Apache-2.0 */
/* spec-internal.h - what the parts of the spec generator share. For this folder only. */
#ifndef TARE_SPEC_SPEC_INTERNAL_H
#define TARE_SPEC_SPEC_INTERNAL_H

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "spec/spec-gen.h"

/* protobuf-c's names are long; these are the ones that every part needs. */
typedef Runtime__V1__ContainerConfig CriContainer;
typedef Runtime__V1__PodSandboxConfig CriPod;
typedef Runtime__V1__LinuxContainerSecurityContext CriSecurity;
typedef Runtime__V1__LinuxContainerResources CriResources;
typedef Runtime__V1__NamespaceOption CriNamespaces;
typedef Runtime__V1__NamespaceMode CriNamespaceMode;
typedef Runtime__V1__Mount CriMount;
#define CRI_POD       RUNTIME__V1__NAMESPACE_MODE__POD
#define CRI_CONTAINER RUNTIME__V1__NAMESPACE_MODE__CONTAINER
#define CRI_NODE      RUNTIME__V1__NAMESPACE_MODE__NODE
#define CRI_TARGET    RUNTIME__V1__NAMESPACE_MODE__TARGET

/* One run of spec_generate(): the checks have passed, each step adds its part to spec. */
typedef struct SpecBuild {
        const SpecInput *in;
        const CriSecurity *security; /* NULL: the request has none */
        bool privileged;
        OciSpec *spec;
        char **notes;
} SpecBuild;

/* --- the request, looked at (spec-request.c) --- */
const CriSecurity *spec_request_security(const CriContainer *c);     /* NULL: none */
const CriResources *spec_request_resources(const CriContainer *c);   /* NULL: none */
const CriNamespaces *spec_request_namespaces(const CriContainer *c); /* NULL: none */
bool spec_request_is_privileged(const CriContainer *c);
/* Mode that the pod asks for; POD where nothing is said. */
CriNamespaceMode spec_request_pod_network(const CriPod *pod);
CriNamespaceMode spec_request_pod_ipc(const CriPod *pod);
CriNamespaceMode spec_request_pod_pid(const CriPod *pod);
bool spec_request_mount_is_image(const CriMount *m);
/* A list of n strings as a Strv of our own; NULL for an empty one. */
char **spec_request_strings(char *const *items, size_t n);

typedef enum SpecProfileKind {
        SPEC_PROFILE_NONE,    /* nothing is asked for */
        SPEC_PROFILE_DEFAULT, /* RuntimeDefault */
        SPEC_PROFILE_UNCONFINED,
        SPEC_PROFILE_LOCALHOST,
} SpecProfileKind;

typedef struct SpecProfile {
        SpecProfileKind kind;
        const char *ref;   /* LOCALHOST: file (seccomp) or name (AppArmor); borrowed */
        const char *field; /* of the request, for errors */
} SpecProfile;
/* From the SecurityProfile, else from the older string field. */
int spec_request_seccomp(const CriContainer *c, SpecProfile *ret, Err *err);
int spec_request_apparmor(const CriContainer *c, SpecProfile *ret, Err *err);

/* --- checks of one subject, each in the file that builds it --- */
int spec_caps_check(const SpecNode *node, const CriSecurity *s, Err *err);
int spec_mounts_check(const SpecNode *node, const CriPod *pod, const CriContainer *c, Err *err);
int spec_devices_check(const CriContainer *c, Err *err);
int spec_resources_check(const SpecNode *node, const CriResources *r, const char *field, Err *err);
int spec_security_check(const SpecNode *node, const CriContainer *c, Err *err);
int spec_cgroup_check_parent(const SpecNode *node, const char *parent, Err *err);
int spec_user_check(const CriSecurity *s, Err *err);
int spec_userns_check_pod(const SpecNode *node, const CriNamespaces *n, Err *err);
int spec_userns_check_container(const CriPod *pod, const CriNamespaces *n, Err *err);
/* Two lists of a mount, both or none. */
int spec_userns_check_maps(const CriMount *m, size_t i, Err *err);
bool spec_userns_maps_are_of_pod(const CriPod *pod, const CriMount *m);

/* --- steps of spec_generate() --- */
int spec_process_build(SpecBuild *b, Err *err);
int spec_env_build(SpecBuild *b, Err *err);
int spec_namespaces_build(SpecBuild *b, Err *err);
int spec_userns_build(SpecBuild *b, Err *err);
int spec_mounts_build(SpecBuild *b, Err *err);
int spec_caps_build(SpecBuild *b, Err *err);
int spec_security_build(SpecBuild *b, Err *err);
int spec_seccomp_build(SpecBuild *b, Err *err);
int spec_devices_build(SpecBuild *b, Err *err);
int spec_resources_build(SpecBuild *b, Err *err);
int spec_cdi_build(SpecBuild *b, Err *err);
int spec_annotations_build(SpecBuild *b, Err *err);

void spec_note(char ***notes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
