/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - pods, containers and images of one node; what the services (cri/, tare.v1) call.
 *
 * One event loop, nothing blocks. Questions (find, next) answer from memory at once. Verbs are
 * operations: engine_x() starts or joins one and gives an EngineWait, the client's place in it;
 * `done` is called once, never from within engine_x() itself. A client that is gone gives its place
 * up by engine_wait_cancel(); the operation goes on (see op.h for what becomes of it).
 *
 * What a client asks for is written in runtime.v1 messages: the engine keeps its own copies. */
#ifndef TARE_ENGINE_ENGINE_H
#define TARE_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/objects.h"
#include "engine/world.h"
#include "runtime/v1/api.pb-c.h"
#include "tare/v1/tare.pb-c.h"

typedef struct Engine Engine;
typedef struct EngineWait EngineWait;

/* id: of the pod, container or image; err: NULL on success. Both are borrowed. */
typedef void (*EngineDone)(void *data, const char *id, const Err *err);

#define ENGINE_COMMAND_MAX     ((size_t)256 << 10) /* bytes of an exec's words, together */
#define ENGINE_EXEC_OUTPUT_MAX ((size_t)16 << 20)  /* bytes kept of each stream of ExecSync */

/* Opens the stores and adopts what an earlier daemon left; what was under way is finished or undone
 * by operations of their own. config and world are borrowed for the engine's life. */
int engine_new(const EngineConfig *config, World *world, Engine **ret, Err *err);
/* Leaves pods and shims as they are. */
void engine_free(Engine *e);

/* --- questions --- */
/* id: full or a prefix that names one; NOT_FOUND `no pod "x"`; INVALID when several match. */
int engine_find_pod(Engine *e, const char *id, const Pod **ret, Err *err);
int engine_find_container(Engine *e, const char *id, const Container **ret, Err *err);
/* Any accepted reference, id or prefix. NOT_FOUND names it. */
int engine_find_image(Engine *e, const char *reference, const Image **ret, Err *err);
/* *i starts at 0. Only objects that a client may see (not the ones being made). */
const Pod *engine_next_pod(Engine *e, size_t *i);
const Container *engine_next_container(Engine *e, size_t *i);
const Image *engine_next_image(Engine *e, size_t *i);
const EngineConfig *engine_config(const Engine *e);
/* What a runtime handler can do on this kernel; another's program is asked once, at the start, and
 * can nothing before it has answered. name "": the default one. */
typedef struct EngineFeatures {
        bool recursive_read_only, user_namespaces;
} EngineFeatures;
EngineFeatures engine_features(const Engine *e, const char *name);
const char *engine_pod_runtime_kind(const Pod *p); /* "builtin", "oci" */
/* *ret_words (borrowed until the next call): why not; or, when it is, what is amiss all the same,
 * or NULL. */
bool engine_network_ready(Engine *e, const char **ret_words);
/* [{"name","file","builtin","notBuiltin": why}], the caller's. */
Json *engine_network_json(const Engine *e);
/* The image's configuration document, for users, volumes and inspection; borrowed. */
int engine_image_config(Engine *e, const Image *image, const ImageConfig **ret,
                        const char **ret_json, Err *err);
/* config.json of a container; freed by the caller. */
int engine_container_spec_json(Engine *e, const Container *c, char **ret, Err *err);
/* --- statistics: from memory, by a sampler; see usage.c --- */
typedef struct EngineUsageWait EngineUsageWait;
typedef void (*EngineUsageReady)(void *data);
/* Somebody wants statistics (processes: also what each process tells): they are kept fresh for a
 * while. NULL: what there is can be had now. Else, some object has never been sampled, and ready is
 * called when it has been, or after a second; engine_usage_cancel() gives that up. */
EngineUsageWait *engine_usage_ask(Engine *e, bool processes, EngineUsageReady ready, void *data);
void engine_usage_cancel(EngineUsageWait *w);
/* Wants the sizes of writable layers: those of before are there now, new ones later. */
void engine_usage_ask_layers(Engine *e);
void engine_container_usage(Engine *e, const Container *c, EngineUsage *ret);
/* sum: room for the answer of a pod without a cgroup of its own. */
void engine_pod_usage(Engine *e, const Pod *p, Sample *sum, EngineUsage *ret);
const char *engine_layers_folder(const Engine *e); /* the file system of layers */
/* Its size and its device; NULL: it has not been sampled, or hangs since it was asked for. */
const Sample *engine_layers_fs(const Engine *e);
void engine_fs_usage(Engine *e, FsUsage *ret);
/* *ret is filled with heap data: tare__v1__list_operations_response__free_unpacked(). pod NULL:
 * all. */
void engine_operations(Engine *e, const char *pod_id, bool recent,
                       Tare__V1__ListOperationsResponse **ret);

