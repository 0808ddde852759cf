/* SPDX-License-Identifier: Apache-2.0 */
/* spec-userns.c - user namespaces of pods, and id-mapped mounts. Pure.
 *
 * Rules (CRI): a pod has one mapping, the same for users and groups, with the pod's root in it; its
 * containers have what the pod has. A container that says nothing has it, too. */
#include "spec/spec-internal.h"

#define FIELD    "linux.security_context.namespace_options.userns_options"
#define MAPS_MAX 340 /* of the kernel */

typedef Runtime__V1__UserNamespace CriUsers;
typedef Runtime__V1__IDMapping CriMap;

static const CriUsers *pod_options(const CriPod *pod)
{
        const Runtime__V1__LinuxSandboxSecurityContext *s =
                pod->linux ? pod->linux->security_context : NULL;

        return s && s->namespace_options ? s->namespace_options->userns_options : NULL;
}

bool spec_pod_users(const CriPod *pod, SpecPodUsers *ret)
{
        const CriUsers *u = pod_options(pod);

        if (!u || u->mode != CRI_POD || u->n_uids == 0 || u->n_gids == 0)
                return false;
        *ret = (SpecPodUsers){ .uid = u->uids[0]->host_id,
                               .gid = u->gids[0]->host_id,
                               .size = u->uids[0]->length };
        return true;
}

static bool map_is_same(const CriMap *a, const CriMap *b)
{
        return a->host_id == b->host_id && a->container_id == b->container_id &&
               a->length == b->length;
}

static bool maps_are_same(CriMap *const *a, size_t n_a, CriMap *const *b, size_t n_b)
{
        bool same = n_a == n_b;

        for (size_t i = 0; same && i < n_a; i++)
                same = map_is_same(a[i], b[i]);
        return same;
}

static bool map_is_valid(const CriMap *m)
{
        return m->length > 0 && (uint64_t)m->host_id + m->length <= UINT32_MAX &&
               (uint64_t)m->container_id + m->length <= UINT32_MAX;
}

static int check_mapping(const CriUsers *u, Err *err)
{
        if (u->n_uids != 1 || u->n_gids != 1)
                return err_set(err, ERR_INVALID,
                               FIELD ": %zu mappings of users and %zu of groups; a pod has exactly "
                                     "one of each",
                               u->n_uids, u->n_gids);
        const CriMap *m = u->uids[0];
        if (!map_is_same(m, u->gids[0]))
                return err_set(err, ERR_INVALID,
                               FIELD ": users and groups have different mappings; make them equal");
        if (m->container_id != 0)
                return err_set(err, ERR_INVALID,
                               FIELD ".uids: container id 0, the pod's root, is not mapped; the "
                                     "mapping begins at %u",
                               m->container_id);
        if (!map_is_valid(m))
                return err_set(err, ERR_INVALID,
                               FIELD ".uids: %u ids from host id %u on are not ids that there are",
                               m->length, m->host_id);
        return 0;
}

int spec_userns_check_pod(const SpecNode *node, const CriNamespaces *n, Err *err)
{
        const CriUsers *u = n->userns_options;

        if (!u)
                return 0;
        if (u->mode == CRI_NODE && u->n_uids + u->n_gids > 0)
                return err_set(err, ERR_INVALID,
                               FIELD ": mode NODE has no mappings; leave them out");
        if (u->mode == CRI_NODE)
                return 0;
        if (u->mode != CRI_POD)
                return err_set(err, ERR_INVALID,
                               FIELD ".mode: %d is not possible for a user namespace; use POD or "
                                     "NODE",
                               (int)u->mode);
        if (n->pid == CRI_NODE || n->ipc == CRI_NODE)
                return err_set(err, ERR_INVALID,
                               FIELD ": a pod with a user namespace cannot have the host's %s "
                                     "namespace, in which its root has no rights",
                               n->pid == CRI_NODE ? "PID" : "IPC");
        int r = check_mapping(u, err);
        if (r == 0 && node->no_user_namespaces)
                r = err_set(err, ERR_UNSUPPORTED, FIELD ": %s", node->no_user_namespaces);
        return r;
}

int spec_userns_check_container(const CriPod *pod, const CriNamespaces *n, Err *err)
{
        const CriUsers *mine = n ? n->userns_options : NULL, *theirs = pod_options(pod);
        static const CriUsers node_mode = { .mode = CRI_NODE };

        if (!mine)
                return 0;
        theirs = theirs ? theirs : &node_mode;
        if (mine->mode == theirs->mode &&
            maps_are_same(mine->uids, mine->n_uids, theirs->uids, theirs->n_uids) &&
            maps_are_same(mine->gids, mine->n_gids, theirs->gids, theirs->n_gids))
                return 0;
        return err_set(err, ERR_INVALID,
                       FIELD ": it differs from the pod's; give the same, or leave it out");
}

static int check_list(CriMap *const *maps, size_t n, const char *name, size_t i, Err *err)
{
        if (n > MAPS_MAX)
                return err_set(err, ERR_TOO_LARGE, "mounts[%zu].%s: %zu of them; at most %d", i,
                               name, n, MAPS_MAX);
        for (size_t k = 0; k < n; k++)
                if (!map_is_valid(maps[k]))
                        return err_set(err, ERR_INVALID,
                                       "mounts[%zu].%s[%zu]: %u ids from %u on are not ids that "
                                       "there are",
                                       i, name, k, maps[k]->length, maps[k]->host_id);
        return 0;
}

int spec_userns_check_maps(const CriMount *m, size_t i, Err *err)
{
        if (!m->n_uidmappings != !m->n_gidmappings)
                return err_set(err, ERR_INVALID,
                               "mounts[%zu]: uidMappings and gidMappings belong together; give "
                               "both or none",
                               i);
        int r = check_list(m->uidmappings, m->n_uidmappings, "uidMappings", i, err);
        return r < 0 ? r : check_list(m->gidmappings, m->n_gidmappings, "gidMappings", i, err);
}

bool spec_userns_maps_are_of_pod(const CriPod *pod, const CriMount *m)
{
        const CriUsers *u = pod_options(pod);

        return u && u->mode == CRI_POD &&
               maps_are_same(m->uidmappings, m->n_uidmappings, u->uids, u->n_uids) &&
               maps_are_same(m->gidmappings, m->n_gidmappings, u->gids, u->n_gids);
}

/* The namespace itself is there: its maps are. */
int spec_userns_build(SpecBuild *b, Err *err)
{
        const SpecInput *in = b->in;
        SpecPodUsers users;

        if (!in->pod->user_path || !spec_pod_users(in->pod->config, &users))
                return 0;
        if (in->user->uid >= users.size || in->user->gid >= users.size)
                return err_set(err, ERR_INVALID,
                               "user %u:%u is not in the pod's user namespace, which has ids 0 to "
                               "%u",
                               in->user->uid, in->user->gid, users.size - 1);
        for (size_t i = 0; i < in->user->n_additional_gids; i++)
                if (in->user->additional_gids[i] >= users.size)
                        return err_set(err, ERR_INVALID,
                                       "group %u is not in the pod's user namespace, which has ids "
                                       "0 to %u",
                                       in->user->additional_gids[i], users.size - 1);
        b->spec->linux.namespaces[OCI_NS_USER].present = true;
        b->spec->linux.namespaces[OCI_NS_USER].path = xstrdup(in->pod->user_path);
        return 0;
}
