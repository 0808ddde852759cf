/* SPDX-License-Identifier: Apache-2.0 */
/* container-checkpoint.c - CheckpointContainer: what the archive says of the container, and one
 * request to its supervisor, which does it. The container is held meanwhile: a Stop comes after. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/path.h"
#include "engine/engine-internal.h"

#define STEP_DEADLINE_S (31 * 60) /* a minute more than the supervisor lets criu hang */
#define TIMEOUT_MAX_S   (30 * 60)
#define NEVER           "0001-01-01T00:00:00Z" /* as Go has no time */

typedef struct Checkpoint {
        char *location;
        int64_t timeout_s;
} Checkpoint;

static void checkpoint_free(void *data)
{
        Checkpoint *p = data;

        free(p->location);
        free(p);
}

static void add_time(Json *j, const char *key, int64_t real_ns)
{
        char text[40];

        clock_format_rfc3339(real_ns, text, sizeof(text));
        json_add_str(j, key, text);
}

/* "config.dump", as CRI-O and checkpointctl know it. */
static char *describe(const Engine *e, const Container *c)
{
        const Runtime__V1__ContainerConfig *config = c->request->config;
        _cleanup_json_ Json *j = json_object_new_object();
        const EngineRuntime *runtime = pod_runtime(c->pod);

        json_add_str(j, "id", c->id);
        json_add_str(j, "name", config->metadata->name);
        json_add_str(j, "rootfsImage", config->image->image);
        json_add_str(j, "rootfsImageRef", c->image_ref);
        json_add_str(j, "rootfsImageName",
                     str_or(config->image->user_specified_image, config->image->image));
        json_add_str(j, "runtime", runtime ? runtime->name : "tare");
        add_time(j, "createdTime", c->created_at);
        add_time(j, "checkpointedTime", e->world->now_real(e->world));
        json_add_str(j, "restoredTime", NEVER);
        json_add_bool(j, "restored", false);
        return json_print(j);
}

static int checkpoint_run(Op *op, Err *err)
{
        Checkpoint *p = op->data;
        Engine *e = op->engine;
        Container *c = engine_container(e, op->subject);
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__CheckpointContainerRequest q =
                TARE__SHIM__V1__CHECKPOINT_CONTAINER_REQUEST__INIT;
        Tare__Shim__V1__CheckpointFile files[2], *list[2];
        _cleanup_free_ char *spec = NULL, *about = NULL;

        int r = container_check_running(c, op->subject, "nothing to checkpoint", err);
        if (r == 0)
                r = engine_container_spec_json(e, c, &spec, err);
        if (r < 0)
                return r;
        about = describe(e, c);
        const char *const names[] = { "config.dump", "spec.dump" };
        char *contents[] = { about, spec };
        for (size_t i = 0; i < array_len(files); i++) {
                tare__shim__v1__checkpoint_file__init(&files[i]);
                files[i].name = (char *)names[i];
                files[i].content = contents[i];
                list[i] = &files[i];
        }
        _cleanup_free_ char *folder = snapshot_container_path(e->snapshots, c->id);
        _cleanup_free_ char *work = path_join(folder, "checkpoint");
        _cleanup_free_ char *upper = path_join(folder, "upper");
        q.container_id = c->id;
        q.location = p->location;
        q.work_dir = work;
        q.upper_dir = upper;
        q.log_path = (char *)str_or(c->log_path, "");
        q.timeout_ms = (uint64_t)p->timeout_s * 1000;
        q.files = list;
        q.n_files = array_len(list);
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_CHECKPOINT_CONTAINER;
        req.checkpoint_container = &q;
        return step_call(op, c->pod, &req, NULL, false, "write the checkpoint");
}

static const OpStep checkpoint_steps[] = {
        { "checkpoint", checkpoint_run, NULL, STEP_DEADLINE_S },
        {},
};
static const OpVerb verb_checkpoint = { .name = "CheckpointContainer",
                                        .steps = checkpoint_steps,
                                        .free_data = checkpoint_free };

static int check(const char *location, int64_t timeout_s, Err *err)
{
        if (!path_is_absolute(location))
                return err_set(err, ERR_INVALID,
                               "location \"%.300s\" is not an absolute path: it names the archive "
                               "that is to be written",
                               location);
        if (timeout_s < 0 || timeout_s > TIMEOUT_MAX_S)
                return err_set(err, ERR_INVALID, "timeout %lld is not between 0 and %d seconds",
                               (long long)timeout_s, TIMEOUT_MAX_S);
        return 0;
}

EngineWait *engine_checkpoint_container(Engine *e, const char *id, const char *location,
                                        int64_t timeout_s, EngineDone done, void *data)
{
        const Container *c = NULL;
        Err err = {};

        int r = engine_find_container(e, id, &c, &err);
        if (r == 0)
                r = check(location, timeout_s, &err);
        if (r < 0)
                return engine_answer(e, NULL, &err, done, data);
        _cleanup_free_ char *object = engine_object("ctr", c->id);
        Checkpoint *p = xnew(Checkpoint);
        *p = (Checkpoint){ .location = xstrdup(location), .timeout_s = timeout_s };
        Op *op = op_start(e->ops, &verb_checkpoint, object, c->id, c->pod->id, p);
        op->result_id = xstrdup(c->id);
        return op_wait(op, done, data);
}
