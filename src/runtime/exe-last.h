/* SPDX-License-Identifier: Apache-2.0 */
/* exe-last.h - the last system calls before the program runs, as code that needs nothing of ours.
 *
 * With ranges, the code itself has to lie outside of them: exe.c copies it into a page. It touches
 * only the ExeLast, what that points to, and its stack. */
#ifndef TARE_RUNTIME_EXE_LAST_H
#define TARE_RUNTIME_EXE_LAST_H

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXE_RANGES_MAX 8

typedef struct ExeRange {
        uintptr_t start;
        size_t bytes;
} ExeRange;

typedef struct ExeLast {
        ExeRange ranges[EXE_RANGES_MAX]; /* unmapped first; none: the process keeps its file */
        size_t n_ranges;
        struct prctl_mm_map layout; /* exe_fd included */
        struct __user_cap_header_struct cap_head;
        struct __user_cap_data_struct caps[2];
        const struct sock_fprog *filter;
        uint64_t filter_flags;
        bool filter_first;
        const char *path;
        char *const *argv, *const *envp;
        int report_fd;
        void *report;
        size_t report_bytes;
        int32_t *report_errno, *report_stage;
} ExeLast;

typedef void ExeLastFunction(ExeLast *l); /* does not return */

const void *exe_last_code(void);
size_t exe_last_size(void);
_Noreturn void exe_last_here(ExeLast *l);

#endif
