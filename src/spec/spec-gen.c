/* SPDX-License-Identifier: Apache-2.0 */
/* spec-gen.c - the steps from a request to a spec, and its first part: process, root and
 * namespaces.
 *
 * Pure; runs in the daemon. spec_generate() checks the request, then each step adds one subject; a
 * step can rely on the checks having passed. Whatever it makes passes oci_spec_check(). */
#include "spec/spec-internal.h"

#define OCI_VERSION "1.3.0"

void spec_note(char ***notes, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        strv_push_take(notes, xvasprintf(fmt, ap));
        va_end(ap);
}

/* Docker's rule, which CRI keeps: a command of the request takes the place of Entrypoint and Cmd;
 * arguments alone take the place of Cmd. */
static char **process_args(const CriContainer *c, const ImageConfig *image)
{
        char **entrypoint = NULL, **cmd = NULL;
        if (image && c->n_command == 0) {
                entrypoint = image->entrypoint;
                /* ENTRYPOINT [""] is how an image takes its base's entrypoint away. */
                if (strv_len(entrypoint) == 1 && str_empty(entrypoint[0]))
                        entrypoint = NULL;
                cmd = c->n_args == 0 ? image->cmd : NULL;
        }
        size_t n_entrypoint = strv_len(entrypoint), n_cmd = strv_len(cmd);
        char **v = xnew_array(char *, c->n_command + c->n_args + n_entrypoint + n_cmd + 1);
        size_t n = 0;
        for (size_t i = 0; i < c->n_command; i++)
                v[n++] = xstrdup(c->command[i]);
        for (size_t i = 0; i < n_entrypoint; i++)
                v[n++] = xstrdup(entrypoint[i]);
        for (size_t i = 0; i < c->n_args; i++)
                v[n++] = xstrdup(c->args[i]);
        for (size_t i = 0; i < n_cmd; i++)
                v[n++] = xstrdup(cmd[i]);
        return v;
}

/* As written: what ".." means is for the root's own symbolic links to say. */
static char *process_cwd(const CriContainer *c, const ImageConfig *image)
{
        if (!str_empty(c->working_dir))
                return xstrdup(c->working_dir);
        if (!image || str_empty(image->working_dir))
                return xstrdup("/");
        return path_join("/", image->working_dir);
}

/* The primary group is among the supplementary ones too: a process must not get rid of it by
 * running a set-gid program, and with it of what is denied to that group. */
static void fill_groups(OciUser *ret, const SpecUser *user)
{
        ret->additional_gids = xnew_array(uint32_t, user->n_additional_gids + 1);
        ret->additional_gids[ret->n_additional_gids++] = user->gid;
        for (size_t i = 0; i < user->n_additional_gids; i++)
                ret->additional_gids[ret->n_additional_gids++] = user->additional_gids[i];
}

int spec_process_build(SpecBuild *b, Err *err)
{
        const SpecInput *in = b->in;
        OciProcess *p = b->spec->process;

        p->args = process_args(in->config, in->image->config);
        if (!p->args[0])
                return err_set(
                        err, ERR_INVALID,
                        "no command: neither the request (command, args) nor image \"%.200s\" "
                        "(Entrypoint, Cmd) names one",
                        str_or(in->image->reference, ""));
        if (str_empty(p->args[0]))
                return err_set(err, ERR_INVALID, "the command's name is empty; set command[0]");
        p->cwd = process_cwd(in->config, in->image->config);
        p->terminal = in->config->tty;
        p->user.uid = in->user->uid;
        p->user.gid = in->user->gid;
        fill_groups(&p->user, in->user);
        p->no_new_privileges = b->security && b->security->no_new_privs;
        b->spec->root_path = xstrdup("rootfs");
        b->spec->root_readonly = b->security && b->security->readonly_rootfs;
        return 0;
}

static int add_sizes(char *const *list, const char *what, size_t *total, Err *err)
{
        for (size_t i = 0; list && list[i]; i++) {
                size_t n = strlen(list[i]) + 1;
                if (n > SPEC_STRING_MAX)
                        return err_set(
                                err, ERR_TOO_LARGE,
                                "%s \"%.50s...\" has %zu bytes; the kernel takes at most %zu: "
                                "put it into a file",
                                what, list[i], n, SPEC_STRING_MAX);
                *total += n + sizeof(char *);
        }
        return 0;
}

/* What execve() would refuse is better refused here, where it can be named. */
static int check_sizes(SpecBuild *b, Err *err)
{
        const OciProcess *p = b->spec->process;
        size_t total = 0;

        if (strv_len(p->args) > SPEC_ARGS_MAX || strv_len(p->env) > SPEC_ENV_MAX)
                return err_set(
                        err, ERR_TOO_LARGE,
                        "%zu arguments and %zu variables with the image's; at most %d and %d",
                        strv_len(p->args), strv_len(p->env), SPEC_ARGS_MAX, SPEC_ENV_MAX);
        int r = add_sizes(p->args, "argument", &total, err);
        if (r == 0)
                r = add_sizes(p->env, "variable", &total, err);
        if (r == 0 && total > SPEC_STRINGS_MAX)
                r = err_set(
                        err, ERR_TOO_LARGE,
                        "command, args and envs have %zu bytes together; the kernel takes at most "
                        "%zu: put large values into files",
                        total, SPEC_STRINGS_MAX);
        return r;
}

