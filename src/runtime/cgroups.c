/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups.c - see cgroups.h; and the cgroup calls of runtime.h for callers with their own records.
 */
#include "runtime/cgroups.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "runtime/cgroup-systemd.h"
#include "runtime/device-bpf.h"
#include "runtime/resources.h"

#define MEMORY_STAT_MAX  ((size_t)16 << 10)
#define CGROUP_REMOVE_MS 10000

int cgroups_path(const OciSpec *spec, const char *id, bool systemd, char **ret, Err *err)
{
        const char *want = str_or(spec->linux.cgroups_path, "");

        if (systemd)
                return cgroup_systemd_path(spec, id, ret, err);
        if (!*want) {
                *ret = xasprintf("/%s", id);
                return 0;
        }
        if (path_is_absolute(want)) {
                *ret = path_normalize(want);
        } else {
                _cleanup_free_ char *own = NULL;
                int r = cgroup_path_of(getpid(), cgroup_mode() == CGROUP_V2 ? "" : "devices", &own);
                _cleanup_free_ char *joined = path_join(r < 0 ? "/" : own, want);
                *ret = path_normalize(joined);
        }
        if (!str_eq(*ret, "/"))
                return 0;
        free(take_ptr(*ret));
        return err_set(err, ERR_INVALID, "linux.cgroupsPath: '%s' is the root of all cgroups",
                       want);
}

/* -- limits ------------------------------------------------------------------------------------ */

static bool is_v2(const char *controller)
{
        return *controller ? cgroup_controller_is_v2(controller) : cgroup_mode() == CGROUP_V2;
}

static int write_text(const Cgroup *cg, const ResourceWrite *w)
{
        char now[64];

        if (!w->second)
                return cgroup_write(cg, w->controller, w->file, w->text);
        int r = cgroup_read(cg, w->controller, w->file, now, sizeof(now));
        if (r < 0)
                return r;
        now[strcspn(now, " \n")] = 0;
        _cleanup_free_ char *both = xasprintf("%s %s", now, w->text);
        return cgroup_write(cg, w->controller, w->file, both);
}

static int write_one(const Cgroup *cg, const ResourceWrite *w, Err *err)
{
        int r = write_text(cg, w);

        if (r == -ENOENT && w->other_file)
                r = cgroup_write(cg, w->controller, w->other_file, w->other_text);
        if (r == 0)
                return 0;
        if (w->optional && (r == -ENOENT || r == -EOPNOTSUPP))
                return 0;
        if ((r == -EOPNOTSUPP || r == -ENOENT) && cgroup_is_rootless())
                return err_set(err, ERR_UNSUPPORTED,
                               "linux.resources.%s: cgroup '%s' has no '%s': controller %s is not "
                               "delegated to you; leave it out, or have it added to Delegate= of "
                               "user@.service",
                               w->property, cgroup_path(cg), w->file, w->controller);
        if (r == -EOPNOTSUPP || r == -ENOENT)
                return err_set(err, ERR_UNSUPPORTED,
                               "linux.resources.%s: this machine has no '%s'%s%s%s in cgroup '%s'; "
                               "leave it out, or enable the controller",
                               w->property, w->file, w->other_file ? " and no '" : "",
                               str_or(w->other_file, ""), w->other_file ? "' for it" : "",
                               cgroup_path(cg));
        return err_sys(err, -r, "linux.resources.%s: write '%s' to %s of cgroup '%s'", w->property,
                       w->text, w->file, cgroup_path(cg));
}

/* A memory limit and the one with swap hold each other, and so do quota, period and burst: which
 * has to move first depends on the direction. What is refused in the one order is tried in another.
 */
static int write_plan(const Cgroup *cg, const ResourcePlan *p, Err *err)
{
        _cleanup_free_ bool *refused = xnew_array(bool, p->n);
        int r = 0;

        for (size_t i = 0; r == 0 && i < p->n; i++) {
                const ResourceWrite *w = &p->items[i];
                r = write_one(cg, w, err);
                refused[i] = w->mutual && r == -EINVAL;
                if (refused[i]) {
                        err_reset(err);
                        r = 0;
                }
        }
        for (size_t i = 0; r == 0 && i < p->n; i++)
                if (refused[i])
                        r = write_one(cg, &p->items[i], err);
        return r;
}

