/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - see record-internal.h. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "runtime/record-internal.h"
#include "runtime/state.h"

/* A checkpoint tells the pipes of whoever made the container from the container's own. */
static char **stdio_pipes(const Setup *s)
{
        char **names = NULL;
        bool any = false;

        for (int i = 0; i < 3; i++) {
                int fd = s->stdio[i] >= 0 ? s->stdio[i] : i;
                char link[32], name[64] = "";
                struct stat st;
                if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
                        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
                        ssize_t n = readlink(link, name, sizeof(name) - 1);
                        name[n > 0 ? n : 0] = 0;
                }
                bool pipe = str_skip_prefix(name, "pipe:[");
                strv_push(&names, pipe ? name : "");
                any = any || pipe;
        }
        if (!any)
                strv_free(take_ptr(names));
        return names;
}

static void fill_state(const Setup *s, State *st)
{
        const OciHooks *h = &s->spec->hooks;

        *st = (State){
                .id = xstrdup(s->id),
                .bundle = xstrdup(s->bundle),
                .rootfs = xstrdup(s->rootfs),
                .created = xstrdup(s->created),
                .owner = geteuid() == 0 ? xstrdup("root") : xasprintf("%u", geteuid()),
                .cgroup = s->cgroup ? xstrdup(cgroup_path(s->cgroup)) : NULL,
                .rdt = rdt_plan_leaves(&s->rdt),
                .boot_id = xstrdup(clock_boot_id()),
                .systemd_cgroup = s->ctx->systemd_cgroup,
                .hooks = h->poststart.n + h->poststop.n > 0,
                .pid = s->pid,
                .start_time = s->start_time,
                .annotations = state_annotations(s->spec),
        };
}

int record_write_intent(Setup *s, Err *err)
{
        _cleanup_(state_done) State st = { 0 };

        fill_state(s, &st);
        return state_write_intent(s->dir_fd, &st, err);
}

int record_write_config(const Setup *s, Err *err)
{
        _cleanup_free_ char *text = NULL;

        const char *t = s->config_text ? s->config_text : s->create->spec_text;

        if (!t) {
                _cleanup_json_ Json *j = oci_spec_to_json(s->spec);
                t = text = json_print(j);
        }
        /* nobody looks at it before state.json is there: no need for a rename */
        _cleanup_close_ int fd = openat(s->dir_fd, "config.json",
                                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        int r = fd < 0 ? -errno : io_write_full(fd, t, strlen(t));
        return r < 0 ? err_sys(err, -r, "keep config.json") : 0;
}

int record_read_config(Setup *s, OciSpec **ret, Err *err)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        _cleanup_free_ char *path = xasprintf("%s/config.json", s->bundle);
        int r = io_read_file(AT_FDCWD, path, JSON_CONFIG_MAX, &text);

        if (r < 0)
                return err_sys(err, -r, "read '%s'", path);
        r = oci_spec_parse(text.data, text.len, ret, err);
        if (r < 0)
                return err_wrap(err, r, "config.json");
        s->config_text = strbuf_take(&text);
        return 0;
}

int record_write_whole(Setup *s, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        char when[40];

        clock_format_rfc3339(clock_real_ns(), when, sizeof(when));
        str_assign(&s->created, when);
        if (s->dir_fd < 0)
                return 0;
        fill_state(s, &st);
        if (s->process && !s->process->terminal)
                st.stdio = stdio_pipes(s);
        return state_write_intent(s->dir_fd, &st, err);
}

int record_complete(Setup *s, Err *err)
{
        int r = record_write_whole(s, err);

        return r < 0 || s->dir_fd < 0 ? r : state_rename(s->dir_fd, s->id, err);
}
