/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup-internal.h - the hierarchies, for the files of cgroup.h. */
#ifndef TARE_SYS_CGROUP_INTERNAL_H
#define TARE_SYS_CGROUP_INTERNAL_H

#include <limits.h>

#include "base/str.h"
#include "sys/cgroup.h"

#define CGROUP_HIERARCHIES_MAX 32
#define CGROUP_VALUE_MAX       4096
#define CGROUP_PROCS_BYTES_MAX (16U << 20) /* 2 million processes */
#define CGROUP_STAT_BYTES_MAX  (1U << 20)
#define CGROUP_PROC_BYTES_MAX  (256U << 10) /* /proc/PID/cgroup */

typedef struct CgroupHierarchy {
        bool v2;
        int fd;             /* O_PATH, of the mount point */
        char *mount;        /* mount point */
        char *root;         /* what of the hierarchy is mounted there; "/" mostly */
        char **controllers; /* "cpu", "cpuacct"; "name=systemd" */
} CgroupHierarchy;

typedef struct CgroupHierarchies {
        CgroupHierarchy items[CGROUP_HIERARCHIES_MAX];
        size_t n;
} CgroupHierarchies;

struct Cgroup {
        char *path;      /* "/a/b" */
        const char *rel; /* "a/b", or "." for the root: what *at() calls take */
};

const CgroupHierarchies *cgroup_hierarchies(void);
/* NULL: mounted nowhere. "" is v2. */
const CgroupHierarchy *cgroup_hierarchy_of(const char *controller);
/* "memory", "name=systemd", "v2": for messages */
const char *cgroup_hierarchy_name(const CgroupHierarchy *h);
bool cgroup_hierarchy_has(const CgroupHierarchy *h, const char *controller);

/* Files of folder `dir` (relative) in a hierarchy. -errno. */
int cgroup_file_open(const CgroupHierarchy *h, const char *dir, const char *file, int flags);
int cgroup_file_write(const CgroupHierarchy *h, const char *dir, const char *file,
                      const char *text);
int cgroup_file_read(const CgroupHierarchy *h, const char *dir, const char *file, char *buf,
                     size_t n);
/* Does "cpu,cpuacct" of /proc/PID/cgroup, n bytes, name the controller; "" is v2 in both. */
bool cgroup_list_has(const char *list, size_t n, const char *controller);
bool cgroup_dir_exists(const CgroupHierarchy *h, const char *dir);

#endif
