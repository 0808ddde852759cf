/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.h - control groups of versions 1, 2 and both at once (hybrid), by one path.
 *
 * A Cgroup is a path ("/kubepods/podX/ID", relative to each hierarchy's mount) in every hierarchy
 * that is there. Hybrid: v1 controllers where they are mounted, the v2 tree for the rest and for
 * killing. Conversions (shares to weight, swap) are the caller's (runtime/); this layer moves text.
 */
#ifndef TARE_SYS_CGROUP_H
#define TARE_SYS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

typedef enum CgroupMode { CGROUP_V1, CGROUP_V2, CGROUP_HYBRID } CgroupMode;

typedef struct Cgroup Cgroup;

/* Hierarchies as /proc/self/cgroup and mountinfo tell, read at the first call of any function here
 * and kept for the process, with one O_PATH descriptor each: a child that closes all descriptors
 * calls none of these. */
CgroupMode cgroup_mode(void);
/* Neither root nor, with a user namespace, root of the machine: not all hierarchies are ours. */
bool cgroup_is_rootless(void);
bool cgroup_has_controller(const char *controller); /* "memory", in either version */
bool cgroup_controller_is_v2(const char *controller);
/* Where the hierarchy of a controller ("" = v2, "name=systemd") is mounted; NULL: nowhere.
 * Borrowed. */
const char *cgroup_mount_point(const char *controller);
/* Path of a process in the hierarchy of a controller ("" = v2). -errno. Freed by the caller. */
int cgroup_path_of(pid_t pid, const char *controller, char **ret);

/* No system call yet. path absolute and normalised ("/a/b"). */
Cgroup *cgroup_new(const char *path);
void cgroup_free(Cgroup *cg);
DEFINE_CLEANUP(Cgroup, cgroup_free)
const char *cgroup_path(const Cgroup *cg);
/* mkdir in every hierarchy with missing parents; fills cpuset of v1, enables controllers of v2.
 * What is there already is fine. On failure the folders that it made are gone, except parents. A
 * process without root leaves out the hierarchies that it may not write, when there is one that it
 * may. */
int cgroup_create(Cgroup *cg, Err *err);
/* Makes its folder in the tree of v2 alone, and opens it: for CLONE_INTO_CGROUP, ahead of
 * cgroup_create(). -EOPNOTSUPP: there is no such tree. */
int cgroup_create_v2(const Cgroup *cg);
bool cgroup_exists(const Cgroup *cg); /* in any hierarchy */
/* Moves a process into all hierarchies. pid 0: the caller, which has one thread: in v1 that is much
 * quicker. BUSY: v2, and the cgroup delegates to children of its own (a container that runs
 * systemd): join the one of its init. */
int cgroup_join(const Cgroup *cg, pid_t pid, Err *err);
/* All but v2: for a process that clone3 has put there. */
int cgroup_join_rest(const Cgroup *cg, pid_t pid, Err *err);
/* Opens the files by which a process that writes "0" to them joins it, in every hierarchy but v2
 * (for that: cgroup_open_dir()). Their count; -ENOENT: it is not there. */
int cgroup_open_joins(const Cgroup *cg, int *ret_fds, size_t room);
/* That the process (0: this one) is in it, in every hierarchy that limits something, as the kernel
 * says. */
int cgroup_verify(const Cgroup *cg, pid_t pid, Err *err);
/* Folder in the hierarchy of a controller, for CLONE_INTO_CGROUP and watches. -errno */
int cgroup_open_dir(const Cgroup *cg, const char *controller);
/* One file: "memory.limit_in_bytes" is looked for in the hierarchy of its controller. -EOPNOTSUPP:
 * the controller is mounted nowhere; -ENOENT: no such cgroup or file. */
int cgroup_write(const Cgroup *cg, const char *controller, const char *file, const char *text);
/* Text without its last newline; its length, or -E2BIG when it does not fit. */
int cgroup_read(const Cgroup *cg, const char *controller, const char *file, char *buf, size_t n);
int cgroup_read_u64(const Cgroup *cg, const char *controller, const char *file,
                    uint64_t *ret); /* "max": UINT64_MAX */
/* Value of a key in a "key value" file (memory.events, cpu.stat). */
int cgroup_read_key(const Cgroup *cg, const char *controller, const char *file, const char *key,
                    uint64_t *ret);
/* Every process of it and below it. Freed by the caller; -errno. */
int cgroup_pids(const Cgroup *cg, pid_t **ret, size_t *ret_n);
/* signo to every process below; SIGKILL uses cgroup.kill or freezes first. */
int cgroup_kill(const Cgroup *cg, int signo, Err *err);
/* The same; one that is not there, or goes meanwhile, is fine: systemd removes a scope as soon as
 * nobody is in it. */
int cgroup_kill_if_there(const Cgroup *cg, int signo, Err *err);
/* Waits until it is so. TIMEOUT: a process does not stop; then all are thawed again. */
int cgroup_freeze(const Cgroup *cg, bool freeze, Err *err);
bool cgroup_is_frozen(const Cgroup *cg);
/* rmdir, deepest first, in every hierarchy; waits up to timeout_ms for dying processes. Missing: 0
 */
int cgroup_remove(const Cgroup *cg, unsigned timeout_ms, Err *err);
/* rmdir of it alone, where nothing is in it and nothing below it. */
void cgroup_remove_empty(const Cgroup *cg);

#endif
