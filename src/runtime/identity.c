/* SPDX-License-Identifier: Apache-2.0 */
/* identity.c - who the program is: ids, groups, capabilities, no new privileges.
 *
 * Order. The bounding set is cut while SETPCAP is there. Then the ids, keeping the capabilities,
 * which are set after: ambient ones need the permitted and inheritable ones. One or two rights that
 * the last system calls need (exe.h) stay until those have been made. */
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "runtime/setup-internal.h"
#include "sys/caps.h"

/* For PR_SET_MM and for a filter without noNewPrivileges. */
#define LAST_CAPS (CAPS_BIT(CAP_SYS_ADMIN) | CAPS_BIT(CAP_CHECKPOINT_RESTORE))

static uint64_t caps_mask(char *const *names)
{
        uint64_t mask = 0;

        for (char *const *p = names; p && *p; p++) {
                int n = caps_number(*p);
                if (n >= 0 && (unsigned)n <= caps_last())
                        mask |= CAPS_BIT(n);
        }
        return mask;
}

/* runtime-spec: what no kernel interface is for is logged as a warning. Here, since the init's
 * standard error is the container's. */
void identity_warn(const Setup *s)
{
        if (!s->process)
                return;
        const OciCapabilities *c = &s->process->capabilities;
        char *const *const sets[] = { c->bounding, c->permitted, c->effective, c->inheritable,
                                      c->ambient };
        _cleanup_strv_ char **told = NULL;

        for (size_t i = 0; i < array_len(sets); i++)
                for (char *const *p = sets[i]; p && *p; p++) {
                        int n = caps_number(*p);
                        if ((n >= 0 && (unsigned)n <= caps_last()) || strv_contains(told, *p))
                                continue;
                        strv_push(&told, *p);
                        log_warning("id=%s process.capabilities: '%s' is not known here, ignoring",
                                    s->id, *p);
                }
}

static void wanted_caps(const Setup *s, const CapsSets *have, CapsSets *ret)
{
        const OciCapabilities *c = &s->process->capabilities;

        *ret = (CapsSets){
                .effective = caps_mask(c->effective),
                .permitted = caps_mask(c->permitted),
                .inheritable = caps_mask(c->inheritable),
                .bounding = caps_mask(c->bounding),
                .ambient = caps_mask(c->ambient),
        };
        uint64_t lost = caps_intersect(ret, have);
        for (unsigned i = 0; i <= caps_last(); i++)
                if (lost & CAPS_BIT(i))
                        log_debug(
                                "id=%s %s cannot be given, we lack it or a set it needs, ignoring",
                                s->id, caps_name(i));
}

/* crun's annotation, by which podman's --group-add keep-groups keeps the caller's. */
static bool keeps_groups(const Setup *s)
{
        return str_eq(str_or(oci_annotation(s->spec, "run.oci.keep_original_groups"), ""), "1");
}

static int set_groups(Setup *s, const OciUser *u, Err *err)
{
        _cleanup_free_ gid_t *gids = xnew_array(gid_t, u->n_additional_gids + 1);

        if (keeps_groups(s)) {
                if (u->n_additional_gids > 0)
                        return err_set(err, ERR_INVALID,
                                       "process.user: additionalGids, and the annotation "
                                       "run.oci.keep_original_groups, which keeps the caller's");
                s->plan.groups_stay = true;
                return 0;
        }
        for (size_t i = 0; i < u->n_additional_gids; i++)
                gids[i] = u->additional_gids[i];
        if (setgroups(u->n_additional_gids, gids) == 0)
                return 0;
        /* user_namespaces(7): an unprivileged map has setgroups denied, and no groups to lose */
        if (errno == EPERM && setup_in_userns(s) && u->n_additional_gids == 0) {
                s->plan.groups_stay = true;
                return 0;
        }
        return err_sys(err, errno, "process.user: set %zu additional groups", u->n_additional_gids);
}

static int set_ids(Setup *s, Err *err)
{
        const OciUser *u = &s->process->user;
        int r = set_groups(s, u, err);

        if (r < 0)
                return r;
        if (setresgid(u->gid, u->gid, u->gid) < 0)
                return err_sys(err, errno, "process.user: become group %u", u->gid);
        if (setresuid(u->uid, u->uid, u->uid) < 0)
                return err_sys(err, errno, "process.user: become user %u", u->uid);
        return 0;
}

int identity_init(Setup *s, Err *err)
{
        CapsSets have, now;

        if (!s->process)
                return 0;
        int r = caps_get(&have);
        if (r < 0)
                return err_sys(err, -r, "read our capabilities");
        wanted_caps(s, &have, &s->caps);
        r = caps_drop_bounding(s->caps.bounding);
        if (r < 0)
                return err_sys(err, -r, "cut the bounding set of capabilities");
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
                return err_sys(err, errno, "keep capabilities");
        r = set_ids(s, err);
        if (r == 0 && !(s->create && s->unprivileged)) /* that one hides in gate_wait() */
                r = setup_hide(err);
        if (r < 0)
                return r;
        now = s->caps;
        if (s->leaves_exe || (s->filter.n_bytes > 0 && !s->process->no_new_privileges)) {
                now.permitted |= have.permitted & LAST_CAPS;
                now.effective |= have.permitted & LAST_CAPS;
        }
        s->plan.caps = now;
        r = caps_set(&now);
        if (r < 0)
                return err_sys(err, -r, "set the capabilities");
        umask(s->process->user.has_umask ? s->process->user.umask : 0022);
        if (s->process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return err_sys(err, errno, "process.noNewPrivileges");
        return 0;
}