/* NRI's plugins, a JSON object freed by the caller; NULL: NRI is off. */
char *engine_nri_json(const Engine *e);

/* --- for metrics --- */
struct Op;
/* After each operation; err NULL: it succeeded. */
void engine_set_op_observer(Engine *e, void (*fn)(void *data, const struct Op *op, const Err *err),
                            void *data);
typedef struct EngineCounters {
        size_t operations; /* not ended */
        uint64_t swept_folders, sweep_failures, sampler_restarts;
} EngineCounters;
void engine_counters(const Engine *e, EngineCounters *ret);

/* --- events --- */
typedef enum EngineEvent {
        ENGINE_CREATED,
        ENGINE_STARTED,
        ENGINE_STOPPED,
        ENGINE_DELETED, /* the object is gone when the call returns */
} EngineEvent;
/* c NULL: of the pod itself. Called as it happens, in order; starts no verb from within. */
typedef void (*EngineEventFn)(void *data, EngineEvent event, const Pod *p, const Container *c);
/* One listener; data is what engine_event_data() gives. */
void engine_set_events(Engine *e, EngineEventFn fn, void *data);
void *engine_event_data(const Engine *e);

/* --- verbs --- */
EngineWait *engine_run_pod(Engine *e, const Runtime__V1__RunPodSandboxRequest *req, EngineDone done,
                           void *data);
EngineWait *engine_update_pod(Engine *e, const Runtime__V1__UpdatePodSandboxResourcesRequest *req,
                              EngineDone done, void *data);
EngineWait *engine_stop_pod(Engine *e, const char *id, EngineDone done, void *data);
EngineWait *engine_remove_pod(Engine *e, const char *id, EngineDone done, void *data);
EngineWait *engine_create_container(Engine *e, const Runtime__V1__CreateContainerRequest *req,
                                    EngineDone done, void *data);
EngineWait *engine_start_container(Engine *e, const char *id, EngineDone done, void *data);
EngineWait *engine_stop_container(Engine *e, const char *id, int64_t timeout_s, EngineDone done,
                                  void *data);
EngineWait *engine_remove_container(Engine *e, const char *id, EngineDone done, void *data);
EngineWait *engine_reopen_log(Engine *e, const char *id, EngineDone done, void *data);
EngineWait *engine_update_container(Engine *e,
                                    const Runtime__V1__UpdateContainerResourcesRequest *req,
                                    EngineDone done, void *data);
/* timeout_s 0: none. */
EngineWait *engine_checkpoint_container(Engine *e, const char *id, const char *location,
                                        int64_t timeout_s, EngineDone done, void *data);
EngineWait *engine_pull_image(Engine *e, const Runtime__V1__PullImageRequest *req, EngineDone done,
                              void *data);
EngineWait *engine_import_image(Engine *e, const char *path, const char *reference, EngineDone done,
                                void *data);
EngineWait *engine_remove_image(Engine *e, const char *reference, EngineDone done, void *data);

typedef struct EngineExecResult {
        unsigned exit_code;
        const char *out, *err_out;
        size_t out_len, err_len;
        bool out_cut, err_cut; /* more than ENGINE_EXEC_OUTPUT_MAX was written */
} EngineExecResult;
typedef void (*EngineExecDone)(void *data, const EngineExecResult *result, const Err *err);
/* timeout_s 0: none. */
EngineWait *engine_exec_sync(Engine *e, const char *id, char *const *argv, int64_t timeout_s,
                             EngineExecDone done, void *data);

/* --- streams: docs/protocol/stream.md --- */
/* Checks the request; the URL at which its client is served, once, within a minute. Freed by the
 * caller. */
/* INVALID without a word, TOO_LARGE over ENGINE_COMMAND_MAX. */
int engine_check_command(char *const *words, size_t n, Err *err);
int engine_exec(Engine *e, const Runtime__V1__ExecRequest *req, char **ret_url, Err *err);
int engine_attach(Engine *e, const Runtime__V1__AttachRequest *req, char **ret_url, Err *err);
int engine_port_forward(Engine *e, const Runtime__V1__PortForwardRequest *req, char **ret_url,
                        Err *err);
/* The port at which an earlier daemon of this boot served them; 0: none. */
unsigned engine_stream_port(Engine *e);
/* Serves who connects to listen_fd (taken). base_url: "http://127.0.0.1:1234". */
int engine_serve_streams(Engine *e, int listen_fd, unsigned port, const char *base_url, Err *err);
typedef struct EngineStreamCounts {
        size_t tokens;      /* given, and not used yet */
        size_t connections; /* that have not shown a token yet */
        size_t sessions;    /* begun by this daemon, and not ended */
} EngineStreamCounts;
void engine_stream_counts(const Engine *e, EngineStreamCounts *ret);

/* The client is gone: done will not be called. */
void engine_wait_cancel(EngineWait *w);

#endif
