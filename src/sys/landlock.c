/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.c - see landlock.h. The header of Debian 12 knows ABI 2, kernels know more: the numbers
 * are here. */
#include "sys/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* linux/landlock.h of 6.12 */
#define FS_TRUNCATE         (UINT64_C(1) << 14) /* ABI 3 */
#define FS_IOCTL_DEV        (UINT64_C(1) << 15) /* ABI 5 */
#define NET_BIND_TCP        (UINT64_C(1) << 0)  /* ABI 4 */
#define NET_CONNECT_TCP     (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_UNIX (UINT64_C(1) << 0) /* ABI 6 */
#define SCOPE_SIGNAL        (UINT64_C(1) << 1)

typedef struct RulesetAttr {
        uint64_t handled_access_fs;
        uint64_t handled_access_net; /* ABI 4 */
        uint64_t scoped;             /* ABI 6 */
} RulesetAttr;

#define FS_READ    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_EXECUTE LANDLOCK_ACCESS_FS_EXECUTE
/* Device nodes are made by who applies layers: MAKE_CHAR and MAKE_BLOCK are writing too. */
#define FS_WRITE                                                                                   \
        (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                           \
         LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                           \
         LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                               \
         LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                             \
         LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
/* What may be granted on a file that is no folder: the kernel refuses the rest there. */
#define FS_OF_FILES                                                                                \
        (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |                              \
         LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

/* Rights of the file system that appeared with an ABI. */
static const struct {
        int abi;
        uint64_t rights;
} fs_rights[] = {
        { 1, FS_READ | FS_EXECUTE | FS_WRITE },
        { 2, LANDLOCK_ACCESS_FS_REFER },
        { 3, FS_TRUNCATE },
        { 5, FS_IOCTL_DEV },
};

int landlock_abi(void)
{
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

        if (abi >= 0)
                return (int)abi;
        return errno == ENOSYS ? 0 : -errno;
}

static uint64_t handled_fs(int abi)
{
        uint64_t all = 0;

        for (size_t i = 0; i < array_len(fs_rights); i++)
                if (abi >= fs_rights[i].abi)
                        all |= fs_rights[i].rights;
        return all;
}

static int add_path(int ruleset, const LandlockPath *p, uint64_t handled)
{
        struct landlock_path_beneath_attr attr = { .parent_fd = p->fd, .allowed_access = FS_READ };
        struct stat st;

        _cleanup_close_ int own = -EBADF;
        if (p->path) {
                own = open(p->path, O_PATH | O_CLOEXEC);
                if (own < 0)
                        return errno == ENOENT && p->may_miss ? 0 : -errno;
                attr.parent_fd = own;
        }
        if (p->write)
                attr.allowed_access |=
                        FS_WRITE | FS_TRUNCATE | FS_IOCTL_DEV | LANDLOCK_ACCESS_FS_REFER;
        if (p->execute)
                attr.allowed_access |= FS_EXECUTE;
        attr.allowed_access &= handled;
        if (fstat(attr.parent_fd, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                attr.allowed_access &= FS_OF_FILES;
        if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0)
                return -errno;
        return 0;
}

int landlock_restrict(const LandlockRules *rules)
{
        int abi = landlock_abi();

        if (abi <= 0)
                return abi == 0 ? -EOPNOTSUPP : abi;
        RulesetAttr attr = { .handled_access_fs = handled_fs(abi) };
        size_t size = sizeof(attr.handled_access_fs); /* an older kernel takes no longer one */
        if (abi >= 4) {
                size = offsetof(RulesetAttr, scoped);
                if (rules->no_tcp)
                        attr.handled_access_net = NET_BIND_TCP | NET_CONNECT_TCP;
        }
        if (abi >= 6) {
                size = sizeof(attr);
                if (rules->no_peers)
                        attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
        }
        long fd = syscall(SYS_landlock_create_ruleset, &attr, size, 0);
        if (fd < 0)
                return -errno;
        _cleanup_close_ int ruleset = (int)fd;
        for (size_t i = 0; i < rules->n_paths; i++) {
                int r = add_path(ruleset, &rules->paths[i], attr.handled_access_fs);
                if (r < 0)
                        return r;
        }
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
                return -errno;
        return abi;
}
