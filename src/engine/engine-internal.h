/* SPDX-License-Identifier: Apache-2.0 */
/* engine-internal.h - what the files of engine/ share. For this folder only.
 *
 * Memory is the truth while the daemon runs; the stores are its journal. A pod or container is
 * recorded as MAKING before the first kernel object of it exists, and again when it is complete:
 * two commits a verb. */
#ifndef TARE_ENGINE_ENGINE_INTERNAL_H
#define TARE_ENGINE_ENGINE_INTERNAL_H

#include "base/map.h"
#include "content/content.h"
#include "engine/engine.h"
#include "engine/op.h"
#include "engine/supervisor.h"
#include "network/cni.h"
#include "nri/nri.h"
#include "snapshot/snapshot.h"
#include "spec/spec-gen.h"
#include "store/store.h"

#define ENGINE_UNCLAIMED_NS                                                                        \
        (240 * UINT64_C(1000000000)) /* a result that nobody took is undone then */
#define NRI_DEADLINE_S     120 /* plugins have time-outs of their own; this is for many of them */
#define ENGINE_KILL_WAIT_S 30  /* for a process to go after SIGKILL */

typedef struct LayerFacts {
        uint64_t bytes, inodes;
} LayerFacts;

struct Engine {
        const EngineConfig *config;
        World *world;
        Store *run, *durable;
        Ops *ops;
        Map *pods, *containers; /* id -> object */
        Map *pod_keys;          /* key -> Pod */
        Map *images;            /* id -> Image */
        Map *image_names;       /* every tag and digest reference -> Image */
        Map *layers;            /* chain id -> LayerFacts */
        bool records_unread;    /* of images or containers, when this daemon started */
        Map *layers_leaving;    /* the same of those that only a pull under way counts on */
        struct Pull *pulls;     /* under way */
        struct Trash *trash;
        Content *content;
        Snapshots *snapshots;
        SpecNode node;
        OciDevice *devices;
        size_t n_devices;
        CniConfig *cni; /* NULL: not ready, and why: */
        char *cni_reason;
        struct Network *network; /* network.h */
        LoopSource *unclaimed_timer;
        LoopSource *own_cgroups_timer; /* until the cgroups of ours are gone */
        unsigned own_cgroups_tries;
        Op **name_waits; /* runs that wait for a name whose holder is being removed */
        size_t n_name_waits;
        uint64_t next_ingest, next_exec;
        struct UsageSampler *usage;
        EngineCounters counters;
        EngineEventFn on_event; /* may be NULL */
        void *event_data;
        struct Streams *streams;
        Nri *nri; /* NULL: off */
        struct Applying *nri_applying;
        struct RuntimeFacts *runtimes; /* parallel to those of the configuration */
};

/* --- engine.c --- */
Pod *engine_pod(Engine *e, const char *id); /* exact id */
Container *engine_container(Engine *e, const char *id);
void engine_pod_free(Engine *e, Pod *p); /* out of all maps, too; wakes who waits for its name */
void engine_container_free(Engine *e, Container *c);
char *engine_pod_key(const Runtime__V1__PodSandboxMetadata *m);
char *engine_container_key(const Runtime__V1__ContainerMetadata *m);
/* "pod/<id>" for op.h; freed by the caller. */
char *engine_object(const char *kind, const char *id);
EngineWait *engine_answer(Engine *e, const char *id, const Err *err, EngineDone done, void *data);
/* Copies by packing. */
void *engine_copy_message(const ProtobufCMessage *m);
bool engine_same_message(const ProtobufCMessage *a, const ProtobufCMessage *b);
/* Its removal, or the undo of its making, is under way: then its name will be free. */
bool engine_is_leaving(Engine *e, const char *object, const OpVerb *make, const OpVerb *remove);
void engine_wait_name(Engine *e, Op *op);
void engine_wake_names(Engine *e); /* one may be free now, or will not be */
void engine_arm_unclaimed(Engine *e);

void engine_tell(const Engine *e, EngineEvent event, const Pod *p, const Container *c);
/* A ready pod is so no more. */
void pod_not_ready(Pod *p);

/* --- records.c --- */
int record_save_pod(Engine *e, const Pod *p, bool with_request, Err *err);
int record_save_container(Engine *e, const Container *c, bool with_request, Err *err);
int record_save_image(Engine *e, const Image *i, Err *err);
int record_load_runtime(Engine *e, Err *err);
int record_load_images(Engine *e, Err *err);