/* All rules through one descriptor a file: they are many. */
static int write_rules(int dir, const ResourcePlan *p, Err *err)
{
        _cleanup_close_ int allow = openat(dir, "devices.allow", O_WRONLY | O_CLOEXEC);
        _cleanup_close_ int deny = openat(dir, "devices.deny", O_WRONLY | O_CLOEXEC);

        if (allow < 0 || deny < 0)
                return err_sys(err, errno, "linux.resources.devices: open the files of the cgroup");
        for (size_t i = 0; i < p->n; i++) {
                const ResourceWrite *w = &p->items[i];
                int r = io_write_full(str_eq(w->file, "devices.allow") ? allow : deny, w->text,
                                      strlen(w->text));
                if (r < 0)
                        return err_sys(err, -r, "linux.resources.devices: write '%s' to %s",
                                       w->text, w->file);
        }
        return 0;
}

static int apply_devices(const Cgroup *cg, const OciResources *r, Err *err)
{
        _cleanup_(resource_plan_done) ResourcePlan p = { 0 };

        if (!cgroup_has_controller("devices") || cgroup_controller_is_v2("devices")) {
                _cleanup_close_ int dir = cgroup_open_dir(cg, "");
                if (dir < 0)
                        return err_sys(err, -dir, "open cgroup '%s'", cgroup_path(cg));
                Err e = { 0 };
                int bpf = device_bpf_attach(dir, r, &e);
                if (bpf < 0 && e.kind == ERR_DENIED && cgroup_is_rootless())
                        return 0; /* such programs are root's; a user's own rights decide */
                return bpf < 0 ? err_copy(err, &e) : 0;
        }
        _cleanup_close_ int dir = cgroup_open_dir(cg, "devices");
        if (dir < 0)
                return err_sys(err, -dir, "open cgroup '%s'", cgroup_path(cg));
        device_plan_v1(r, &p);
        return write_rules(dir, &p, err);
}

/* What the kernel gives back before it kills: pages of files. */
static uint64_t reclaimable(const Cgroup *cg, bool v2)
{
        static const char *const keys[][2] = { { "total_inactive_file ", "inactive_file " },
                                               { "total_active_file ", "active_file " } };
        uint64_t sum = 0;
        char text[MEMORY_STAT_MAX];

        if (cgroup_read(cg, "memory", "memory.stat", text, sizeof(text)) < 0)
                return 0;
        for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
                for (size_t i = 0; i < array_len(keys); i++) {
                        const char *value = str_skip_prefix(line, keys[i][v2]);
                        if (value)
                                sum += strtoull(value, NULL, 10);
                }
        return sum;
}

static int check_before_update(const Cgroup *cg, const OciMemory *m, Err *err)
{
        uint64_t used = 0;
        bool v2 = cgroup_controller_is_v2("memory");

        if (!m->has_check_before_update || !m->check_before_update || !m->has_limit ||
            m->limit <= 0)
                return 0;
        int r = cgroup_read_u64(cg, "memory", v2 ? "memory.current" : "memory.usage_in_bytes",
                                &used);
        if (r < 0 || used <= (uint64_t)m->limit)
                return 0;
        uint64_t cache = reclaimable(cg, v2);
        used -= cache < used ? cache : used;
        if (used > (uint64_t)m->limit)
                return err_set(err, ERR_INVALID,
                               "linux.resources.memory.limit: %lld is less than the %llu in use",
                               (long long)m->limit, (unsigned long long)used);
        return 0;
}

int cgroups_apply(const Cgroup *cg, const OciResources *res, bool update, Err *err)
{
        _cleanup_(resource_plan_done) ResourcePlan p = { 0 };

        /* an update says what changes: rules that it does not have stay */
        int r = update && (!res || res->n_devices == 0) ? 0 : apply_devices(cg, res, err);
        if (r < 0 || !res)
                return r;
        r = check_before_update(cg, &res->memory, err);
        if (r == 0)
                r = resource_plan_make(res, is_v2, &p, err);
        return r < 0 ? r : write_plan(cg, &p, err);
}

