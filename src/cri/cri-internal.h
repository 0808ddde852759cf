/* SPDX-License-Identifier: Apache-2.0 */
/* cri-internal.h - what the files of cri/ share. For this folder only. */
#ifndef TARE_CRI_CRI_INTERNAL_H
#define TARE_CRI_CRI_INTERNAL_H

#include "base/json.h"
#include "cri/cri.h"
#include "wire/pb-json.h"

/* Memory of one answer, freed as a whole. */
typedef struct Arena {
        void **items;
        size_t n;
} Arena;
void *arena_alloc(Arena *a, size_t size); /* zeroed */
char *arena_take(Arena *a, char *s);      /* owns s from now on */
char *arena_printf(Arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_done(Arena *a);
#define _cleanup_arena_ __attribute__((cleanup(arena_done)))
/* A message of T, initialised: arena_message(a, Runtime__V1__Image, runtime__v1__image__init). */
#define arena_message(a, T, init)                                                                  \
        ({                                                                                         \
                T *m_ = arena_alloc((a), sizeof(T));                                               \
                init(m_);                                                                          \
                m_;                                                                                \
        })
/* Appends to the repeated field list/n. */
#define arena_push(a, list, n, item)                                                               \
        do {                                                                                       \
                (list) = arena_grow((a), (list), (n), sizeof(*(list)));                            \
                (list)[(n)++] = (item);                                                            \
        } while (0)
void *arena_grow(Arena *a, void *list, size_t n, size_t size);

/* A call that waits for a verb: answers with `reply` made from the id, or with the error. */
typedef struct Pending Pending;
typedef const ProtobufCMessage *(*ReplyFn)(Arena *a, const char *id);
Pending *pending_new(GrpcCall *call, ReplyFn reply);
void pending_done(void *data, const char *id, const Err *err); /* an EngineDone */
void pending_set_wait(Pending *p, EngineWait *wait);
GrpcCall *pending_finish(Pending *p); /* frees it; the call is to be answered */

/* Both tables are exact matches; selector NULL-safe. T is a map entry type with key and value. */
#define labels_match(want, n_want, have, n_have)                                                   \
        ({                                                                                         \
                bool all_ = true;                                                                  \
                for (size_t i_ = 0; i_ < (n_want) && all_; i_++) {                                 \
                        bool found_ = false;                                                       \
                        for (size_t k_ = 0; k_ < (n_have) && !found_; k_++)                        \
                                found_ = str_eq((want)[i_]->key, (have)[k_]->key) &&               \
                                         str_eq((want)[i_]->value, (have)[k_]->value);             \
                        all_ = found_;                                                             \
                }                                                                                  \
                all_;                                                                              \
        })

/* Map entries of one type as another of the same layout: labels go from request to answer
 * unchanged. */
#define borrow_labels(to, from)                                                                    \
        do {                                                                                       \
                (to)->n_labels = (from)->n_labels;                                                 \
                (to)->labels = (void *)(from)->labels;                                             \
                (to)->n_annotations = (from)->n_annotations;                                       \
                (to)->annotations = (void *)(from)->annotations;                                   \
        } while (0)

Runtime__V1__PodSandboxStatus *cri_pod_status_message(Arena *a, const Pod *p);
Runtime__V1__ContainerStatus *cri_container_status(Arena *a, Engine *e, const Container *c);
Runtime__V1__ContainerResources *cri_container_resources(Arena *a, const Container *c);
Runtime__V1__ContainerState cri_container_state(const Container *c);

/* The answer of a Stream* RPC: the items of a list, STREAM_ITEMS of them a message; none: the end.
 */
#define STREAM_ITEMS 128
#define stream_items(call, T, INIT, field, items, n)                                               \
        do {                                                                                       \
                for (size_t at_ = 0; at_ < (n); at_ += STREAM_ITEMS) {                             \
                        T m_ = INIT;                                                               \
                        m_.field = (items) + at_;                                                  \
                        m_.n_##field = (n)-at_ < STREAM_ITEMS ? (n)-at_ : STREAM_ITEMS;            \
                        if (grpc_call_send((call), &m_.base) < 0)                                  \
                                break; /* the call has failed */                                   \
                }                                                                                  \
                grpc_call_reply((call), NULL);                                                     \
        } while (0)

/* stats.c: calls answer with samples there: at once, or as soon as there are some. processes: with
 * what only a look at each process tells. */
void cri_with_samples(Engine *e, GrpcCall *call, const ProtobufCMessage *req, bool processes,
                      GrpcHandler answer);
Runtime__V1__UInt64Value *cri_u64(Arena *a, uint64_t v);
static inline uint64_t cri_working_set(const Sample *s)
{
        return s->memory_usage > s->inactive_file ? s->memory_usage - s->inactive_file : 0;
}

#define CRI_HANDLER(name) void name(void *userdata, GrpcCall *call, const ProtobufCMessage *req)
CRI_HANDLER(cri_version);
CRI_HANDLER(cri_status);
CRI_HANDLER(cri_runtime_config);
CRI_HANDLER(cri_update_runtime_config);
CRI_HANDLER(cri_run_pod);
CRI_HANDLER(cri_update_pod);
CRI_HANDLER(cri_stop_pod);
CRI_HANDLER(cri_remove_pod);
CRI_HANDLER(cri_pod_status);
CRI_HANDLER(cri_list_pods);
CRI_HANDLER(cri_create_container);
CRI_HANDLER(cri_start_container);
CRI_HANDLER(cri_stop_container);
CRI_HANDLER(cri_remove_container);
CRI_HANDLER(cri_list_containers);
CRI_HANDLER(cri_container_status_call);
CRI_HANDLER(cri_update_container);
CRI_HANDLER(cri_checkpoint_container);
CRI_HANDLER(cri_reopen_log);
CRI_HANDLER(cri_exec_sync);
CRI_HANDLER(cri_exec);
CRI_HANDLER(cri_attach);
CRI_HANDLER(cri_port_forward);
CRI_HANDLER(cri_container_stats);
CRI_HANDLER(cri_list_container_stats);
CRI_HANDLER(cri_stream_pods);
CRI_HANDLER(cri_stream_containers);
CRI_HANDLER(cri_stream_images);
CRI_HANDLER(cri_stream_container_stats);
CRI_HANDLER(cri_stream_pod_stats);
CRI_HANDLER(cri_metric_descriptors);
CRI_HANDLER(cri_list_pod_metrics);
CRI_HANDLER(cri_stream_pod_metrics);
CRI_HANDLER(cri_pod_stats);
CRI_HANDLER(cri_list_pod_stats);
CRI_HANDLER(cri_get_events);
CRI_HANDLER(cri_list_images);
CRI_HANDLER(cri_image_status);
CRI_HANDLER(cri_pull_image);
CRI_HANDLER(cri_remove_image);
CRI_HANDLER(cri_image_fs_info);
CRI_HANDLER(tare_import_image);
CRI_HANDLER(tare_list_operations);
CRI_HANDLER(tare_timeline);

#endif
