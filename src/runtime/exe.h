/* SPDX-License-Identifier: Apache-2.0 */
/* exe.h - no process that a container could see runs from a file of the host.
 *
 * What that is about, and how it is done, is in exe.c. A process "leaves" its file: afterwards it
 * runs on, from memory, and /proc/PID/exe is an empty sealed memfd. Needs CAP_SYS_ADMIN (or
 * CHECKPOINT_RESTORE) in the user namespace, and a static program. */
#ifndef TARE_RUNTIME_EXE_H
#define TARE_RUNTIME_EXE_H

#include <linux/capability.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef enum ExeState {
        EXE_SEALED,    /* it is a sealed memfd: nothing to do */
        EXE_CAN_LEAVE, /* exe_leave() and exe_execute() will work */
        EXE_EXPOSED,   /* neither */
} ExeState;

ExeState exe_state(void);
/* First thing of a command that makes processes: where leaving is impossible, runs the program
 * again from a sealed memfd. argv: of the whole command line. May not return. */
int exe_protect(char *const *argv, Err *err);
/* Leaves, by copying every mapping of the file: a third of a millisecond. The process goes on. */
int exe_leave(Err *err);

/* What is left to do when the program is about to be executed, and is done in this order: leave the
 * file (leave), install the filter if it needs rights, set the capabilities, install the filter. */
typedef struct ExeFinal {
        const char *path;
        char *const *argv, *const *envp;
        struct __user_cap_data_struct caps[2];
        const struct sock_fprog *filter; /* NULL: none */
        uint64_t filter_flags;
        bool filter_needs_rights;
        bool leave;
        /* When one fails: its stage and errno are written at these places of a message, and that is
         * sent to report_fd. */
        int report_fd;
        void *report;
        size_t report_bytes, errno_offset, stage_offset;
} ExeFinal;
typedef enum ExeStage {
        EXE_STAGE_LEAVE = 1,
        EXE_STAGE_FILTER,
        EXE_STAGE_CAPS,
        EXE_STAGE_EXEC
} ExeStage;
/* "exec: \"sh\"" and the like, for a failed stage. */
const char *exe_stage_text(unsigned stage);
/* Returns only when it could not begin. */
int exe_execute(const ExeFinal *f, Err *err);

#endif