static int fill_memory_limit(const Cgroup *cg, OciMemory *m, Err *err)
{
        uint64_t limit;
        bool v2 = cgroup_controller_is_v2("memory");

        /* what cannot be read cannot be written either, which has the better message */
        if (cgroup_read_u64(cg, "memory", v2 ? "memory.max" : "memory.limit_in_bytes", &limit) < 0)
                return 0;
        return resource_fill_limit(m, limit, err);
}

int cgroups_update(const Cgroup *cg, bool systemd, const OciResources *res, Err *err)
{
        OciResources filled;
        int r = 0;

        if (res) { /* a copy that owns nothing */
                filled = *res;
                r = fill_memory_limit(cg, &filled.memory, err);
                res = &filled;
        }
        if (r == 0 && systemd)
                r = cgroup_systemd_update(cgroup_path(cg), res, err);
        return r < 0 ? r : cgroups_apply(cg, res, true, err);
}

int cgroups_remove(const Cgroup *cg, bool systemd, unsigned timeout_ms, Err *err)
{
        Err e = { 0 };

        /* Nothing is in the cgroup any more; a systemd that does not answer forgets the unit when
         * it looks again. */
        if (systemd && cgroup_systemd_stop(cgroup_path(cg), &e) < 0)
                log_warning("cgroup=%s %s, ignoring", cgroup_path(cg), e.msg);
        return cgroup_remove(cg, timeout_ms, err);
}

/* -- steps ------------------------------------------------------------------------------------- */

int cgroups_prepare(Setup *s, Err *err)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;

        if (s->ctx->no_cgroup)
                return 0;
        int r = cgroups_path(s->spec, s->id, s->ctx->systemd_cgroup, &path, err);
        if (r < 0)
                return r;
        s->cgroup = cgroup_new(path);
        if (!cgroup_exists(s->cgroup))
                return 0;
        r = cgroup_pids(s->cgroup, &pids, &n);
        if (r == 0 && n > 0)
                return err_set(err, ERR_BUSY,
                               "linux.cgroupsPath: cgroup '%s' has %zu processes already; another "
                               "container uses it",
                               path, n);
        return 0;
}

/* Limits are kept or refused, never dropped; a container without any needs no cgroup. */
static bool asks_for_limits(const OciResources *res)
{
        _cleanup_(resource_plan_done) ResourcePlan p = { 0 };

        return res && (resource_plan_make(res, is_v2, &p, NULL) < 0 || p.n > 0);
}

int cgroups_setup(Setup *s, Err *err)
{
        Err e = { 0 };

        if (!s->cgroup)
                return 0;
        bool optional =
                (s->unprivileged || s->ctx->rootless) && !asks_for_limits(s->spec->linux.resources);
        if (s->ctx->systemd_cgroup) {
                int started = cgroup_systemd_start(s, err);
                if (started < 0)
                        return started;
        }
        int r = cgroup_create(s->cgroup, &e);

        if (r < 0 && optional && e.kind == ERR_DENIED) {
                log_debug("id=%s %s, ignoring", s->id, e.msg);
                cgroup_free(take_ptr(s->cgroup));
                return 0;
        }
        if (r < 0 && e.kind == ERR_DENIED && cgroup_is_rootless())
                return err_set(err, ERR_DENIED,
                               "%s; limits of a user's container need a subtree that is delegated "
                               "to the user: name one in linux.cgroupsPath, or use "
                               "--systemd-cgroup",
                               e.msg);
        if (r < 0)
                return err_copy(err, &e);
        r = cgroups_apply(s->cgroup, s->spec->linux.resources, false, err);
        return r < 0 || s->helper_joins || cgroups_joins_itself(s) ? r : cgroups_join(s, err);
}

/* Who has a subtree of cgroups may move processes inside of it, but not into it: from a session of
 * a login, say. */
