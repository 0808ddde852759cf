/* SPDX-License-Identifier: Apache-2.0 */
/* spec-cgroup.c - where a pod's and container's cgroup goes: the client's parent, in the form of
 * the driver. Pure. */
#include "spec/spec-internal.h"

#define PARENT_MAX_BYTES 2048

static bool is_slice(const char *parent)
{
        return str_has_suffix(parent, ".slice");
}

static bool has_dot_dot(const char *path)
{
        for (const char *p = path; (p = strstr(p, "..")); p += 2)
                if ((p == path || p[-1] == '/') && (p[2] == '/' || p[2] == 0))
                        return true;
        return false;
}

int spec_cgroup_check_parent(const SpecNode *node, const char *parent, Err *err)
{
        if (str_empty(parent))
                return 0;
        if (strlen(parent) > PARENT_MAX_BYTES)
                return err_set(err, ERR_TOO_LARGE, "linux.cgroup_parent has more than %d bytes",
                               PARENT_MAX_BYTES);
        for (const char *p = parent; *p; p++)
                if ((unsigned char)*p <= ' ' || *p == 0x7f)
                        return err_set(err, ERR_INVALID,
                                       "linux.cgroup_parent: \"%.200s\" holds a blank or control "
                                       "character",
                                       parent);
        if (has_dot_dot(parent))
                return err_set(err, ERR_INVALID,
                               "linux.cgroup_parent: \"%.200s\" holds \"..\"; give the path itself",
                               parent);
        if (node->systemd_cgroup && (!is_slice(parent) || strchr(path_basename(parent), ':')))
                return err_set(
                        err, ERR_INVALID,
                        "linux.cgroup_parent: \"%.200s\" is not a slice, but this daemon's cgroup "
                        "driver is systemd; make the client's driver (kubelet: cgroupDriver) "
                        "the same",
                        parent);
        if (!node->systemd_cgroup && is_slice(parent))
                return err_set(
                        err, ERR_INVALID,
                        "linux.cgroup_parent: \"%.200s\" is a systemd slice, but this daemon's "
                        "cgroup driver is cgroupfs; make the client's driver (kubelet: "
                        "cgroupDriver) the same",
                        parent);
        return 0;
}

char *spec_cgroups_path(const SpecNode *node, const CriPod *pod, const char *id)
{
        const char *parent = pod && pod->linux ? pod->linux->cgroup_parent : NULL;
        parent = str_or(parent, node->default_cgroup_parent);
        if (node->systemd_cgroup)
                return xasprintf("%s:tare:%s",
                                 str_empty(parent) ? "system.slice" : path_basename(parent), id);
        _cleanup_free_ char *rooted = path_join("/", str_or(parent, "tare"));
        _cleanup_free_ char *clean = path_normalize(rooted);
        return path_join(clean, id);
}
