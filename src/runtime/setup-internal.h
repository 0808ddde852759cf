/* SPDX-License-Identifier: Apache-2.0 */
/* setup-internal.h - one container (or one exec) being made, as both of its processes see it.
 *
 * The caller's process ("parent") fills a Setup, clones, and both sides go through the same table
 * of steps. The init has a copy of the memory and of every descriptor, so what the parent opened
 * before the clone needs no sending. After the clone a field belongs to the side that writes it.
 *
 * Barriers. Between the two lies a socket pair of records. STEP_GO: the parent tells the init that
 * its side of the step is done. STEP_DONE: the init tells the parent. A step without a flag lets
 * both run on, in parallel. An init that reads end of file has lost its parent and ends itself. */
#ifndef TARE_RUNTIME_SETUP_INTERNAL_H
#define TARE_RUNTIME_SETUP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "oci/runtime-spec.h"
#include "runtime/runtime.h"
#include "runtime/exe.h"
#include "runtime/rdt.h"
#include "runtime/selfcheck.h"
#include "sys/caps.h"
#include "sys/cgroup.h"
#include "sys/seccomp.h"

typedef struct Sync {
        int fd;        /* this side's end */
        int other_fd;  /* the other side's; closed after the clone */
        uint64_t told; /* init: steps the parent has said go for */
} Sync;

struct Setup {
        /* what is asked for; borrowed */
        const RuntimeContext *ctx;
        const RuntimeCreate *create; /* NULL for an exec */
        const RuntimeExec *exec;     /* NULL for a create */
        const OciSpec *spec;
        const OciProcess *process; /* NULL: none yet */
        const char *id;
        bool unprivileged; /* not root: the init makes mounts, as root of its user namespace */
        bool run_now, sibling, no_new_keyring;
        unsigned preserve_fds;
        int stdio[3];

        /* the record */
        char *bundle, *rootfs;
        char *config_text; /* of the bundle, as it was read; NULL: see create->spec_text */
        int dir_fd;        /* <root>/<id>; -EBADF without state */
        char *created;     /* RFC 3339 */

        /* made before the clone */
        Cgroup *cgroup; /* NULL: none */
        RdtPlan rdt;
        int birth_fd; /* its folder in v2, where the init, an exec's helper, is born; < 0: not */
        bool in_cgroup, helper_joins; /* init: it has joined; who clones it does so before that */
        bool in_unit;                 /* exec: systemd made the cgroup */
        int root_mount;               /* detached, then the container's root */
        int *mount_fds; /* one a spec mount: a detached clone of the source of a bind, or -EBADF */
        int ns_fds[_OCI_NS_MAX]; /* namespaces to join, by path; -EBADF: not joined */
        int gate_fd;             /* listening; the init accepts the start here */
        bool notifies;           /* the filter has a listener: it is installed before the end */
        bool leaves_exe;         /* the init has its own file to leave, with its last step */
        bool helper_leaves_exe;  /* exec: the helper does, before it joins and clones */
        SeccompFilter filter;    /* compiled; no bytes: none */
        uint64_t filter_flags;
        int agent_fd;     /* connected to linux.seccomp.listenerPath; -EBADF: no rule notifies */
        pid_t host_pid;   /* init: told with every "go" */
        int console_fd;   /* connected; takes the terminal's master */
        int target_pidfd; /* exec: the container's init */
        pid_t target_pid;
        int procfs_fd;   /* init: a procfs of its own, opened when first needed */
        int devpts_fd;   /* init: the devpts mounted by us */
        int terminal_fd; /* init: the terminal's other end */
        int start_fd;    /* init: the connection that asked for the start */
        char *exec_path; /* init: the program, looked up */
        CapsSets caps;   /* init: what the program gets */
        SelfPlan plan;   /* selfcheck.c */
        char **env;      /* init: the program's environment */

        /* the init, as the parent knows it */
        Sync sync;
        pid_t pid;
        int pidfd;
        uint64_t start_time;
};

