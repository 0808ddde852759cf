/* SPDX-License-Identifier: Apache-2.0 */
/* job.h - what may block, in a forked child with a deadline.
 *
 * The child is a copy of the shim: `arg` may point anywhere, also to the caller's stack. It keeps
 * 0, 1, 2 and the descriptors of `keep`, every other one is closed. It dies with the shim. It tells
 * the step it is at (job_step), may hand back bytes and descriptors (job_result), and its Err when
 * it fails.
 *
 * The parent never waits: `done` is called from the loop, once, when the result is there (the child
 * may then still be exiting), when the child ended without one, or when the deadline has killed it.
 */
#ifndef TARE_SHIM_JOB_H
#define TARE_SHIM_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "shim/proc.h"

#define JOB_FDS_MAX    12
#define JOB_KEEP_MAX   16
#define JOB_RESULT_MAX ((size_t)4 << 20)
#define JOB_STEP_MAX   32

typedef struct Job Job;
typedef struct JobChild JobChild;

typedef struct JobResult {
        int r;        /* 0 or -errno, then err says why */
        bool unclean; /* it failed without saying so: what it made may still be there */
        Err err;
        const void *data; /* borrowed for the call */
        size_t len;
        int fds[JOB_FDS_MAX]; /* take_fd() those that are wanted */
        size_t n_fds;
} JobResult;

typedef struct JobSpec {
        const char *name; /* "start container", for errors; a literal */
        int (*fn)(JobChild *jc, void *arg, Err *err);
        void *arg;
        int keep[JOB_KEEP_MAX]; /* negative ones are skipped */
        size_t n_keep;
        uint64_t deadline_ms;
        bool creates; /* makes siblings: statuses of unknown children are kept until it is done */
        void (*done)(void *userdata, JobResult *res);
        void *userdata;
} JobSpec;

int job_start(Loop *loop, Procs *procs, const JobSpec *spec, Job **ret, Err *err);
/* Kills the child; `done` is still called, with CANCELED unless the result came first. */
void job_cancel(Job *job);

/* In the child. */
void job_step(JobChild *jc, const char *step);
int job_result(JobChild *jc, const void *data, size_t len, const int *fds, size_t n_fds, Err *err);

/* Makes a forked child of the shim clean: default signals, none blocked, only 0, 1, 2 and `keep`
 * (which is sorted) left open. */
void job_clean_child(int *keep, size_t n_keep);

#endif
