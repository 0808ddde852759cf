/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-events.c - the command events: a JSON line now and then with what the container uses, and one
 * when it has run out of memory, until its init has ended.
 *
 * Out of memory: version 1 has an eventfd for it (cgroup-v1/memory.rst, "OOM Control"), version 2
 * changes memory.events. The kernel may tell late: with the init gone, one more look is taken. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "runtime/cgroups.h"
#include "runtime/cli.h"
#include "runtime/rdt.h"
#include "runtime/state.h"
#include "runtime/stats.h"

#define DEFAULT_INTERVAL "5s"

typedef struct Events {
        const char *id;
        Cgroup *cgroup;
        char *group, *monitor; /* folders of resctrl; NULL: none */
        int oom_fd;            /* eventfd, or inotify; -EBADF: there is no memory controller */
        bool v2;
        uint64_t kills; /* version 2: as they were last told */
} Events;

/* "1m30s", "500ms": as Go writes them. */
static int parse_interval(const char *text, uint64_t *ret_ns)
{
        static const struct {
                const char *unit;
                uint64_t ns;
        } units[] = { { "ns", 1 },       { "us", NS_PER_US },    { "ms", NS_PER_MS },
                      { "s", NS_PER_S }, { "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S } };
        uint64_t total = 0;

        for (const char *p = text; *p;) {
                size_t digits = strspn(p, "0123456789"),
                       letters = strcspn(p + digits, "0123456789");
                _cleanup_free_ char *number = xstrndup(p, digits);
                _cleanup_free_ char *unit = xstrndup(p + digits, letters);
                uint64_t n, ns = 0;
                for (size_t i = 0; i < array_len(units); i++)
                        if (str_eq(units[i].unit, unit))
                                ns = units[i].ns;
                if (str_to_u64(number, &n) < 0 || ns == 0 || n > INT64_MAX / ns)
                        return -EINVAL;
                total += n * ns;
                p += digits + letters;
        }
        *ret_ns = total;
        return total > 0 && total <= INT64_MAX ? 0 : -EINVAL;
}

/* Takes data. A line that nobody reads any more ends the command. */
static int print_event(const char *type, const char *id, Json *data, Err *err)
{
        _cleanup_json_ Json *j = json_object_new_object();

        json_add_str(j, "type", type);
        json_add_str(j, "id", id);
        if (data)
                json_object_object_add(j, "data", data);
        puts(json_object_to_json_string_ext(j, JSON_C_TO_STRING_PLAIN));
        return fflush(stdout) == EOF ? err_sys(err, errno, "print an event") : 0;
}

/* -- out of memory ----------------------------------------------------------------------------- */

static int watch_v1(Events *e, Err *err)
{
        char text[32];

        _cleanup_close_ int dir = cgroup_open_dir(e->cgroup, "memory");
        _cleanup_close_ int control =
                dir < 0 ? dir : openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (control < 0 || fd < 0)
                return err_sys(err, errno, "watch the memory of cgroup '%s'",
                               cgroup_path(e->cgroup));
        snprintf(text, sizeof(text), "%d %d", fd, control);
        int r = io_write_file(dir, "cgroup.event_control", text);
        if (r < 0)
                return err_sys(err, -r, "watch the memory of cgroup '%s'", cgroup_path(e->cgroup));
        e->oom_fd = take_fd(fd);
        return 0;
}

static uint64_t count_kills(const Events *e)
{
        uint64_t n = 0;

        (void)cgroup_read_key(e->cgroup, "memory", "memory.events", "oom_kill", &n);
        return n;
}

static int watch_v2(Events *e, Err *err)
{
        char path[64];

        _cleanup_close_ int dir = cgroup_open_dir(e->cgroup, "memory");
        _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        snprintf(path, sizeof(path), "/proc/self/fd/%d/memory.events", dir);
        if (dir < 0 || fd < 0 || inotify_add_watch(fd, path, IN_MODIFY) < 0)
                return err_sys(err, dir < 0 ? -dir : errno, "watch memory.events of cgroup '%s'",
                               cgroup_path(e->cgroup));
        e->kills = count_kills(e);
        e->oom_fd = take_fd(fd);
        return 0;
}

static int watch_memory(Events *e, Err *err)
{
        e->oom_fd = -EBADF;
        if (!cgroup_has_controller("memory"))
                return 0;
        e->v2 = cgroup_controller_is_v2("memory");
        return e->v2 ? watch_v2(e, err) : watch_v1(e, err);
}

static int tell_oom(Events *e, Err *err)
{
        char buf[4096];
        ssize_t n = e->oom_fd < 0 ? -1 : read(e->oom_fd, buf, sizeof(buf));

        if (!e->v2) /* the removal of the cgroup is told the same way */
                return n > 0 && cgroup_exists(e->cgroup) ? print_event("oom", e->id, NULL, err) : 0;
        uint64_t kills = count_kills(e);
        if (kills <= e->kills)
                return 0;
        e->kills = kills;
        return print_event("oom", e->id, NULL, err);
}

/* -- statistics --------------------------------------------------------------------------------
 */

/* A record of which config.json cannot be read has no group. */
static void find_group(const Cli *cli, const State *st, Events *e)
{
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;

        if (state_read_spec(&cli->ctx, st->id, &spec, NULL) < 0)
                return;
        e->group = rdt_group(&spec->linux.intel_rdt, st->id, st->rdt);
        if (e->group && spec->linux.intel_rdt.enable_monitoring)
                e->monitor = xasprintf("%s/mon_groups/%s", e->group, st->id);
}

static int print_stats(const Events *e, Err *err)
{
        Json *data = stats_read(e->cgroup);

        json_object_object_add(data, "intel_rdt", stats_read_rdt(RDT_ROOT, e->group, e->monitor));
        return print_event("stats", e->id, data, err);
}

/* -- the command ------------------------------------------------------------------------------- */

static int watch(Events *e, int pidfd, uint64_t interval, Err *err)
{
        uint64_t next = clock_mono_ns() + interval;

        for (;;) {
                struct pollfd fds[] = { { .fd = pidfd, .events = POLLIN },
                                        { .fd = e->oom_fd, .events = POLLIN } };
                uint64_t now = clock_mono_ns();
                uint64_t ms = now >= next ? 0 : (next - now) / NS_PER_MS + 1;
                int n = poll(fds, 2, ms > INT32_MAX ? INT32_MAX : (int)ms);
                if (n < 0 && errno != EINTR)
                        return err_sys(err, errno, "wait for events");
                int r = n > 0 ? tell_oom(e, err) : 0;
                if (r < 0 || (n > 0 && fds[0].revents))
                        return r;
                if (clock_mono_ns() < next)
                        continue;
                next += interval;
                r = print_stats(e, err);
                if (r < 0)
                        return r;
        }
}

int cmd_events(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        Events e = { .oom_fd = -EBADF };
        const char *interval = DEFAULT_INTERVAL;
        bool once = false;
        uint64_t ns;
        const CliOption options[] = {
                { "interval", 0, CLI_STR, &interval, "time between two statistics (5s)", "TIME" },
                { "stats", 0, CLI_BOOL, &once, "print statistics once", NULL },
        };

        int r = cli_parse_id(options, array_len(options), argc, argv, &e.id, err);
        if (r < 0)
                return r;
        if (parse_interval(interval, &ns) < 0)
                return err_set(err, ERR_INVALID,
                               "--interval: '%s' is not a time like 5s, 500ms, 1m30s", interval);
        r = state_read(&cli->ctx, e.id, &st, err);
        if (r < 0)
                return r;
        _cleanup_close_ int pidfd = state_open_pidfd(&st, NULL);
        if (pidfd < 0 || !st.cgroup)
                return err_set(err, ERR_PRECONDITION,
                               "container '%s' is not running, or has no "
                               "cgroup",
                               e.id);
        _cleanup_(cgroup_freep) Cgroup *cg = cgroup_new(st.cgroup);
        e.cgroup = cg;
        find_group(cli, &st, &e);
        r = once ? print_stats(&e, err) : watch_memory(&e, err);
        if (r == 0 && !once)
                r = watch(&e, pidfd, ns, err);
        e.oom_fd = fd_close(e.oom_fd);
        free(take_ptr(e.group));
        free(take_ptr(e.monitor));
        return r;
}