void setup_init(Setup *s);
void setup_done(Setup *s);
void setup_reset_signals(void);
void setup_report(Setup *s, const Err *err);
/* Init: not for others to look into; a change of ids may have undone it (fs.suid_dumpable). */
int setup_hide(Err *err);
int setup_write_pid_file(const Setup *s, const char *path, Err *err);

typedef enum StepFlags {
        STEP_GO = 1 << 0,   /* the init waits for the parent's side */
        STEP_LATE = 1 << 1, /* with STEP_GO: not here, but in sync_need() or at the next STEP_GO */
        STEP_DONE = 1 << 2, /* the parent waits for the init's side */
} StepFlags;

typedef struct Step {
        const char *name;
        bool (*applies)(const Setup *s); /* NULL: always; same answer on both sides */
        int (*parent)(Setup *s, Err *err);
        int (*init)(Setup *s, Err *err);
        unsigned flags;
} Step;

/* Run one side of a table. An error has "step: " in front. */
int steps_run_parent(const Step *steps, size_t n, Setup *s, Err *err);
int steps_run_init(const Step *steps, size_t n, Setup *s, Err *err);

int sync_open(Sync *y, Err *err);
void sync_be_parent(Sync *y);
void sync_be_init(Sync *y);
void sync_close(Sync *y);
/* The init reports and goes on to end itself. */
void sync_send_error(Sync *y, const Err *err);
/* The init is about to execute the program. */
int sync_send_exec(Sync *y);
/* How the last system calls report a failure; what names the program. */
void sync_report_last(Setup *s, const char *what, ExeFinal *f);
/* Parent: until the program runs (0), or why it does not. */
int sync_wait_exec(Setup *s, Err *err);
/* Init: until the parent has said go for this step (an index of the table). */
int sync_need(Setup *s, unsigned step, Err *err);

/* create.c: ends what was made, and takes all of it away. */
void setup_undo(Setup *s);
/* create.c: init: waits for the step (its index in exec.c is here) after which the container's
 * cgroups are there, and is in them then. */
#define EXEC_STEP_CGROUP 0
int setup_need_cgroup(Setup *s, Err *err);

/* Clones the init with the namespaces of the spec; in it, `init_main` is called and does not
 * return. */
typedef void InitMain(Setup *s);
int spawn_init(Setup *s, InitMain *init_main, Err *err);
/* Opens what the spec's namespaces name by path. */
int spawn_open_namespaces(Setup *s, Err *err);
bool setup_has_new_ns(const Setup *s, OciNsType type);
bool setup_has_new_userns(const Setup *s);
bool setup_in_userns(const Setup *s); /* new or joined */
/* SIGKILL, and reaped when it is ours. */
void spawn_kill_init(Setup *s);
/* exec.c, in the helper that clones the process: what is the container's becomes ours. */
int exec_join(Setup *s, Err *err);

/* The procfs of the init, opened at the first call; verified. */
int setup_procfs(Setup *s, Err *err);

/* setup.c: see exe.c for what this is about */
int setup_protect_exe(Setup *s, Err *err); /* parent, before the clone */
bool setup_waits_exposed(const Setup *s);  /* the init has to leave before its last step */
int setup_leave_exe(Setup *s, Err *err);   /* init */
/* An Err for a stage and an errno that a last system call left. */
int setup_last_error(unsigned stage, int errnum, const char *what, Err *err);

/* namespaces.c */
int idmap_write(Setup *s, Err *err);
int idmap_enter(Setup *s, Err *err);
int session_init(Setup *s, Err *err);
int uts_init(Setup *s, Err *err);
int network_init(Setup *s, Err *err);
int network_devices_parent(Setup *s, Err *err);

/* prepare.c: parent, before the clone; or the init of an unprivileged caller */
int prepare_rootfs(Setup *s, Err *err);
int prepare_mounts(Setup *s, Err *err);
int prepare_console(Setup *s, const char *path, int fd, Err *err);

