/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-exec.c - the command exec. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "runtime/cli.h"
#include "runtime/state.h"
#include "sys/pidfd.h"

typedef struct ExecOptions {
        const char *console_socket, *pidfd_socket, *cwd, *user, *process, *pid_file, *label,
                *apparmor;
        char **env, **gids, **caps, **cgroups;
        bool tty, detach, no_new_privs, ignore_paused;
        unsigned preserve_fds;
} ExecOptions;

static int set_user(OciUser *u, const char *text, Err *err)
{
        const char *colon = strchr(text, ':');
        _cleanup_free_ char *uid = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);

        if (str_to_u32(uid, &u->uid) < 0 || (colon && str_to_u32(colon + 1, &u->gid) < 0))
                return err_set(err, ERR_INVALID, "--user: '%s' is not UID or UID:GID, in numbers",
                               text);
        return 0;
}

static int set_gids(OciUser *u, char *const *gids, Err *err)
{
        size_t n = strv_len(gids);

        if (n == 0)
                return 0;
        u->additional_gids =
                xrealloc(u->additional_gids, (u->n_additional_gids + n) * sizeof(uint32_t));
        for (size_t i = 0; i < n; i++) {
                uint32_t *gid = &u->additional_gids[u->n_additional_gids];
                if (str_to_u32(gids[i], gid) < 0)
                        return err_set(err, ERR_INVALID, "--additional-gids: '%s' is not a number",
                                       gids[i]);
                u->n_additional_gids++;
        }
        return 0;
}

static void add_caps(OciCapabilities *c, char *const *caps)
{
        char ***const sets[] = { &c->bounding, &c->effective, &c->permitted };

        for (char *const *cap = caps; cap && *cap; cap++)
                for (size_t i = 0; i < array_len(sets); i++)
                        if (!strv_contains(*sets[i], *cap))
                                strv_push(sets[i], *cap);
        if (caps)
                c->present = true;
}

/* The container's own process, changed by the options. */
static int edit_process(OciProcess *p, const ExecOptions *o, char **args, Err *err)
{
        strv_free(p->args);
        p->args = strv_dup(args);
        p->terminal = o->tty;
        if (o->cwd)
                str_assign(&p->cwd, o->cwd);
        if (o->label)
                str_assign(&p->selinux_label, o->label);
        if (o->apparmor)
                str_assign(&p->apparmor_profile, o->apparmor);
        if (o->no_new_privs)
                p->no_new_privileges = true;
        for (char **e = o->env; e && *e; e++) {
                const char *eq = strchr(*e, '=');
                if (!eq || eq == *e)
                        return err_set(err, ERR_INVALID, "--env: '%s' is not NAME=VALUE", *e);
                _cleanup_free_ char *name = xstrndup(*e, (size_t)(eq - *e));
                strv_env_set(&p->env, name, eq + 1);
        }
        add_caps(&p->capabilities, o->caps);
        int r = o->user ? set_user(&p->user, o->user, err) : 0;
        return r < 0 ? r : set_gids(&p->user, o->gids, err);
}

/* *ret_spec: the container's, without its process; NULL: nobody has read it. */
static int make_process(const Cli *cli, const char *id, const ExecOptions *o, char **args,
                        OciProcess **ret, OciSpec **ret_spec, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        _cleanup_json_ Json *j = NULL;

        if (o->process) {
                int r = json_read_file(AT_FDCWD, o->process, &j, err);
                if (r >= 0)
                        r = oci_process_from_json(j, ret, err);
                return err_wrap(err, r, "--process '%s'", o->process);
        }
        if (!args[0])
                return err_set(err, ERR_INVALID, "exec: needs the command to run, or --process");
        int r = state_read_spec(&cli->ctx, id, &spec, err);
        if (r < 0)
                return r;
        if (!spec->process)
                return err_set(err, ERR_INVALID,
                               "container '%s' has no process to take the rest from; use --process",
                               id);
        *ret = take_ptr(spec->process);
        *ret_spec = take_ptr(spec);
        return edit_process(*ret, o, args, err);
}

