/* SPDX-License-Identifier: Apache-2.0 */
/* spec-seccomp.c - the container's seccomp filter: the default profile, or a file of the node.
 * Pure: the file's text comes in.
 *
 * Profiles of the node are runtime-spec's linux.seccomp; what docker's and CRI-O's form has on top
 * (archMap, includes, excludes) is resolved here by the same rules as the default profile's. */
#include "spec/spec-internal.h"
#include "spec/spec-seccomp-internal.h"

#if defined(__x86_64__)
#define NATIVE_ARCH "SCMP_ARCH_X86_64"
#define GO_ARCH     "amd64"
#elif defined(__aarch64__)
#define NATIVE_ARCH "SCMP_ARCH_AARCH64"
#define GO_ARCH     "arm64"
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE_ARCH "SCMP_ARCH_RISCV64"
#define GO_ARCH     "riscv64"
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_ARCH "SCMP_ARCH_PPC64LE"
#define GO_ARCH     "ppc64le"
#elif defined(__s390x__)
#define NATIVE_ARCH "SCMP_ARCH_S390X"
#define GO_ARCH     "s390x"
#else
#error "no seccomp architecture is known for this processor"
#endif

static bool list_has(const char *const *list, const char *s)
{
        for (; list && *list; list++)
                if (str_eq(*list, s))
                        return true;
        return false;
}

static bool condition_holds(const SpecSeccompCondition *c, const SpecNode *node, char *const *caps)
{
        for (const char *const *cap = c->include_caps; cap && *cap; cap++)
                if (!strv_contains(caps, *cap))
                        return false;
        for (const char *const *cap = c->exclude_caps; cap && *cap; cap++)
                if (strv_contains(caps, *cap))
                        return false;
        if (c->include_arches && *c->include_arches && !list_has(c->include_arches, GO_ARCH))
                return false;
        if (list_has(c->exclude_arches, GO_ARCH))
                return false;
        return node->kernel_major > c->kernel_major ||
               (node->kernel_major == c->kernel_major && node->kernel_minor >= c->kernel_minor);
}

static char **native_architectures(void)
{
        char **v = NULL;
        strv_push(&v, NATIVE_ARCH);
        for (const SpecSeccompArch *a = spec_seccomp_arches; a->native; a++)
                if (str_eq(a->native, NATIVE_ARCH))
                        for (const char *const *s = a->subs; s && *s; s++)
                                strv_push(&v, *s);
        return v;
}

static void copy_row(OciSeccompRule *to, const SpecSeccompRow *row)
{
        to->names = strv_dup((char *const *)row->names);
        to->action = xstrdup(row->action);
        to->has_errno_ret = row->errno_ret >= 0;
        to->errno_ret = to->has_errno_ret ? (uint32_t)row->errno_ret : 0;
        to->n_args = row->n_args;
        if (row->n_args > 0)
                to->args = xnew_array(OciSeccompArg, row->n_args);
        for (size_t i = 0; i < row->n_args; i++) {
                to->args[i] = row->args[i];
                to->args[i].op = xstrdup(row->args[i].op);
        }
}

int spec_default_seccomp(const SpecNode *node, char *const *capabilities, OciSeccomp **ret,
                         Err *err)
{
        (void)err;
        OciSeccomp *s = xnew(OciSeccomp);
        s->default_action = xstrdup(spec_seccomp_default_action);
        s->has_default_errno_ret = true;
        s->default_errno_ret = spec_seccomp_default_errno;
        s->architectures = native_architectures();
        s->rules = xnew_array(OciSeccompRule, spec_seccomp_n_rows);
        for (size_t i = 0; i < spec_seccomp_n_rows; i++)
                if (condition_holds(&spec_seccomp_rows[i].when, node, capabilities))
                        copy_row(s->rules + s->n_rules++, spec_seccomp_rows + i);
        *ret = s;
        return 0;
}

/* --- a profile of the node --- */

/* "4.8" */
static int parse_kernel(const char *s, SpecSeccompCondition *c, Err *err)
{
        if (!s)
                return 0;
        _cleanup_strv_ char **parts = strv_split(s, ".");
        uint32_t major = 0, minor = 0;
        if (strv_len(parts) < 2 || str_to_u32(parts[0], &major) < 0 ||
            str_to_u32(parts[1], &minor) < 0)
                return err_set(err, ERR_INVALID,
                               "minKernel: \"%.50s\" is not a version; it looks like "
                               "\"4.8\"",
                               s);
        c->kernel_major = major;
        c->kernel_minor = minor;
        return 0;
}

