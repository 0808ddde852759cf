/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint-request.c - the options of checkpoint and restore as criu's. Runs in the caller's
 * process. */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "runtime/checkpoint-internal.h"

#define LOG_LEVEL   4                     /* all that criu says */
#define CONFIG_FILE "/etc/criu/runc.conf" /* criu does without when it is missing */

static const struct {
        const char *name;
        Criu__CgroupsMode mode;
} cgroups_modes[] = {
        { "soft", CRIU__CGROUPS_MODE__SOFT },
        { "full", CRIU__CGROUPS_MODE__FULL },
        { "strict", CRIU__CGROUPS_MODE__STRICT },
        { "ignore", CRIU__CGROUPS_MODE__IGNORE },
};

static const char *const ns_keys[_OCI_NS_MAX] = {
        [OCI_NS_NETWORK] = "extRootNetNS",
        [OCI_NS_PID] = "extRootPidNS",
};

const char *checkpoint_ns_key(OciNsType type)
{
        return ns_keys[type];
}

void checkpoint_request_init(CheckpointRequest *q, Criu__Type type)
{
        *q = (CheckpointRequest){
                .request = CRIU__REQUEST__INIT,
                .opts = CRIU__OPTIONS__INIT,
                .page_server = CRIU__PAGE_SERVER__INIT,
                .cgroup_root = CRIU__CGROUP_ROOT__INIT,
                .image_fd = -EBADF,
                .work_fd = -EBADF,
        };
        q->request.type = type;
        q->request.opts = &q->opts;
}

void checkpoint_request_done(CheckpointRequest *q)
{
        strv_free(q->external);
        free(q->address);
        free(q->image_path);
        free(q->log_dir);
        q->image_fd = fd_close(q->image_fd);
        q->work_fd = fd_close(q->work_fd);
}

static int open_folder(const char *option, const char *path, bool make, int *ret_fd, char **ret,
                       Err *err)
{
        if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
                return err_sys(err, errno, "--%s: make folder '%s'", option, path);
        *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*ret_fd < 0)
                return err_sys(err, errno, "--%s: open folder '%s'", option, path);
        free(*ret);
        *ret = realpath(path, NULL);
        return *ret ? 0 : err_sys(err, errno, "--%s: find folder '%s'", option, path);
}

static int fill_cgroups_mode(CheckpointRequest *q, const char *name, Err *err)
{
        q->opts.has_manage_cgroups = q->opts.manage_cgroups = true;
        q->opts.has_manage_cgroups_mode = true;
        q->opts.manage_cgroups_mode = CRIU__CGROUPS_MODE__DEFAULT;
        if (str_empty(name))
                return 0;
        for (size_t i = 0; i < array_len(cgroups_modes); i++) {
                if (!str_eq(cgroups_modes[i].name, name))
                        continue;
                q->opts.manage_cgroups_mode = cgroups_modes[i].mode;
                return 0;
        }
        return err_set(err, ERR_INVALID,
                       "--manage-cgroups-mode: '%s' is none of soft, full, strict, ignore", name);
}

/* The port is after the last colon; an IPv6 address may be in brackets. */
static int fill_page_server(CheckpointRequest *q, const char *text, Err *err)
{
        uint32_t port = 0;

        if (str_empty(text))
                return 0;
        const char *colon = strrchr(text, ':');
        if (!colon || colon == text || str_to_u32(colon + 1, &port) < 0 || port == 0 ||
            port > 65535)
                return err_set(err, ERR_INVALID, "--page-server: '%s' is not ADDRESS:PORT", text);
        bool brackets = text[0] == '[' && colon[-1] == ']';
        q->address = brackets ? xstrndup(text + 1, (size_t)(colon - text) - 2)
                              : xstrndup(text, (size_t)(colon - text));
        q->page_server.address = q->address;
        q->page_server.has_port = true;
        q->page_server.port = (int32_t)port;
        q->opts.ps = &q->page_server;
        return 0;
}