/* --- runtime.c: handlers --- */
/* A configured runtime by its handler name ("": the default). NOT_FOUND names the known ones. */
int engine_find_runtime(const EngineConfig *c, const char *handler, const EngineRuntime **ret,
                        Err *err);
/* The pod's; NULL: the configuration has it no more. */
const EngineRuntime *pod_runtime(const Pod *p);
bool runtime_is_program(const EngineRuntime *r); /* NULL: false */
/* Borrows from the configuration. */
void runtime_message(const EngineRuntime *r, Tare__Shim__V1__OciRuntime *ret);
/* The node as containers of this handler find it. */
SpecNode runtime_node(const Engine *e, const EngineRuntime *r);
/* UNAVAILABLE while its program is being asked what it can do. */
int runtime_check_answered(const Engine *e, const EngineRuntime *r, Err *err);
/* Asks the programs for their features. */
void runtimes_learn(Engine *e);
void runtimes_done(Engine *e);

/* --- node.c --- */
int node_learn(Engine *e, Err *err);
void node_done(Engine *e);
/* The folder of a linux.cgroupsPath: itself, or that of the unit of systemd. */
char *engine_cgroup_path(const Engine *e, const char *cgroups_path, const char *id);

/* --- pods --- */
extern const OpVerb verb_run_pod, verb_stop_pod, verb_remove_pod;
extern const SupervisorEvents pod_supervisor_events;
int pod_connect(Engine *e, Pod *p, Err *err);
char *pod_socket_path(const Pod *p);
bool pod_host_network(const Pod *p);
const Runtime__V1__NamespaceOption *pod_namespaces(const Pod *p); /* NULL: not given */
/* Steps that Run undoes with, Stop and Remove run. All are repeatable. */
int pod_step_network_down(Op *op, Pod *p, Err *err);
int pod_step_supervisor_down(Op *op, Pod *p, Err *err);
int pod_step_leftovers(Op *op, Pod *p, Err *err);
/* As reap_pod(), and waits for it. */
int pod_step_reap(Op *op, Pod *p, Err *err);
int pod_step_files_gone(Op *op, Pod *p, Err *err);
/* Instead of a copy of the host's: when the request has none and the network has an answer. */
int pod_write_resolv(const Pod *p, const Runtime__V1__DNSConfig *dns, Err *err);
/* Annotations about the network that a pod cannot have. */
int pod_check_network(const Runtime__V1__PodSandboxConfig *config, Err *err);
int pod_step_network_up(Op *op, Pod *p, Err *err);
int pod_step_infra(Op *op, Pod *p, Err *err);
/* Runs CHECK for the next pod that is marked for it; each that ends calls again. */
void pods_check_networks(Engine *e);
/* Nothing that was asked for is to wait for a CHECK. */
void pod_check_give_up(Pod *p);
/* Ends what a dead supervisor's containers left running: their cgroups. In a process. */
void reap_pod(Engine *e, Pod *p);
/* The default parent and the supervisors' cgroup are ours: they go with the last pod. */
void pod_drop_own_cgroups(Engine *e);

/* As after both: what `more` names, else what `old` has (may be NULL). */
Runtime__V1__LinuxContainerResources *engine_merge_resources(
        const Runtime__V1__LinuxContainerResources *old,
        const Runtime__V1__LinuxContainerResources *more);

/* --- containers --- */
extern const OpVerb verb_create_container, verb_start_container, verb_stop_container,
        verb_remove_container;
void container_exited(Engine *e, Container *c, const Tare__Shim__V1__ExitEvent *ev);
/* Marked as exited since its supervisor has died: from its exit record, else 137 ShimDied. */
void container_lost(Engine *e, Container *c);
/* container-images.c: mounts that are images. */
#define VOLUME_END "-"
bool container_mount_is_image(const Runtime__V1__Mount *m);
char *container_image_source(const Container *c, size_t mount); /* freed by the caller */
int container_find_volumes(Engine *e, Container *c, Err *err);
/* The request is to be given to container_free_volumes(), also after an error. */
int container_fill_volumes(Engine *e, const Container *c,
                           Tare__Shim__V1__PrepareContainerRequest *req, Err *err);
