/* SPDX-License-Identifier: Apache-2.0 */
/* spec-annotations.c - annotations by which runtimes, hooks and monitoring know pod and container.
 * Pure.
 *
 * containerd's names and those of CRI-O that such tools read. The client's own annotations reach
 * the runtime only where the operator's patterns let them, and never under our names: they could
 * switch on what a runtime offers by annotation. */
#include <fnmatch.h>

#include "spec/spec-internal.h"

#define CONTAINERD "io.kubernetes.cri."
#define CRIO       "io.kubernetes.cri-o."

bool spec_annotation_may_pass(char *const *patterns, const char *key)
{
        if (str_empty(key) || str_skip_prefix(key, CONTAINERD) || str_skip_prefix(key, CRIO))
                return false;
        /* '*' stops at '/', as in containerd's configuration. */
        for (; patterns && *patterns; patterns++)
                if (fnmatch(*patterns, key, FNM_PATHNAME) == 0)
                        return true;
        return false;
}

static void pass_through(SpecBuild *b)
{
        const SpecInput *in = b->in;
        for (size_t i = 0; i < in->pod->config->n_annotations; i++) {
                const Runtime__V1__PodSandboxConfig__AnnotationsEntry *a =
                        in->pod->config->annotations[i];
                if (spec_annotation_may_pass(in->node->pod_annotations, a->key))
                        oci_spec_set_annotation(b->spec, a->key, a->value);
        }
        for (size_t i = 0; i < in->config->n_annotations; i++) {
                const Runtime__V1__ContainerConfig__AnnotationsEntry *a =
                        in->config->annotations[i];
                if (spec_annotation_may_pass(in->node->container_annotations, a->key))
                        oci_spec_set_annotation(b->spec, a->key, a->value);
        }
}

int spec_annotations_build(SpecBuild *b, Err *err)
{
        (void)err;
        const SpecInput *in = b->in;
        const Runtime__V1__PodSandboxMetadata *pod = in->pod->config->metadata;
        const struct {
                const char *key, *value;
        } known[] = {
                { CONTAINERD "container-type", "container" },
                { CONTAINERD "sandbox-id", in->pod->id },
                { CONTAINERD "sandbox-name", pod->name },
                { CONTAINERD "sandbox-namespace", pod->namespace_ },
                { CONTAINERD "sandbox-uid", pod->uid },
                { CONTAINERD "container-name", in->config->metadata->name },
                { CONTAINERD "image-name", in->image->reference },
                { CRIO "ContainerType", "container" },
                { CRIO "SandboxID", in->pod->id },
                { CRIO "SandboxName", pod->name },
                { CRIO "Namespace", pod->namespace_ },
                { CRIO "ContainerID", in->container_id },
                { CRIO "ContainerName", in->config->metadata->name },
                { CRIO "ImageName", in->image->reference },
        };
        pass_through(b);
        for (size_t i = 0; i < array_len(known); i++)
                if (!str_empty(known[i].value))
                        oci_spec_set_annotation(b->spec, known[i].key, known[i].value);
        return 0;
}
