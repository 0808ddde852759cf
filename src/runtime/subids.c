/* SPDX-License-Identifier: Apache-2.0 */
/* subids.c - id maps that a user without privileges writes: by newuidmap and newgidmap, set-user-id
 * programs that know whose ids are whose from /etc/subuid and /etc/subgid. Runs in the caller's
 * process.
 *
 * The programs decide; the files are read here only to say what is missing when they have refused.
 * Source: newuidmap(1), subuid(5). */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "runtime/setup-internal.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#define FILE_MAX    (4 << 20)
#define HELPER_SAYS 300 /* bytes of a helper's words that an error has */

typedef struct Kind {
        const char *member, *helper, *file, *option;
} Kind;

static const Kind user_kind = { "linux.uidMappings", "/usr/bin/newuidmap", "/etc/subuid",
                                "--add-subuids" };
static const Kind group_kind = { "linux.gidMappings", "/usr/bin/newgidmap", "/etc/subgid",
                                 "--add-subgids" };

/* Three fields of a line, separated by ':'. */
static bool split_line(char *line, char *fields[static 3])
{
        for (int i = 0; i < 3; i++)
                fields[i] = strsep(&line, ":");
        return fields[2] != NULL;
}

/* The caller's name; its number where it has none. */
static char *own_name(void)
{
        _cleanup_strbuf_ StrBuf text = { 0 };
        uint32_t uid;

        if (io_read_file(AT_FDCWD, "/etc/passwd", FILE_MAX, &text) == 0) {
                for (char *rest = text.data, *line; (line = strsep(&rest, "\n"));) {
                        char *f[3];
                        if (split_line(line, f) && str_to_u32(f[2], &uid) == 0 && uid == getuid() &&
                            *f[0])
                                return xstrdup(f[0]);
                }
        }
        return xasprintf("%u", getuid());
}

/* Does a line of the file give these ids to the user? */
static bool is_given(char *text, const char *name, const OciIdMap *map)
{
        _cleanup_free_ char *number = xasprintf("%u", getuid());
        uint64_t end = (uint64_t)map->host_id + map->size;

        for (char *rest = text, *line; rest && (line = strsep(&rest, "\n"));) {
                char *f[3];
                uint32_t first, n;
                if (split_line(line, f) && (str_eq(f[0], name) || str_eq(f[0], number)) &&
                    str_to_u32(f[1], &first) == 0 && str_to_u32(f[2], &n) == 0 &&
                    map->host_id >= first && end <= (uint64_t)first + n)
                        return true;
        }
        return false;
}

static int explain(const Kind *k, const OciIdMap *maps, size_t n, const char *said, Err *err)
{
        _cleanup_free_ char *name = own_name();
        uint32_t own = k == &user_kind ? getuid() : getgid();

        for (size_t i = 0; i < n; i++) {
                _cleanup_strbuf_ StrBuf text = { 0 };
                (void)io_read_file(AT_FDCWD, k->file, FILE_MAX, &text); /* missing: gives none */
                uint32_t last = maps[i].host_id + (maps[i].size - 1);
                if ((maps[i].host_id == own && maps[i].size == 1) ||
                    is_given(text.data, name, &maps[i]))
                        continue;
                return err_set(err, ERR_DENIED,
                               "%s[%zu]: %s does not give '%s' the ids %u to %u; have root add the "
                               "line \"%s:%u:%u\" to it (usermod %s %u-%u %s)",
                               k->member, i, k->file, name, maps[i].host_id, last, name,
                               maps[i].host_id, maps[i].size, k->option, maps[i].host_id, last,
                               name);
        }
        return err_set(err, ERR_DENIED, "%s: '%s' refused it, though %s has the ids: %s", k->member,
                       k->helper, k->file, said);
}

static int run_helper(const Kind *k, pid_t pid, const OciIdMap *maps, size_t n, Err *err)
{
        _cleanup_strv_ char **argv = NULL;
        _cleanup_close_ int pidfd = -EBADF;
        char said[HELPER_SAYS + 1] = "";
        int status;

        strv_push(&argv, k->helper);
        strv_push_take(&argv, xasprintf("%d", pid));
        for (size_t i = 0; i < n; i++) {
                strv_push_take(&argv, xasprintf("%u", maps[i].container_id));
                strv_push_take(&argv, xasprintf("%u", maps[i].host_id));
                strv_push_take(&argv, xasprintf("%u", maps[i].size));
        }
        _cleanup_close_ int out = memfd_create("newidmap", MFD_CLOEXEC);
        if (out < 0)
                return err_sys(err, errno, "keep what '%s' says", k->helper);
        Spawn spawn = SPAWN_INIT;
        spawn.path = k->helper;
        spawn.argv = argv;
        spawn.stdio[2] = out;
        int r = spawn_program(&spawn, NULL, &pidfd);
        if (r == -ENOENT)
                return err_set(err, ERR_NOT_FOUND,
                               "%s: more than one's own id needs '%s', which is not there; "
                               "install it (package uidmap or shadow-utils)",
                               k->member, k->helper);
        if (r == 0)
                r = pidfd_reap(pidfd, true, &status);
        if (r < 0)
                return err_sys(err, -r, "%s: run '%s'", k->member, k->helper);
        if (status == 0)
                return 0;
        ssize_t got = pread(out, said, HELPER_SAYS, 0);
        said[got > 0 ? strcspn(said, "\n") : 0] = 0;
        return explain(k, maps, n, said, err);
}

/* One's own id alone needs nobody. */
static bool needs_helper(const OciIdMap *maps, size_t n, uint32_t own)
{
        return n != 1 || maps[0].size != 1 || maps[0].host_id != own;
}

bool subids_needed(const OciLinux *l)
{
        return geteuid() != 0 && (needs_helper(l->uid_maps, l->n_uid_maps, geteuid()) ||
                                  needs_helper(l->gid_maps, l->n_gid_maps, getegid()));
}

int subids_write(const OciLinux *l, pid_t pid, Err *err)
{
        int r = run_helper(&user_kind, pid, l->uid_maps, l->n_uid_maps, err);

        return r < 0 ? r : run_helper(&group_kind, pid, l->gid_maps, l->n_gid_maps, err);
}
