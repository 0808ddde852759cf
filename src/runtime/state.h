/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - the records of containers: <root>/<id>/{intent.json, config.json, state.json, gate}.
 *
 * Order of a create: the folder (its mkdir takes the id), intent.json with the cgroup's path before
 * the first kernel object is made, intent.json again with the init's pid and start time,
 * config.json, state.json by rename. Without state.json the create has not ended: only `delete
 * --force` takes it. A pid is believed with its start time and boot id only. */
#ifndef TARE_RUNTIME_STATE_H
#define TARE_RUNTIME_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/json.h"
#include "oci/runtime-spec.h"
#include "runtime/runtime.h"

typedef struct State {
        char *id, *bundle, *rootfs, *created, *owner;
        char *cgroup; /* NULL: none */
        char *rdt;    /* the folder of resctrl that goes with it; NULL: none */
        char *boot_id;
        bool systemd_cgroup;
        bool complete; /* state.json is there */
        bool hooks;    /* poststart or poststop hooks: config.json has to be read for them */
        pid_t pid;     /* 0: not known */
        uint64_t start_time;
        char **stdio;      /* "pipe:[N]" that came from outside, as /proc names them; NULL: none */
        Json *annotations; /* NULL: none */
} State;
void state_done(State *st);

int state_check_id(const char *id, Err *err);
/* Makes <root>/<id>; EXISTS when there is one. Returns its fd. */
int state_make_dir(const RuntimeContext *ctx, const char *id, Err *err);
int state_open_dir(const RuntimeContext *ctx, const char *id, Err *err);
void state_remove_dir(const RuntimeContext *ctx, const char *id);
/* A folder of ours below root that is no container ('@' is in no id); -errno. */
int state_open_cache(const RuntimeContext *ctx, const char *name);

/* intent.json. A record of less than a page is written over the old one with one write(2), which no
 * signal cuts; a longer one by a new file. */
int state_write_intent(int dir_fd, const State *st, Err *err);
/* The create has ended: the record, which is complete, becomes state.json. */
int state_rename(int dir_fd, const char *id, Err *err);
/* Both. */
int state_complete(int dir_fd, const State *st, Err *err);
/* state.json, or intent.json with complete false. */
int state_read(const RuntimeContext *ctx, const char *id, State *ret, Err *err);
int state_read_spec(const RuntimeContext *ctx, const char *id, OciSpec **ret, Err *err);

RuntimeStatus state_status(const RuntimeContext *ctx, const State *st);
/* The init runs: it is this process, and no zombie. */
bool state_init_runs(const State *st);
/* Its pidfd; NOT_FOUND when it does not run any more. */
int state_open_pidfd(const State *st, Err *err);
/* As runtime-spec wants it. pid 0: left out. */
Json *state_to_json(const char *id, RuntimeStatus status, pid_t pid, const char *bundle,
                    Json *annotations);
Json *state_annotations(const OciSpec *spec);

#endif
