/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox-sysctl.c - kernel parameters of a pod: with its namespaces, and, for those of interfaces,
 * when its network is there. Written in jobs. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "shim/sandbox.h"
#include "shim/shim-internal.h"
#include "shim/sysctl.h"
#include "sys/inroot.h"

#define SYSCTLS_MAX 256

int sandbox_check_sysctls(Tare__Shim__V1__Sysctl *const *list, size_t n, bool own_net, bool own_ipc,
                          Err *err)
{
        char path[SYSCTL_NAME_MAX + 8];

        if (n > SYSCTLS_MAX)
                return err_set(err, ERR_TOO_LARGE, "%zu sysctls are over the limit of %d", n,
                               SYSCTLS_MAX);
        for (size_t i = 0; i < n; i++) {
                int r = sysctl_check(list[i]->name, list[i]->value, own_net, own_ipc, path, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Settings of an IPC namespace are for the root of its user namespace only, whatever rights another
 * one has; those of a network namespace are for who has rights there. */
static int write_one(int proc, const char *path, const char *value, const uid_t *owner)
{
        int r = procfs_write(proc, path, value);

        if ((r != -EACCES && r != -EPERM) || !owner)
                return r;
        if (seteuid(*owner) < 0)
                return -errno;
        r = procfs_write(proc, path, value);
        if (seteuid(0) < 0)
                return -errno;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user takes it away: see job.c */
        return r;
}

int sandbox_set_sysctls(Tare__Shim__V1__Sysctl *const *list, size_t n, bool own_net, bool own_ipc,
                        const uid_t *owner, Err *err)
{
        char path[SYSCTL_NAME_MAX + 8];

        if (n == 0)
                return 0;
        _cleanup_close_ int proc = procfs_open();
        if (proc < 0)
                return err_sys(err, -proc, "open a procfs");
        for (size_t i = 0; i < n; i++) {
                const Tare__Shim__V1__Sysctl *s = list[i];
                /* again: this is where it counts */
                int r = sysctl_check(s->name, s->value, own_net, own_ipc, path, err);
                if (r < 0)
                        return r;
                r = write_one(proc, path, s->value, owner);
                if (r < 0)
                        return err_sys(err, -r, "set sysctl '%s' to '%.100s'", s->name, s->value);
        }
        return 0;
}

/* --- SetSysctls --- */

typedef struct SetArg {
        const Tare__Shim__V1__SetSysctlsRequest *req;
        const char *netns;
} SetArg;

typedef struct Asker {
        Shim *shim;
        Call call;
} Asker;

static int set_child(JobChild *jc, void *arg, Err *err)
{
        const SetArg *a = arg;

        job_step(jc, "sysctls");
        _cleanup_close_ int ns = open(a->netns, O_RDONLY | O_CLOEXEC);
        if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
                return err_sys(err, errno, "enter the network namespace '%s'", a->netns);
        return sandbox_set_sysctls(a->req->sysctls, a->req->n_sysctls, true, false, NULL, err);
}

static void set_done(void *userdata, JobResult *res)
{
        _cleanup_free_ Asker *a = userdata;

        if (res->r < 0)
                server_reply_err(a->shim->server, a->call, &res->err);
        else
                server_reply_empty(a->shim->server, a->call);
}

int shim_set_sysctls(Shim *s, Call call, const Request *request, Frame *frame, Err *err)
{
        const Tare__Shim__V1__SetSysctlsRequest *req = request->set_sysctls;
        SetArg arg = { .req = req, .netns = s->sandbox.pins[PIN_NET] };

        (void)frame;
        if (s->sandbox.phase != SANDBOX_READY || !arg.netns)
                return err_set(err, ERR_PRECONDITION,
                               "pod '%s' has no network namespace of its own", s->opt->pod_id);
        int r = sandbox_check_sysctls(req->sysctls, req->n_sysctls, true, false, err);
        if (r < 0)
                return r;
        Asker *a = xnew(Asker);
        *a = (Asker){ .shim = s, .call = call };
        JobSpec job = { .name = "set sysctls",
                        .fn = set_child,
                        .arg = &arg,
                        .deadline_ms = s->deadline_ms,
                        .done = set_done,
                        .userdata = a };
        r = job_start(s->loop, s->procs, &job, NULL, err);
        if (r < 0)
                free(a);
        return r;
}
