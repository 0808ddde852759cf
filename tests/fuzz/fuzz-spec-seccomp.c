/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-spec-seccomp.c - a seccomp profile of the node, in runtime-spec's, docker's or CRI-O's form:
 * either refused with its path, or resolved to a filter that a spec may hold. */
/* links: base oci proto_cri spec */
#include "fuzz/fuzz.h"
#include "spec/spec-gen.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* the initialiser has all fields */

static char *node_caps[] = { "CAP_CHOWN", "CAP_SYS_ADMIN", NULL };
static char *image_cmd[] = { "sh", NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Runtime__V1__SecurityProfile profile = RUNTIME__V1__SECURITY_PROFILE__INIT;
        Runtime__V1__LinuxContainerSecurityContext security =
                RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
        Runtime__V1__LinuxContainerConfig l = RUNTIME__V1__LINUX_CONTAINER_CONFIG__INIT;
        Runtime__V1__ContainerMetadata metadata = RUNTIME__V1__CONTAINER_METADATA__INIT;
        Runtime__V1__PodSandboxMetadata pod_metadata = RUNTIME__V1__POD_SANDBOX_METADATA__INIT;
        Runtime__V1__ContainerConfig c = RUNTIME__V1__CONTAINER_CONFIG__INIT;
        Runtime__V1__PodSandboxConfig p = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT;
        ImageConfig config = { .cmd = image_cmd };
        SpecNode node = { .capabilities = node_caps, .has_seccomp = true, .kernel_major = 6 };
        SpecPod pod = { .id = "p", .config = &p };
        SpecImage image = { .config = &config };
        SpecUser user = {};
        Err err = {};

        profile.profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
        profile.localhost_ref = (char *)"/etc/profile.json";
        security.seccomp = &profile;
        l.security_context = &security;
        metadata.name = pod_metadata.name = (char *)"n";
        c.metadata = &metadata;
        c.linux = &l;
        p.metadata = &pod_metadata;

        _cleanup_free_ char *text = xstrndup((const char *)data, size);
        SpecInput in = { .node = &node,
                         .pod = &pod,
                         .container_id = "c",
                         .config = &c,
                         .image = &image,
                         .user = &user,
                         .seccomp_text = text };
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        if (spec_generate(&in, &spec, NULL, &err) < 0) {
                tare_assert(err.kind != ERR_NONE && err.kind != ERR_INTERNAL);
                tare_assert(strstr(err.msg, "/etc/profile.json"));
        } else
                tare_assert(spec->linux.seccomp && spec->linux.seccomp->default_action);
        return 0;
}