static int fill_empty_ns(CheckpointRequest *q, char *const *names, Err *err)
{
        q->opts.has_empty_ns = names != NULL;
        for (; names && *names; names++) {
                if (!str_eq(*names, "network"))
                        return err_set(err, ERR_INVALID,
                                       "--empty-ns: '%s' cannot be left empty; only network can",
                                       *names);
                q->opts.empty_ns |= CLONE_NEWNET;
        }
        return 0;
}

static void fill_flags(CheckpointRequest *q, const CheckpointOptions *o)
{
        Criu__Options *c = &q->opts;
        const struct {
                bool value;
                protobuf_c_boolean *has, *ret;
        } flags[] = {
                { o->leave_running, &c->has_leave_running, &c->leave_running },
                { o->tcp_established, &c->has_tcp_established, &c->tcp_established },
                { o->tcp_close, &c->has_tcp_close, &c->tcp_close },
                { o->tcp_skip_in_flight, &c->has_tcp_skip_in_flight, &c->tcp_skip_in_flight },
                { o->link_remap, &c->has_link_remap, &c->link_remap },
                { o->ext_unix_sk, &c->has_ext_unix_sk, &c->ext_unix_sk },
                { o->shell_job, &c->has_shell_job, &c->shell_job },
                { o->file_locks, &c->has_file_locks, &c->file_locks },
                { o->lazy_pages, &c->has_lazy_pages, &c->lazy_pages },
                { o->auto_dedup, &c->has_auto_dedup, &c->auto_dedup },
                { true, &c->has_notify_scripts, &c->notify_scripts },
                { true, &c->has_orphan_pts_master, &c->orphan_pts_master },
        };

        for (size_t i = 0; i < array_len(flags); i++)
                *flags[i].has = *flags[i].ret = flags[i].value;
}

int checkpoint_request_fill(CheckpointRequest *q, const CheckpointOptions *o, const char *log_file,
                            bool make, Err *err)
{
        int r = open_folder("image-path", o->image_path, make, &q->image_fd, &q->image_path, err);

        if (r == 0 && o->work_path)
                r = open_folder("work-path", o->work_path, true, &q->work_fd, &q->log_dir, err);
        else if (r == 0)
                q->log_dir = xstrdup(q->image_path);
        if (r == 0)
                r = fill_cgroups_mode(q, o->cgroups_mode, err);
        if (r == 0)
                r = fill_page_server(q, o->page_server, err);
        if (r == 0)
                r = fill_empty_ns(q, o->empty_ns, err);
        if (r < 0)
                return r;
        fill_flags(q, o);
        q->opts.images_dir_fd = CRIU_IMAGE_FD;
        q->opts.has_work_dir_fd = true;
        q->opts.work_dir_fd = CRIU_WORK_FD;
        q->opts.has_log_level = true;
        q->opts.log_level = LOG_LEVEL;
        q->opts.log_file = (char *)log_file;
        q->opts.config_file = (char *)CONFIG_FILE;
        return 0;
}

void checkpoint_request_inherit(CheckpointRequest *q, const char *key, int fd)
{
        size_t i = q->opts.n_inherit_fd;

        tare_assert(i < CHECKPOINT_FDS_MAX);
        snprintf(q->keys[i], sizeof(q->keys[i]), "%s", key);
        q->inherit[i] = (Criu__InheritFd)CRIU__INHERIT_FD__INIT;
        q->inherit[i].key = q->keys[i];
        q->inherit[i].fd = fd;
        q->opts.n_inherit_fd++;
}

void checkpoint_request_close(CheckpointRequest *q)
{
        for (size_t i = 0; i < q->opts.n_inherit_fd; i++)
                q->inherited[i] = &q->inherit[i];
        for (size_t i = 0; i < q->opts.n_join_ns; i++)
                q->joined[i] = &q->join[i];
        q->cgroup_roots[0] = &q->cgroup_root;
        q->opts.inherit_fd = q->inherited;
        q->opts.join_ns = q->joined;
        q->opts.cg_root = q->cgroup_roots;
        q->opts.n_cg_root = q->cgroup_root.path ? 1 : 0;
        q->opts.external = q->external;
        q->opts.n_external = strv_len(q->external);
}