/* Whether the conditions of one item of "syscalls" hold: 1, 0 or an error. */
static int item_holds(Json *item, const SpecNode *node, char *const *caps, Err *err)
{
        _cleanup_strv_ char **yes_caps = NULL, **no_caps = NULL, **yes_arches = NULL,
                            **no_arches = NULL;
        _cleanup_free_ char *kernel = NULL;
        Json *yes = NULL, *no = NULL;
        int r = json_get_obj(item, "includes", "syscalls", &yes, err);
        if (r >= 0)
                r = json_get_obj(item, "excludes", "syscalls", &no, err);
        if (r >= 0 && yes) {
                r = json_get_strv(yes, "caps", "includes", &yes_caps, err);
                if (r >= 0)
                        r = json_get_strv(yes, "arches", "includes", &yes_arches, err);
                if (r >= 0)
                        r = json_get_str(yes, "minKernel", "includes", &kernel, err);
        }
        if (r >= 0 && no) {
                r = json_get_strv(no, "caps", "excludes", &no_caps, err);
                if (r >= 0)
                        r = json_get_strv(no, "arches", "excludes", &no_arches, err);
        }
        if (r < 0)
                return r;
        SpecSeccompCondition c = { .include_caps = (const char *const *)yes_caps,
                                   .exclude_caps = (const char *const *)no_caps,
                                   .include_arches = (const char *const *)yes_arches,
                                   .exclude_arches = (const char *const *)no_arches };
        r = parse_kernel(kernel, &c, err);
        return r < 0 ? r : condition_holds(&c, node, caps);
}

static int resolve_items(Json *profile, const SpecNode *node, char *const *caps, Err *err)
{
        Json *items = NULL;
        int r = json_get_array(profile, "syscalls", "", &items, err);
        if (r <= 0)
                return r;
        Json *kept = json_object_new_array();
        for (size_t i = 0; i < json_object_array_length(items) && r >= 0; i++) {
                Json *item = json_object_array_get_idx(items, i);
                r = json_object_is_type(item, json_type_object) ? item_holds(item, node, caps, err)
                                                                : 1;
                if (r > 0)
                        json_object_array_add(kept, json_object_get(item));
        }
        if (r < 0) {
                json_object_put(kept);
                return r;
        }
        json_object_object_add(profile, "syscalls", kept); /* drops the old list */
        return 0;
}

/* docker's way to name architectures: for each native one those that come with it. */
static int resolve_arch_map(Json *profile, Err *err)
{
        Json *map = NULL, *given = NULL;
        int r = json_get_array(profile, "archMap", "", &map, err);
        if (r <= 0 || json_object_object_get_ex(profile, "architectures", &given))
                return r;
        for (size_t i = 0; i < json_object_array_length(map); i++) {
                Json *entry = json_object_array_get_idx(map, i);
                _cleanup_free_ char *native = NULL;
                _cleanup_strv_ char **all = NULL;
                if (!json_object_is_type(entry, json_type_object))
                        return err_set(err, ERR_INVALID, "archMap[%zu]: expected an object", i);
                r = json_get_str(entry, "architecture", "archMap", &native, err);
                if (r >= 0)
                        r = json_get_strv(entry, "subArchitectures", "archMap", &all, err);
                if (r < 0)
                        return r;
                if (!str_eq(native, NATIVE_ARCH))
                        continue;
                strv_push(&all, NATIVE_ARCH);
                json_add_strv(profile, "architectures", all);
        }
        return 0;
}

static int parse_profile(SpecBuild *b, OciSeccomp **ret, Err *err)
{
        _cleanup_json_ Json *profile = NULL;
        const char *text = b->in->seccomp_text;
        char *const *caps = b->spec->process->capabilities.bounding;

        int r = json_parse(text, strlen(text), SPEC_SECCOMP_TEXT_MAX, &profile, err);
        if (r < 0)
                return r;
        if (!json_object_is_type(profile, json_type_object))
                return err_set(err, ERR_INVALID, "expected a JSON object");
        r = resolve_items(profile, b->in->node, caps, err);
        if (r >= 0)
                r = resolve_arch_map(profile, err);
        if (r >= 0)
                r = oci_seccomp_from_json(profile, ret, err);
        return r;
}

int spec_seccomp_build(SpecBuild *b, Err *err)
{
        SpecProfile p = {};
        int r = spec_request_seccomp(b->in->config, &p, err);
        if (r < 0 || b->privileged || p.kind == SPEC_PROFILE_NONE ||
            p.kind == SPEC_PROFILE_UNCONFINED)
                return r;
        if (!b->in->node->has_seccomp) {
                if (p.kind == SPEC_PROFILE_LOCALHOST)
                        return err_set(
                                err, ERR_UNSUPPORTED,
                                "%s: profile \"%.200s\" cannot be applied, since this node's "
                                "kernel has no seccomp filters",
                                p.field, p.ref);
                spec_note(&b->notes,
                          "%s: the default profile was left out: this node's kernel has no "
                          "seccomp filters",
                          p.field);
                return 0;
        }
        if (p.kind == SPEC_PROFILE_DEFAULT)
                return spec_default_seccomp(b->in->node, b->spec->process->capabilities.bounding,
                                            &b->spec->linux.seccomp, err);
        if (!b->in->seccomp_text)
                return err_set(err, ERR_NOT_FOUND,
                               "%s: there is no profile \"%.200s\" on this node", p.field, p.ref);
        r = parse_profile(b, &b->spec->linux.seccomp, err);
        return err_wrap(err, r, "%s: profile \"%.200s\"", p.field, p.ref);
}