void container_free_volumes(Tare__Shim__V1__PrepareContainerRequest *req);
int container_shim_delete(Op *op, Container *c, Err *err);
int container_files_gone(Container *c, Err *err);
EngineWait *container_remove(Container *c, EngineDone done, void *data);

int container_check_running(const Container *c, const char *id, const char *what, Err *err);
/* The runtime-spec process of an exec. */
int container_process_json(Engine *e, const Container *c, char *const *argv, bool tty, char **ret,
                           Err *err);

/* --- calls to the supervisor from a step --- */
/* The reply's part that a step wants; NULL: nothing to look at. */
typedef int (*StepReply)(Op *op, const Tare__Shim__V1__Reply *reply, Err *err);
/* Sends and returns OP_WAIT; the step ends with the reply. NOT_FOUND is fine if `gone_ok`. */
int step_call(Op *op, Pod *p, Tare__Shim__V1__Request *req, StepReply on_reply, bool gone_ok,
              const char *waits_for);

/* --- NRI: nri-host.c, nri-message.c --- */
/* What a step makes of the answer; may wait on. nothing asked: an empty result. */
typedef int (*NriTake)(Op *op, const NriResult *result, Err *err);
int nri_start(Engine *e, Err *err);
void nri_end(Engine *e); /* after the operations */
/* Asks plugins from a step; ask has event, spec, resources (taken). c may be NULL, take too. */
int nri_step(Op *op, NriAsk ask, const Pod *p, const Container *c, NriTake take, Err *err);
/* The same about a pod, and what plugins answer is logged and passed over. */
int nri_notice(Op *op, NriAsk ask, const Pod *p, Err *err);
void nri_tell(Engine *e, Nri__Event event, const Pod *p, const Container *c);
void nri_event(Engine *e, EngineEvent event, Pod *p, Container *c);
/* What was made known, and is undone. */
void nri_forget_pod(Engine *e, Pod *p);
void nri_undo_pod(Engine *e, Pod *p); /* it was refused, or its making failed afterwards */
void nri_forget_container(Engine *e, Container *c);
/* What plugins want of other containers; done may be NULL. */
void nri_apply_result(Engine *e, const NriResult *result, NriApplied done, void *data);
Nri__PodSandbox *nri_pod(const Engine *e, const Pod *p);
Nri__Container *nri_container(Engine *e, const Container *c);
Nri__LinuxResources *nri_from_cri(const Runtime__V1__LinuxContainerResources *r);
Runtime__V1__LinuxContainerResources *nri_to_cri(const Nri__LinuxResources *m);
EngineWait *container_update_by_plugin(Engine *e, const Nri__ContainerUpdate *u, EngineDone done,
                                       void *data);
int container_read_spec(Engine *e, const Container *c, OciSpec **ret, Err *err);

/* --- images --- */
extern const OpVerb verb_pull_image;
Image *image_find(Engine *e, const char *reference);
void image_free(Image *i);
/* Drops layers and blobs that no image and no container needs; the deleting goes on in a process.
 */
void images_collect(Engine *e, char *const *chain_ids, char *const *digests);
/* A pull has ended: what it alone counted on goes. */
void images_collect_leaving(Engine *e);
/* At the start, when all records are there: what no image and no container needs. */
int images_collect_lost(Engine *e, Err *err);
bool pull_counts_on(const Engine *e, const char *chain_id);
/* name moves from the image that had it. */
void image_add_name(Engine *e, Image *i, const char *name, bool is_tag);

/* --- trash.c --- */
typedef struct Trash Trash;

Trash *trash_new(Engine *e);
void trash_free(Trash *t);
/* Moves a folder to the trash, and has it deleted soon. */
void trash_put(Engine *e, const char *path);
/* Has folders deleted that are there already. */
void trash_sweep(Engine *e, char *const *paths);

/* --- recover.c, usage.c --- */
int recover(Engine *e, Err *err);
/* Asks the pod's supervisor what became of its containers, and takes it over. */
void recover_ask_state(Pod *p);
void usage_free(Engine *e);
void usage_forget_container(Engine *e, const char *id);
void usage_forget_pod(Engine *e, const char *id);
/* Of all writable layers together, as far as they have been measured. */
void usage_sum_layers(Engine *e, uint64_t *ret_bytes, uint64_t *ret_inodes);

#endif
