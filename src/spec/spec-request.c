/* SPDX-License-Identifier: Apache-2.0 */
/* spec-request.c - reading what a CRI request says where its messages are optional or have older
 * forms. Pure; everything returned is borrowed from the request, but for spec_request_strings(). */
#include "spec/spec-internal.h"

const CriSecurity *spec_request_security(const CriContainer *c)
{
        return c->linux ? c->linux->security_context : NULL;
}

const CriResources *spec_request_resources(const CriContainer *c)
{
        return c->linux ? c->linux->resources : NULL;
}

const CriNamespaces *spec_request_namespaces(const CriContainer *c)
{
        const CriSecurity *s = spec_request_security(c);
        return s ? s->namespace_options : NULL;
}

bool spec_request_is_privileged(const CriContainer *c)
{
        const CriSecurity *s = spec_request_security(c);
        return s && s->privileged;
}

static const CriNamespaces *pod_namespaces(const CriPod *pod)
{
        if (!pod || !pod->linux || !pod->linux->security_context)
                return NULL;
        return pod->linux->security_context->namespace_options;
}

CriNamespaceMode spec_request_pod_network(const CriPod *pod)
{
        const CriNamespaces *n = pod_namespaces(pod);
        return n ? n->network : CRI_POD;
}

CriNamespaceMode spec_request_pod_ipc(const CriPod *pod)
{
        const CriNamespaces *n = pod_namespaces(pod);
        return n ? n->ipc : CRI_POD;
}

CriNamespaceMode spec_request_pod_pid(const CriPod *pod)
{
        const CriNamespaces *n = pod_namespaces(pod);
        return n ? n->pid : CRI_POD;
}

bool spec_request_mount_is_image(const CriMount *m)
{
        return m->image && !str_empty(m->image->image);
}

char **spec_request_strings(char *const *items, size_t n)
{
        if (n == 0)
                return NULL;
        char **v = xnew_array(char *, n + 1);
        for (size_t i = 0; i < n; i++)
                v[i] = xstrdup(items[i]);
        return v;
}

static int profile_from_message(const Runtime__V1__SecurityProfile *p, const char *field,
                                SpecProfile *ret, Err *err)
{
        ret->field = field;
        switch ((int)p->profile_type) {
        case RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault:
                ret->kind = SPEC_PROFILE_DEFAULT;
                break;
        case RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined:
                ret->kind = SPEC_PROFILE_UNCONFINED;
                break;
        case RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost:
                ret->kind = SPEC_PROFILE_LOCALHOST;
                ret->ref = p->localhost_ref;
                break;
        default:
                return err_set(
                        err, ERR_INVALID,
                        "%s.profile_type: %d is not a type; use RuntimeDefault, Unconfined or "
                        "Localhost",
                        field, (int)p->profile_type);
        }
        if (ret->kind == SPEC_PROFILE_LOCALHOST && str_empty(ret->ref))
                return err_set(err, ERR_INVALID,
                               "%s.localhost_ref is empty; Localhost needs the profile's name",
                               field);
        if (ret->kind != SPEC_PROFILE_LOCALHOST && !str_empty(p->localhost_ref))
                return err_set(
                        err, ERR_INVALID,
                        "%s.localhost_ref is set to \"%.200s\"; that needs profile_type Localhost",
                        field, p->localhost_ref);
        return 0;
}

/* The strings that clients sent before SecurityProfile was there. */
static int profile_from_string(const char *s, const char *field, SpecProfile *ret, Err *err)
{
        ret->field = field;
        const char *ref = str_skip_prefix(s, "localhost/");
        if (str_eq(s, "runtime/default") || str_eq(s, "docker/default"))
                ret->kind = SPEC_PROFILE_DEFAULT;
        else if (str_eq(s, "unconfined"))
                ret->kind = SPEC_PROFILE_UNCONFINED;
        else if (!str_empty(ref)) {
                ret->kind = SPEC_PROFILE_LOCALHOST;
                ret->ref = ref;
        } else
                return err_set(
                        err, ERR_INVALID,
                        "%s: \"%.200s\" is not a profile; use runtime/default, unconfined or "
                        "localhost/NAME",
                        field, s);
        return 0;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static const char *old_seccomp_field(const CriSecurity *s)
{
        return s->seccomp_profile_path;
}

static const char *old_apparmor_field(const CriSecurity *s)
{
        return s->apparmor_profile;
}
#pragma GCC diagnostic pop

int spec_request_seccomp(const CriContainer *c, SpecProfile *ret, Err *err)
{
        const char *field = "linux.security_context.seccomp";
        const CriSecurity *s = spec_request_security(c);
        SpecProfile p = { .kind = SPEC_PROFILE_NONE, .field = field };
        int r = 0;

        if (s && s->seccomp)
                r = profile_from_message(s->seccomp, field, &p, err);
        else if (s && !str_empty(old_seccomp_field(s)))
                r = profile_from_string(old_seccomp_field(s),
                                        "linux.security_context.seccomp_profile_path", &p, err);
        if (r < 0)
                return r;
        if (p.kind == SPEC_PROFILE_LOCALHOST && !path_is_absolute(p.ref))
                return err_set(
                        err, ERR_INVALID,
                        "%s: the profile's path \"%.200s\" is not absolute; give the whole path of "
                        "the file on this node",
                        p.field, p.ref);
        *ret = p;
        return 0;
}

int spec_request_apparmor(const CriContainer *c, SpecProfile *ret, Err *err)
{
        const char *field = "linux.security_context.apparmor";
        const CriSecurity *s = spec_request_security(c);
        SpecProfile p = { .kind = SPEC_PROFILE_NONE, .field = field };
        int r = 0;

        if (s && s->apparmor)
                r = profile_from_message(s->apparmor, field, &p, err);
        else if (s && !str_empty(old_apparmor_field(s)))
                r = profile_from_string(old_apparmor_field(s),
                                        "linux.security_context.apparmor_profile", &p, err);
        if (r < 0)
                return r;
        /* The reference may carry the prefix of the older field. */
        const char *name = p.ref ? str_skip_prefix(p.ref, "localhost/") : NULL;
        if (name)
                p.ref = name;
        if (p.kind == SPEC_PROFILE_LOCALHOST && str_empty(p.ref))
                return err_set(err, ERR_INVALID, "%s: the profile has no name", p.field);
        *ret = p;
        return 0;
}

int spec_seccomp_path(const CriContainer *c, const char **ret, Err *err)
{
        SpecProfile p = {};
        int r = spec_request_seccomp(c, &p, err);
        if (r < 0)
                return r;
        bool needed = p.kind == SPEC_PROFILE_LOCALHOST && !spec_request_is_privileged(c);
        *ret = needed ? p.ref : NULL;
        return 0;
}
