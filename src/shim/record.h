/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - what the shim writes to its state folder: docs/protocol/shim.md has the layout.
 *
 * Written by rename, before the kernel objects are made that they name, and again with the objects'
 * identity when they are there; so whoever comes after a death can undo by record, and removes only
 * what matches. Files are not fsynced: the folder is on a tmpfs and means nothing after a reboot.
 */
#ifndef TARE_SHIM_RECORD_H
#define TARE_SHIM_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

#define RECORD_SANDBOX   "sandbox.json"
#define RECORD_EXITS_DIR "exits"

typedef enum PinKind { PIN_USER, PIN_NET, PIN_IPC, PIN_UTS, PIN_PID, _PIN_MAX } PinKind;
const char *pin_name(PinKind kind); /* "net" */

typedef struct SandboxRecord {
        bool ready; /* all is made, identities are known */
        struct {
                char *path;     /* NULL: none */
                uint64_t inode; /* of the namespace; 0: not known */
        } pins[_PIN_MAX];
        char *shm_path; /* NULL: none */
        uint64_t shm_mount_id;
        char *cgroup; /* made for the pause process; NULL: none */
        pid_t pause_pid;
        uint64_t pause_start_time;
} SandboxRecord;

void sandbox_record_free(SandboxRecord *r);
DEFINE_CLEANUP(SandboxRecord, sandbox_record_free)
int sandbox_record_write(int state_fd, const SandboxRecord *r, Err *err);
/* NOT_FOUND: there is none. */
int sandbox_record_read(int state_fd, SandboxRecord **ret, Err *err);
/* Takes away what the record names and what still is what it was, then the record. Repeatable;
 * blocks. */
int sandbox_record_undo(int state_fd, const SandboxRecord *r, Err *err);

typedef struct ExitRecord {
        unsigned exit_code;
        int signal;
        int64_t finished_at; /* ns since the epoch */
        bool oom_killed;
        const char *reason; /* a literal, "" for none */
} ExitRecord;
int exit_record_write(int state_fd, const char *container_id, const ExitRecord *r, Err *err);
int exit_record_remove(int state_fd, const char *container_id, Err *err);

#endif
