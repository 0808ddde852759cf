/* SPDX-License-Identifier: Apache-2.0 */
/* mempolicy.c - linux.memoryPolicy: set_mempolicy(2), which the program inherits. Runs in the init.
 */
#include <limits.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/setup-internal.h"

#define NODES_MAX 1024
#define WORD_BITS (sizeof(unsigned long) * CHAR_BIT)

#ifndef MPOL_PREFERRED_MANY
#define MPOL_PREFERRED_MANY 5 /* 5.15 */
#endif
#define MPOL_WEIGHTED_INTERLEAVE_ 6 /* 6.9 */

static const struct {
        const char *name;
        unsigned value;
} words[] = {
        { "MPOL_DEFAULT", MPOL_DEFAULT },
        { "MPOL_PREFERRED", MPOL_PREFERRED },
        { "MPOL_BIND", MPOL_BIND },
        { "MPOL_INTERLEAVE", MPOL_INTERLEAVE },
        { "MPOL_LOCAL", MPOL_LOCAL },
        { "MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY },
        { "MPOL_WEIGHTED_INTERLEAVE", MPOL_WEIGHTED_INTERLEAVE_ },
        { "MPOL_F_STATIC_NODES", 1U << 15 },
        { "MPOL_F_RELATIVE_NODES", 1U << 14 },
        { "MPOL_F_NUMA_BALANCING", 1U << 13 },
};

const char *mempolicy_word(size_t i)
{
        return i < array_len(words) ? words[i].name : NULL;
}

static int find_word(const char *word, unsigned *ret, Err *err)
{
        for (size_t i = 0; i < array_len(words); i++) {
                if (str_eq(words[i].name, word)) {
                        *ret |= words[i].value;
                        return 0;
                }
        }
        return err_set(err, ERR_INVALID, "linux.memoryPolicy: '%s' is not known", word);
}

int mempolicy_init(const OciMemoryPolicy *p, Err *err)
{
        unsigned long mask[NODES_MAX / WORD_BITS] = { 0 };
        unsigned mode = 0;

        if (!p->mode)
                return 0;
        int r = find_word(p->mode, &mode, err);
        for (char **f = p->flags; f && *f && r == 0; f++)
                r = find_word(*f, &mode, err);
        if (r < 0)
                return r;
        if (number_list_parse(p->nodes, mask, NODES_MAX) < 0)
                return err_set(err, ERR_INVALID, "linux.memoryPolicy: '%s' is not a list of nodes",
                               p->nodes);
        bool no_nodes = str_empty(p->nodes);
        if (syscall(SYS_set_mempolicy, mode, no_nodes ? NULL : mask, no_nodes ? 0 : NODES_MAX + 1) <
            0)
                return err_sys(err, errno, "linux.memoryPolicy: set %s for nodes '%s'", p->mode,
                               str_or(p->nodes, ""));
        return 0;
}
