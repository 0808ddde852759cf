/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-checkpoint.c - the commands checkpoint and restore. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/checkpoint.h"
#include "runtime/cli.h"

#define DEFAULT_IMAGES "checkpoint" /* in the working folder */

/* What checkpoint and restore have in common. */
#define SHARED_OPTIONS 11

static void add_shared(CheckpointOptions *o, CliOption *ret)
{
        const CliOption options[SHARED_OPTIONS] = {
                { "image-path", 0, CLI_STR, &o->image_path, "folder of the images", "DIR" },
                { "work-path", 0, CLI_STR, &o->work_path, "folder of criu's logs", "DIR" },
                { "tcp-established", 0, CLI_BOOL, &o->tcp_established, "connections that are open",
                  NULL },
                { "tcp-close", 0, CLI_BOOL, &o->tcp_close, "connections end with the checkpoint",
                  NULL },
                { "ext-unix-sk", 0, CLI_BOOL, &o->ext_unix_sk, "unix sockets of others", NULL },
                { "shell-job", 0, CLI_BOOL, &o->shell_job, "a session of others", NULL },
                { "file-locks", 0, CLI_BOOL, &o->file_locks, "file locks", NULL },
                { "manage-cgroups-mode", 0, CLI_STR, &o->cgroups_mode, "how criu treats cgroups",
                  "soft|full|strict|ignore" },
                { "empty-ns", 0, CLI_STRV, &o->empty_ns, "without its content", "network" },
                { "auto-dedup", 0, CLI_BOOL, &o->auto_dedup, "each page once", NULL },
                { "lazy-pages", 0, CLI_BOOL, &o->lazy_pages, "memory when it is needed", NULL },
        };

        memcpy(ret, options, sizeof(options));
}

int cmd_checkpoint(const Cli *cli, int argc, char **argv, Err *err)
{
        CheckpointOptions o = { .image_path = DEFAULT_IMAGES, .status_fd = -EBADF };
        const char *id, *status = NULL;
        uint32_t status_fd;
        CliOption options[SHARED_OPTIONS + 7] = {
                { "parent-path", 0, CLI_STR, &o.parent_path, "images of a pre-dump", "DIR" },
                { "leave-running", 0, CLI_BOOL, &o.leave_running, "do not end the container" },
                { "tcp-skip-in-flight", 0, CLI_BOOL, &o.tcp_skip_in_flight,
                  "drop connections that are not yet open" },
                { "link-remap", 0, CLI_BOOL, &o.link_remap, "files that were unlinked" },
                { "page-server", 0, CLI_STR, &o.page_server, "who takes the memory",
                  "ADDRESS:PORT" },
                { "pre-dump", 0, CLI_BOOL, &o.pre_dump, "only the memory, as a parent for later" },
                { "status-fd", 0, CLI_STR, &status, "told when lazy pages can be had", "N" },
        };

        add_shared(&o, options + 7);
        int r = cli_parse_id(options, array_len(options), argc, argv, &id, err);
        if (r == 0 && !str_empty(status) && !str_eq(status, "-1")) {
                if (str_to_u32(status, &status_fd) < 0 || status_fd > 1U << 20)
                        r = err_set(err, ERR_INVALID, "--status-fd: '%s' is not a descriptor",
                                    status);
                else
                        o.status_fd = (int)status_fd;
        }
        if (r == 0)
                r = runtime_checkpoint(&cli->ctx, id, &o, err);
        strv_free(o.empty_ns);
        if (r < 0 || o.leave_running || o.pre_dump)
                return r;
        Err e;
        if (runtime_delete(&cli->ctx, id, true, &e) < 0)
                log_warning("id=%s delete: %s, ignoring", id, e.msg);
        return 0;
}

/* The init is in our hands until it ends, and then deleted. */
static int foreground(const Cli *cli, RuntimeCreate *c, const CheckpointOptions *o, bool reap,
                      Err *err)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        _cleanup_free_ char *text = NULL;
        RuntimeProcess p = { .pidfd = -EBADF };
        Foreground *f = NULL;
        bool terminal = false;

        int r = cli_read_spec(c->bundle, &spec, &text, &terminal, err);
        if (r < 0)
                return r;
        c->spec = spec;
        c->spec_text = text;
        r = foreground_open(terminal && !c->console_socket, reap, &f, &c->console_fd, err);
        if (r == 0)
                r = runtime_restore(&cli->ctx, c, o, &p, err);
        c->console_fd = fd_close(c->console_fd);
        if (r == 0) {
                r = foreground_wait(f, &p, err);
                Err e;
                if (runtime_delete(&cli->ctx, c->id, true, &e) < 0)
                        log_warning("id=%s delete: %s, ignoring", c->id, e.msg);
        }
        foreground_close(f);
        fd_close(p.pidfd);
        return r;
}

int cmd_restore(const Cli *cli, int argc, char **argv, Err *err)
{
        CheckpointOptions o = { .image_path = DEFAULT_IMAGES, .status_fd = -EBADF };
        RuntimeCreate c = RUNTIME_CREATE_INIT;
        RuntimeProcess p = { .pidfd = -EBADF };
        bool detach = false, no_subreaper = false, ignored;
        CliOption options[SHARED_OPTIONS + 8] = {
                { "bundle", 'b', CLI_STR, &c.bundle, "folder with config.json", "DIR" },
                { "console-socket", 0, CLI_STR, &c.console_socket, "takes the terminal", "PATH" },
                { "pid-file", 0, CLI_STR, &c.pid_file, "where to write the pid", "FILE" },
                { "detach", 'd', CLI_BOOL, &detach, "do not wait for it" },
                { "lsm-profile", 0, CLI_STR, &o.lsm_profile, "instead of the images'",
                  "TYPE:NAME" },
                { "lsm-mount-context", 0, CLI_STR, &o.lsm_mount_context, "instead of the images'",
                  "CONTEXT" },
                { "no-pivot", 0, CLI_BOOL, &ignored, "no effect" },
                { "no-subreaper", 0, CLI_BOOL, &no_subreaper, "do not reap its orphans", NULL },
        };

        add_shared(&o, options + 8);
        int r = cli_parse_id(options, array_len(options), argc, argv, &c.id, err);
        if (r == 0 && !detach)
                r = foreground(cli, &c, &o, !no_subreaper, err);
        else if (r == 0)
                r = runtime_restore(&cli->ctx, &c, &o, &p, err);
        if (detach)
                fd_close(p.pidfd);
        strv_free(o.empty_ns);
        return r;
}