static void join_namespace(OciSpec *spec, OciNsType type, const char *path)
{
        spec->linux.namespaces[type].present = true;
        spec->linux.namespaces[type].path = xstrdup(path);
}

/* The pod decides between its own namespace and the host's; a container may only step aside into
 * one of its own or into another container's. So does containerd. */
static int pid_namespace(SpecBuild *b, Err *err)
{
        const SpecInput *in = b->in;
        const CriNamespaces *n = spec_request_namespaces(in->config);
        CriNamespaceMode mode = n ? n->pid : CRI_POD;

        if (mode == CRI_TARGET) {
                if (!in->target || str_empty(in->target->pid_path))
                        return err_set(
                                err, ERR_INVALID,
                                "linux.security_context.namespace_options.target_id: container "
                                "\"%.100s\" does not run in this pod",
                                str_or(n->target_id, ""));
                join_namespace(b->spec, OCI_NS_PID, in->target->pid_path);
        } else if (mode == CRI_CONTAINER)
                join_namespace(b->spec, OCI_NS_PID, NULL);
        else if (spec_request_pod_pid(in->pod->config) != CRI_NODE)
                join_namespace(b->spec, OCI_NS_PID, in->pod->pid_path);
        return 0;
}

int spec_namespaces_build(SpecBuild *b, Err *err)
{
        const SpecPod *pod = b->in->pod;
        int r = pid_namespace(b, err);
        if (r < 0)
                return r;
        if (pod->net_path)
                join_namespace(b->spec, OCI_NS_NETWORK, pod->net_path);
        if (pod->ipc_path)
                join_namespace(b->spec, OCI_NS_IPC, pod->ipc_path);
        if (pod->uts_path)
                join_namespace(b->spec, OCI_NS_UTS, pod->uts_path);
        join_namespace(b->spec, OCI_NS_MOUNT, NULL);
        /* On v1 the host's cgroup namespace is kept, as every engine does: the cgroup mount shows
         * the container's own folders there anyway. */
        if (b->in->node->cgroup_v2 && !b->privileged)
                join_namespace(b->spec, OCI_NS_CGROUP, NULL);
        return 0;
}

static int (*const build_steps[])(SpecBuild *b, Err *err) = {
        spec_process_build,
        spec_env_build,
        spec_namespaces_build,
        spec_userns_build,
        spec_mounts_build,
        spec_caps_build,
        spec_security_build,
        spec_seccomp_build,
        spec_devices_build,
        spec_resources_build,
        spec_annotations_build,
        spec_cdi_build, /* after what it may replace */
        check_sizes,
};

int spec_generate(const SpecInput *in, OciSpec **ret, char ***ret_notes, Err *err)
{
        tare_assert(in->config && in->image && in->user && in->pod && in->node);
        int r = spec_check_pod(in->node, in->pod->config, err);
        if (r == 0)
                r = spec_check_container(in->node, in->pod->config, in->config, err);
        if (r < 0)
                return r;
        _cleanup_(oci_spec_freep) OciSpec *spec = xnew(OciSpec);
        spec->oci_version = xstrdup(OCI_VERSION);
        spec->process = xnew(OciProcess);
        spec->linux.resources = xnew(OciResources);
        SpecBuild b = { .in = in,
                        .security = spec_request_security(in->config),
                        .privileged = spec_request_is_privileged(in->config),
                        .spec = spec };
        for (size_t i = 0; i < array_len(build_steps) && r == 0; i++)
                r = build_steps[i](&b, err);
        Err check = {};
        if (r == 0 && oci_spec_check(spec, &check) < 0)
                r = err_set(err, ERR_INTERNAL, "the generated config.json is not valid: %s",
                            check.msg);
        if (r == 0 && ret_notes)
                *ret_notes = take_ptr(b.notes);
        strv_free(b.notes);
        if (r < 0)
                return r;
        *ret = take_ptr(spec);
        return 0;
}

int spec_exec_process(const OciSpec *container, char *const *args, bool tty, OciProcess **ret,
                      Err *err)
{
        if (!args || str_empty(args[0]))
                return err_set(err, ERR_INVALID, "no command to run: cmd is empty");
        if (!container->process)
                return err_set(err, ERR_INVALID, "the container's config.json has no process");
        _cleanup_json_ Json *j = oci_process_to_json(container->process);
        _cleanup_(oci_process_freep) OciProcess *p = NULL;
        int r = oci_process_from_json(j, &p, err);
        if (r < 0)
                return err_wrap(err, r, "the container's process");
        strv_free(p->args);
        p->args = strv_dup(args);
        p->terminal = tty;
        p->has_console_size = false;
        p->console_width = p->console_height = 0;
        if (tty && !strv_env_get(p->env, "TERM"))
                strv_env_set(&p->env, "TERM", "xterm");
        *ret = take_ptr(p);
        return 0;
}