int cgroups_join(const Setup *s, Err *err)
{
        Err e = { 0 };

        if (cgroup_join(s->cgroup, s->pid, &e) == 0)
                return 0;
        if (e.kind != ERR_DENIED || !cgroup_is_rootless())
                return err_copy(err, &e);
        if (s->in_unit)
                return cgroup_systemd_attach(cgroup_path(s->cgroup), s->pid, err);
        return err_set(err, ERR_DENIED,
                       "%s; a user moves processes only within a subtree that is delegated to "
                       "them: run tare-runtime inside of it, or use --systemd-cgroup",
                       e.msg);
}

bool cgroups_joins_itself(const Setup *s)
{
        const OciProcess *p = s->exec ? s->process : NULL;
        bool by_parent = s->unprivileged || setup_in_userns(s) || (s->ctx && s->ctx->rootless);

        if (s->exec && s->exec->cgroups)
                by_parent = true; /* more than one to join */
        if (p && (p->exec_cpu_affinity_initial || p->exec_cpu_affinity_final))
                by_parent = true; /* what sets the one before it joins, and the other after */
        return s->cgroup && !by_parent;
}

int cgroups_enter(Setup *s, Err *err)
{
        if (s->in_cgroup || !(s->helper_joins || cgroups_joins_itself(s)))
                return 0;
        int r = s->birth_fd >= 0 ? cgroup_join_rest(s->cgroup, 0, err)
                                 : cgroup_join(s->cgroup, 0, err);
        s->in_cgroup = r == 0;
        return r;
}

/* -- for callers with their own records ---------------------------------------------------------
 */

static int by_spec(const OciSpec *spec, const char *id, bool systemd, Cgroup **ret, Err *err)
{
        _cleanup_free_ char *path = NULL;
        int r = cgroups_path(spec, id, systemd, &path, err);

        if (r == 0)
                *ret = cgroup_new(path);
        return r;
}

int runtime_cgroup_kill(const OciSpec *spec, const char *id, bool systemd, int signo, Err *err)
{
        _cleanup_(cgroup_freep) Cgroup *cg = NULL;
        int r = by_spec(spec, id, systemd, &cg, err);

        return r < 0 ? r : cgroup_kill_if_there(cg, signo, err);
}

int runtime_cgroup_remove(const OciSpec *spec, const char *id, bool systemd, Err *err)
{
        _cleanup_(cgroup_freep) Cgroup *cg = NULL;
        int r = by_spec(spec, id, systemd, &cg, err);

        return r < 0 ? r : cgroups_remove(cg, systemd, CGROUP_REMOVE_MS, err);
}

int runtime_cgroup_update(const OciSpec *spec, const char *id, bool systemd,
                          const OciResources *res, Err *err)
{
        _cleanup_(cgroup_freep) Cgroup *cg = NULL;
        int r = by_spec(spec, id, systemd, &cg, err);

        return r < 0 ? r : cgroups_update(cg, systemd, res, err);
}

int64_t runtime_cgroup_oom_kills(const OciSpec *spec, const char *id, bool systemd)
{
        _cleanup_(cgroup_freep) Cgroup *cg = NULL;
        uint64_t n;

        if (by_spec(spec, id, systemd, &cg, NULL) < 0)
                return -1;
        const char *file =
                cgroup_controller_is_v2("memory") ? "memory.events" : "memory.oom_control";
        return cgroup_read_key(cg, "memory", file, "oom_kill", &n) < 0 ? -1 : (int64_t)n;
}

int64_t runtime_slice_oom_kills(const OciSpec *spec, const char *id, bool systemd)
{
        _cleanup_(cgroup_freep) Cgroup *cg = NULL, *slice = NULL;
        uint64_t n;

        if (!systemd || !cgroup_controller_is_v2("memory") ||
            by_spec(spec, id, systemd, &cg, NULL) < 0)
                return -1;
        _cleanup_free_ char *path = xstrdup(cgroup_path(cg));
        char *slash = strrchr(path, '/');
        if (!slash || slash == path)
                return -1; /* the root has no count */
        *slash = 0;
        slice = cgroup_new(path);
        return cgroup_read_key(slice, "memory", "memory.events", "oom_kill", &n) < 0 ? -1
                                                                                     : (int64_t)n;
}