static int exec_process(const Cli *cli, const ExecOptions *o, const RuntimeExec *x,
                        RuntimeProcess *ret, Err *err)
{
        int r = runtime_exec(&cli->ctx, x, ret, err);

        if (r == 0)
                r = cli_send_pidfd(o->pidfd_socket, ret->pidfd, "setns", err);
        if (r < 0 && ret->pidfd >= 0) /* nobody would know it */
                (void)pidfd_kill(ret->pidfd, SIGKILL);
        return r;
}

static int run(const Cli *cli, const ExecOptions *o, RuntimeExec *x, Err *err)
{
        RuntimeProcess p = { .pidfd = -EBADF };
        Foreground *f = NULL;

        if (o->detach)
                return exec_process(cli, o, x, &p, err);
        bool carry = x->process->terminal && !o->console_socket;
        int r = foreground_open(carry, false, &f, &x->console_fd, err);
        if (r == 0)
                r = exec_process(cli, o, x, &p, err);
        x->console_fd = fd_close(x->console_fd);
        if (r == 0)
                r = foreground_wait(f, &p, err);
        foreground_close(f);
        fd_close(p.pidfd);
        return r;
}

int cmd_exec(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_(oci_process_freep) OciProcess *process = NULL;
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        ExecOptions o = { 0 };
        RuntimeExec x = RUNTIME_EXEC_INIT;
        const CliOption options[] = {
                { "console-socket", 0, CLI_STR, &o.console_socket, "takes the terminal", "PATH" },
                { "pidfd-socket", 0, CLI_STR, &o.pidfd_socket, "takes the process's pidfd",
                  "PATH" },
                { "cwd", 0, CLI_STR, &o.cwd, "working folder", "DIR" },
                { "env", 'e', CLI_STRV, &o.env, "set in its environment", "NAME=VALUE" },
                { "tty", 't', CLI_BOOL, &o.tty, "with a terminal" },
                { "user", 'u', CLI_STR, &o.user, "who it runs as", "UID[:GID]" },
                { "additional-gids", 'g', CLI_STRV, &o.gids, "another group", "GID" },
                { "process", 'p', CLI_STR, &o.process, "file with a process as JSON", "FILE" },
                { "detach", 'd', CLI_BOOL, &o.detach, "do not wait for it" },
                { "pid-file", 0, CLI_STR, &o.pid_file, "where to write the pid", "FILE" },
                { "process-label", 0, CLI_STR, &o.label, "SELinux label", "LABEL" },
                { "apparmor", 0, CLI_STR, &o.apparmor, "AppArmor profile", "PROFILE" },
                { "no-new-privs", 0, CLI_BOOL, &o.no_new_privs, "no new privileges" },
                { "cap", 'c', CLI_STRV, &o.caps, "another capability", "CAP" },
                { "preserve-fds", 0, CLI_U32, &o.preserve_fds, "descriptors from 3 on to keep",
                  "N" },
                { "cgroup", 0, CLI_STRV, &o.cgroups,
                  "a cgroup below the container's, of these controllers or of all",
                  "[CONTROLLER,...:]PATH" },
                { "ignore-paused", 0, CLI_BOOL, &o.ignore_paused, "also when it is paused" },
        };

        int i = cli_parse(options, array_len(options), argc, argv, err);
        if (i >= 0 && i == argc)
                i = err_set(err, ERR_INVALID, "exec: needs the container's id");
        int r = i < 0 ? i : 0;
        if (r == 0)
                r = make_process(cli, argv[i], &o, argv + i + 1, &process, &spec, err);
        if (r == 0)
                r = cli_preserve_fds(o.preserve_fds, &x.preserve_fds, err);
        if (r == 0) {
                x.id = argv[i];
                x.spec = spec;
                x.process = process;
                x.cgroups = o.cgroups;
                x.console_socket = o.console_socket;
                x.pid_file = o.pid_file;
                x.ignore_paused = o.ignore_paused;
                r = run(cli, &o, &x, err);
        }
        strv_free(o.env);
        strv_free(o.gids);
        strv_free(o.caps);
        strv_free(o.cgroups);
        return i < 0 && i != -ECANCELED ? EXIT_FAILURE : r; /* 255 is for what the words meant */
}
