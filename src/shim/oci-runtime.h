/* SPDX-License-Identifier: Apache-2.0 */
/* oci-runtime.h - runtime-ops.h by another program with runc's command line: runc, crun, youki,
 * runsc. Internal to src/shim; runs in jobs, in the host's mount namespace.
 *
 * Such a program finds the root by its path: the prepared mount is attached at BUNDLE/rootfs,
 * images as volumes at BUNDLE/volumes/N, where config.json is made to name them. That, and that the
 * program may know the container, is first written down (oci-record.h); remove() and undo take
 * away both and then the record. */
#ifndef TARE_SHIM_OCI_RUNTIME_H
#define TARE_SHIM_OCI_RUNTIME_H

#include "shim/runtime-ops.h"
#include "tare/shim/v1/shim.pb-c.h"

struct OciProgram {
        char *name; /* the handler's */
        char *path, *root;
        char **args; /* global ones */
        bool wait;   /* a sandbox: the end is learnt by `wait ID`, and processes have numbers inside
                      */
};

int oci_program_new(const Tare__Shim__V1__OciRuntime *m, OciProgram **ret, Err *err);
void oci_program_free(OciProgram *p);
DEFINE_CLEANUP(OciProgram, oci_program_free)

extern const RuntimeOps runtime_program;

/* SIGKILL to a process of exec inside a sandbox, and to its process group; one that has ended is no
 * failure. */
int oci_program_kill_exec(const RuntimeTarget *t, pid_t inside, Err *err);
/* A connection to a port of localhost in the sandbox that container t is of. */
int oci_program_connect(const RuntimeTarget *t, uint16_t port, int *ret_fd, Err *err);
/* The exit code that a waiter wrote; -ENODATA: none. Never blocks. */
int oci_program_read_answer(int fd);
/* Of a dead shim: every container of its records is ended and taken away. Goes on after a failure;
 * the first is told. */
int oci_program_undo(const char *state_dir, Err *err);

#endif
