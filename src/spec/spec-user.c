/* SPDX-License-Identifier: Apache-2.0 */
/* spec-user.c - which user a container is to run as. Pure: names are resolved in the root by
 * somebody else.
 *
 * Rule (CRI): run_as_user, else run_as_username, else the image's User; run_as_group only together
 * with one of the first two. Without a group the user's own in the image's passwd counts. */
#include "spec/spec-internal.h"

/* 2^32-1 is "no change" to the kernel. */
#define ID_LAST                 ((int64_t)UINT32_MAX - 1)
#define SUPPLEMENTAL_GROUPS_MAX 65536 /* NGROUPS_MAX */

static int check_id(const Runtime__V1__Int64Value *v, const char *field, Err *err)
{
        if (v && (v->value < 0 || v->value > ID_LAST))
                return err_set(err, ERR_INVALID,
                               "linux.security_context.%s: %lld is out of range; use 0 to %lld",
                               field, (long long)v->value, (long long)ID_LAST);
        return 0;
}

static int check_groups(const CriSecurity *s, Err *err)
{
        if (s->n_supplemental_groups > SUPPLEMENTAL_GROUPS_MAX)
                return err_set(err, ERR_TOO_LARGE,
                               "linux.security_context.supplemental_groups: %zu groups; at most %d",
                               s->n_supplemental_groups, SUPPLEMENTAL_GROUPS_MAX);
        for (size_t i = 0; i < s->n_supplemental_groups; i++)
                if (s->supplemental_groups[i] < 0 || s->supplemental_groups[i] > ID_LAST)
                        return err_set(
                                err, ERR_INVALID,
                                "linux.security_context.supplemental_groups[%zu]: %lld is out "
                                "of range; use 0 to %lld",
                                i, (long long)s->supplemental_groups[i], (long long)ID_LAST);
        if ((unsigned)s->supplemental_groups_policy >
            RUNTIME__V1__SUPPLEMENTAL_GROUPS_POLICY__Strict)
                return err_set(
                        err, ERR_INVALID,
                        "linux.security_context.supplemental_groups_policy: %d is not a policy; "
                        "use Merge or Strict",
                        (int)s->supplemental_groups_policy);
        return 0;
}

int spec_user_check(const CriSecurity *s, Err *err)
{
        if (!s)
                return 0;
        int r = check_id(s->run_as_user, "run_as_user", err);
        if (r == 0)
                r = check_id(s->run_as_group, "run_as_group", err);
        if (r == 0)
                r = check_groups(s, err);
        if (r < 0)
                return r;
        if (s->run_as_user && !str_empty(s->run_as_username))
                return err_set(err, ERR_INVALID,
                               "linux.security_context: run_as_user %lld and run_as_username "
                               "\"%.100s\" are both set; set one of them",
                               (long long)s->run_as_user->value, s->run_as_username);
        if (s->run_as_group && !s->run_as_user && str_empty(s->run_as_username))
                return err_set(err, ERR_INVALID,
                               "linux.security_context.run_as_group is set without a user; set "
                               "run_as_user or run_as_username too");
        if (s->run_as_username && strchr(s->run_as_username, ':'))
                return err_set(
                        err, ERR_INVALID,
                        "linux.security_context.run_as_username: \"%.100s\" has a ':'; the group "
                        "goes into run_as_group",
                        s->run_as_username);
        return 0;
}

int spec_user_request(const CriPod *pod, const CriContainer *c, const SpecImage *image,
                      SpecUserRequest *ret, Err *err)
{
        (void)pod; /* the pod's user is that of its infrastructure process */
        const CriSecurity *s = spec_request_security(c);
        int r = spec_user_check(s, err);
        if (r < 0)
                return r;
        *ret = (SpecUserRequest){};
        if (s && s->run_as_user)
                ret->user = xasprintf("%lld", (long long)s->run_as_user->value);
        else if (s && !str_empty(s->run_as_username))
                ret->user = xstrdup(s->run_as_username);
        else
                ret->user = xstrdup(image && image->config ? str_or(image->config->user, "") : "");
        if (!s)
                return 0;
        if (s->run_as_group) {
                ret->has_gid = true;
                ret->gid = (uint32_t)s->run_as_group->value;
        }
        ret->supplemental_groups = s->supplemental_groups;
        ret->n_supplemental_groups = s->n_supplemental_groups;
        ret->strict_groups =
                s->supplemental_groups_policy == RUNTIME__V1__SUPPLEMENTAL_GROUPS_POLICY__Strict;
        return 0;
}

void spec_user_request_done(SpecUserRequest *u)
{
        free(u->user);
        *u = (SpecUserRequest){};
}
