/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-builtin.c - runtime-ops.h by the runtime library, in the job itself. */
#include <signal.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "shim/runtime-ops.h"

static int builtin_create(JobChild *jc, const RuntimeTarget *t, const RuntimeCreate *opt,
                          RuntimeMade *ret, Err *err)
{
        RuntimeContext ctx = { .root = t->state_dir, .systemd_cgroup = t->systemd_cgroup };

        job_step(jc, "create");
        int r = runtime_create(&ctx, opt, &ret->process, err);
        ret->watched = ret->process.pid;
        ret->answer_fd = -EBADF;
        return r;
}

static int builtin_exec(JobChild *jc, const RuntimeTarget *t, const RuntimeExec *opt,
                        RuntimeExeced *ret, Err *err)
{
        RuntimeContext ctx = { .root = t->state_dir, .systemd_cgroup = t->systemd_cgroup };

        job_step(jc, "exec");
        return runtime_exec(&ctx, opt, &ret->process, err);
}

static int builtin_kill(JobChild *jc, const RuntimeTarget *t, const OciSpec *spec, int signo,
                        bool all, Err *err)
{
        (void)all; /* the init alone is signalled by its descriptor, without a job */
        job_step(jc, "signal");
        return runtime_cgroup_kill(spec, t->id, t->systemd_cgroup, signo, err);
}

static int builtin_update(JobChild *jc, const RuntimeTarget *t, const OciSpec *spec,
                          const char *resources_json, Err *err)
{
        _cleanup_(oci_resources_freep) OciResources *resources = NULL;
        _cleanup_json_ Json *j = NULL;

        int r = json_parse(resources_json, strlen(resources_json), JSON_CONFIG_MAX, &j, err);
        if (r >= 0)
                r = oci_resources_from_json(j, &resources, err);
        if (r < 0)
                return r;
        job_step(jc, "write");
        return runtime_cgroup_update(spec, t->id, t->systemd_cgroup, resources, err);
}

static int builtin_remove(JobChild *jc, const RuntimeTarget *t, const OciSpec *spec, bool hooks,
                          Err *err)
{
        job_step(jc, "kill the rest");
        int r = runtime_cgroup_kill(spec, t->id, t->systemd_cgroup, SIGKILL, err);
        if (r < 0)
                return r;
        job_step(jc, "remove the cgroup");
        r = runtime_cgroup_remove(spec, t->id, t->systemd_cgroup, err);
        if (r < 0 || !hooks)
                return r;
        job_step(jc, "poststop hooks");
        Err failed = {};
        if (runtime_run_poststop(spec, t->id, t->bundle, &failed) < 0)
                log_warning("ctr=%s %s, ignoring", t->id, failed.msg); /* as runtime-spec wants */
        return 0;
}

const RuntimeOps runtime_builtin = { .create = builtin_create,
                                     .exec = builtin_exec,
                                     .kill = builtin_kill,
                                     .update = builtin_update,
                                     .remove = builtin_remove };
