/* SPDX-License-Identifier: Apache-2.0 */
/* methods.c - every RPC of runtime.v1 and tare.v1. Without a handler: UNIMPLEMENTED. */
#include "cri/cri-internal.h"

#define RPC(service, method, request_, response_, streaming_, handler_)                            \
        {                                                                                          \
                .path = "/runtime.v1." #service "/" #method,                                       \
                .request = &runtime__v1__##request_##__descriptor,                                 \
                .response = &runtime__v1__##response_##__descriptor, .streaming = streaming_,      \
                .handler = handler_                                                                \
        }
#define RUNTIME(method, name, handler)                                                             \
        RPC(RuntimeService, method, name##_request, name##_response, false, handler)
#define RUNTIME_STREAM(method, name, handler)                                                      \
        RPC(RuntimeService, method, name##_request, name##_response, true, handler)
#define IMAGE(method, name, handler)                                                               \
        RPC(ImageService, method, name##_request, name##_response, false, handler)
#define TARE(method, name, handler_)                                                               \
        {                                                                                          \
                .path = "/tare.v1.Tare/" #method,                                                  \
                .request = &tare__v1__##name##_request__descriptor,                                \
                .response = &tare__v1__##name##_response__descriptor, .handler = handler_          \
        }

const GrpcMethod cri_methods[] = {
        RUNTIME(Version, version, cri_version),
        RUNTIME(RunPodSandbox, run_pod_sandbox, cri_run_pod),
        RUNTIME(StopPodSandbox, stop_pod_sandbox, cri_stop_pod),
        RUNTIME(RemovePodSandbox, remove_pod_sandbox, cri_remove_pod),
        RUNTIME(PodSandboxStatus, pod_sandbox_status, cri_pod_status),
        RUNTIME(ListPodSandbox, list_pod_sandbox, cri_list_pods),
        RUNTIME_STREAM(StreamPodSandboxes, stream_pod_sandboxes, cri_stream_pods),
        RUNTIME(CreateContainer, create_container, cri_create_container),
        RUNTIME(StartContainer, start_container, cri_start_container),
        RUNTIME(StopContainer, stop_container, cri_stop_container),
        RUNTIME(RemoveContainer, remove_container, cri_remove_container),
        RUNTIME(ListContainers, list_containers, cri_list_containers),
        RUNTIME_STREAM(StreamContainers, stream_containers, cri_stream_containers),
        RUNTIME(ContainerStatus, container_status, cri_container_status_call),
        RUNTIME(UpdateContainerResources, update_container_resources, cri_update_container),
        RUNTIME(ReopenContainerLog, reopen_container_log, cri_reopen_log),
        RUNTIME(ExecSync, exec_sync, cri_exec_sync),
        RUNTIME(Exec, exec, cri_exec),
        RUNTIME(Attach, attach, cri_attach),
        RUNTIME(PortForward, port_forward, cri_port_forward),
        RUNTIME(ContainerStats, container_stats, cri_container_stats),
        RUNTIME(ListContainerStats, list_container_stats, cri_list_container_stats),
        RUNTIME_STREAM(StreamContainerStats, stream_container_stats, cri_stream_container_stats),
        RUNTIME(PodSandboxStats, pod_sandbox_stats, cri_pod_stats),
        RUNTIME(ListPodSandboxStats, list_pod_sandbox_stats, cri_list_pod_stats),
        RUNTIME_STREAM(StreamPodSandboxStats, stream_pod_sandbox_stats, cri_stream_pod_stats),
        RUNTIME(UpdateRuntimeConfig, update_runtime_config, cri_update_runtime_config),
        RUNTIME(Status, status, cri_status),
        RUNTIME(CheckpointContainer, checkpoint_container, cri_checkpoint_container),
        RPC(RuntimeService, GetContainerEvents, get_events_request, container_event_response, true,
            cri_get_events),
        RUNTIME(ListMetricDescriptors, list_metric_descriptors, cri_metric_descriptors),
        RUNTIME(ListPodSandboxMetrics, list_pod_sandbox_metrics, cri_list_pod_metrics),
        RUNTIME_STREAM(StreamPodSandboxMetrics, stream_pod_sandbox_metrics, cri_stream_pod_metrics),
        RUNTIME(RuntimeConfig, runtime_config, cri_runtime_config),
        RUNTIME(UpdatePodSandboxResources, update_pod_sandbox_resources, cri_update_pod),
        IMAGE(ListImages, list_images, cri_list_images),
        RPC(ImageService, StreamImages, stream_images_request, stream_images_response, true,
            cri_stream_images),
        IMAGE(ImageStatus, image_status, cri_image_status),
        IMAGE(PullImage, pull_image, cri_pull_image),
        IMAGE(RemoveImage, remove_image, cri_remove_image),
        IMAGE(ImageFsInfo, image_fs_info, cri_image_fs_info),
        TARE(ImportImage, import_image, tare_import_image),
        TARE(ListOperations, list_operations, tare_list_operations),
        TARE(Timeline, timeline, tare_timeline),
        {},
};
