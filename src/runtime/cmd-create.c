/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-create.c - the commands create, run, start. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/cli.h"

typedef struct CreateOptions {
        const char *bundle, *console_socket, *pidfd_socket, *pid_file;
        bool no_pivot, no_new_keyring, detach, keep, no_subreaper;
        unsigned preserve_fds;
} CreateOptions;

/* What create and run have in common. */
#define SHARED_OPTIONS 7

static void add_shared(CreateOptions *o, CliOption *ret)
{
        const CliOption options[SHARED_OPTIONS] = {
                { "bundle", 'b', CLI_STR, &o->bundle, "folder with config.json", "DIR" },
                { "console-socket", 0, CLI_STR, &o->console_socket, "takes the terminal", "PATH" },
                { "pidfd-socket", 0, CLI_STR, &o->pidfd_socket, "takes the init's pidfd", "PATH" },
                { "pid-file", 0, CLI_STR, &o->pid_file, "where to write the pid", "FILE" },
                { "no-pivot", 0, CLI_BOOL, &o->no_pivot, "chroot instead of pivot_root", NULL },
                { "no-new-keyring", 0, CLI_BOOL, &o->no_new_keyring, "keep the session keyring",
                  NULL },
                { "preserve-fds", 0, CLI_U32, &o->preserve_fds, "descriptors from 3 on to keep",
                  "N" },
        };

        memcpy(ret, options, sizeof(options));
}

static int fill(const CreateOptions *o, const char *id, RuntimeCreate *c, Err *err)
{
        *c = (RuntimeCreate)RUNTIME_CREATE_INIT;
        c->id = id;
        c->bundle = o->bundle;
        c->console_socket = o->console_socket;
        c->pid_file = o->pid_file;
        c->no_pivot = o->no_pivot;
        c->no_new_keyring = o->no_new_keyring;
        return cli_preserve_fds(o->preserve_fds, &c->preserve_fds, err);
}

static int create(const Cli *cli, const CreateOptions *o, const RuntimeCreate *c, RuntimeProcess *p,
                  Err *err)
{
        int r = runtime_create(&cli->ctx, c, p, err);

        if (r < 0)
                return r;
        r = cli_send_pidfd(o->pidfd_socket, p->pidfd, "standard", err);
        if (r < 0) {
                Err ignored;
                (void)runtime_delete(&cli->ctx, c->id, true, &ignored); /* the first error counts */
        }
        return r;
}

int cmd_create(const Cli *cli, int argc, char **argv, Err *err)
{
        CreateOptions o = { 0 };
        RuntimeProcess p = { .pidfd = -EBADF };
        RuntimeCreate c;
        const char *id;
        CliOption options[SHARED_OPTIONS];

        add_shared(&o, options);
        int r = cli_parse_id(options, array_len(options), argc, argv, &id, err);
        if (r == 0)
                r = fill(&o, id, &c, err);
        return r < 0 ? r : create(cli, &o, &c, &p, err);
}

int cmd_start(const Cli *cli, int argc, char **argv, Err *err)
{
        const char *id;
        int r = cli_parse_id(NULL, 0, argc, argv, &id, err);

        return r < 0 ? r : runtime_start(&cli->ctx, id, err);
}

int cli_read_spec(const char *bundle, OciSpec **ret, char **ret_text, bool *ret_terminal, Err *err)
{
        _cleanup_free_ char *path = xasprintf("%s/config.json", str_or(bundle, "."));
        int r = oci_spec_read_text(AT_FDCWD, path, ret, ret_text, err);

        *ret_terminal = r == 0 && (*ret)->process && (*ret)->process->terminal;
        return r;
}

static int run_foreground(const Cli *cli, const CreateOptions *o, RuntimeCreate *c, Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        _cleanup_free_ char *text = NULL;
        RuntimeProcess p = { .pidfd = -EBADF };
        Foreground *f = NULL;
        bool terminal = false;

        int r = cli_read_spec(o->bundle, &spec, &text, &terminal, err);
        if (r < 0)
                return r;
        c->spec = spec;
        c->spec_text = text;
        bool carry = terminal && !o->console_socket;
        r = foreground_open(carry, !o->no_subreaper, &f, &c->console_fd, err);
        if (r == 0)
                r = create(cli, o, c, &p, err);
        c->console_fd = fd_close(c->console_fd);
        if (r == 0) {
                r = foreground_wait(f, &p, err);
                Err e;
                if (!o->keep && runtime_delete(&cli->ctx, c->id, true, &e) < 0) {
                        log_warning("id=%s delete: %s, ignoring", c->id, e.msg);
                }
        }
        foreground_close(f);
        fd_close(p.pidfd);
        return r;
}

int cmd_run(const Cli *cli, int argc, char **argv, Err *err)
{
        CreateOptions o = { 0 };
        RuntimeProcess p = { .pidfd = -EBADF };
        RuntimeCreate c;
        const char *id;
        CliOption options[SHARED_OPTIONS + 3] = {
                { "detach", 'd', CLI_BOOL, &o.detach, "do not wait for it", NULL },
                { "keep", 0, CLI_BOOL, &o.keep, "do not delete it when it ends", NULL },
                { "no-subreaper", 0, CLI_BOOL, &o.no_subreaper, "do not reap its orphans", NULL },
        };

        add_shared(&o, options + 3);
        int r = cli_parse_id(options, array_len(options), argc, argv, &id, err);
        if (r == 0)
                r = fill(&o, id, &c, err);
        if (r < 0)
                return r;
        c.run_now = true;
        return o.detach ? create(cli, &o, &c, &p, err) : run_foreground(cli, &o, &c, err);
}