/* filter.c: parent, before the clone */
int filter_prepare(Setup *s, Err *err);
int filter_notify_init(Setup *s, Err *err);

/* rootfs.c, mounts.c, devices.c, masks.c, terminal.c: the init */
int rootfs_attach(Setup *s, Err *err);
void rootfs_show(Setup *s);             /* at its path, for hooks */
void rootfs_make_place(const Setup *s); /* for that, by the parent: a mapped root may not */
int rootfs_pivot(Setup *s, Err *err);
int mounts_init(Setup *s, Err *err);
int mounts_readonly_dev(Setup *s, Err *err);
int cgroup_mount_init(Setup *s, const OciMount *m, Err *err);
int cgroup_namespace_init(Setup *s, Err *err);
/* Each folder of the host that cgroup_mount_init() binds, and its name below the mount ("": the
 * mount itself). cgroup NULL: none. */
typedef void CgroupSourceFn(void *user, const char *name, const char *source);
int cgroup_mount_sources(const char *cgroup, CgroupSourceFn *each, void *user, Err *err);
/* The nodes that every container has. */
const OciDevice *devices_default(size_t *ret_n);
int devices_init(Setup *s, Err *err);
int masks_init(Setup *s, Err *err);
int terminal_init(Setup *s, Err *err);
int sysctls_prepare(Setup *s, Err *err); /* parent, before the clone */
int sysctls_init(Setup *s, Err *err);

/* process.c, identity.c: what the program gets, for create and exec alike */
int process_limits_parent(Setup *s, Err *err);
int process_limits_init(Setup *s, Err *err);
int process_env_init(Setup *s, Err *err);
int process_cwd_init(Setup *s, Err *err);
int process_lookup_init(Setup *s, Err *err);
int process_stdio_parent(Setup *s, Err *err);
int process_stdio_init(Setup *s, Err *err);
int identity_init(Setup *s, Err *err);
void identity_warn(const Setup *s); /* parent */
/* Installs the filter, where there is one: early (without noNewPrivileges it needs rights) or last.
 */
int seccomp_install(Setup *s, Err *err);
int process_execute(Setup *s, Err *err);

/* hooks.c */
int hooks_runtime(Setup *s, Err *err);          /* parent: prestart, createRuntime */
int hooks_create_container(Setup *s, Err *err); /* init */
int hooks_start_container(Setup *s, Err *err);  /* init */

/* labels.c: AppArmor and SELinux */
/* Options of a new file system, with linux.mountLabel; owned. */
char *labels_mount_data(const Setup *s, const char *fstype, const char *data);
int labels_check(const Setup *s, Err *err); /* parent, before the clone */
int labels_init(Setup *s, Err *err);

/* subids.c: parent */
bool subids_needed(const OciLinux *l); /* the maps have more than the caller's own ids */
int subids_write(const OciLinux *l, pid_t pid, Err *err);

/* affinity.c: parent; before and after the process joins its cgroup */
int affinity_initial(const Setup *s, Err *err);
int affinity_final(const Setup *s, Err *err);
/* "0-3,7": sets those bits; -EINVAL for what is no list, or has n_bits and more. */
int number_list_parse(const char *text, unsigned long *mask, uint32_t n_bits);

/* mempolicy.c */
int mempolicy_init(const OciMemoryPolicy *p, Err *err);
const char *mempolicy_word(size_t i); /* modes, and flags ("MPOL_F_..."); NULL: no more */

/* gate.c: where a created container waits for its start */
#define GATE_NAME "gate"
int gate_listen(Setup *s, Err *err);
int gate_wait(Setup *s, Err *err);
void gate_send_error(Setup *s, const Err *err); /* init: to whoever asked for the start */
int gate_send_exec(Setup *s);
void gate_report_last(Setup *s, const char *what, ExeFinal *f);
/* The caller of start: until the program runs, or why it does not. */
int gate_open(const char *path, Err *err);

#endif
