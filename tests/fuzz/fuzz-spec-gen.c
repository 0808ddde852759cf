/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-spec-gen.c - a CreateContainerRequest to a spec: what is accepted gives a document that
 * parses again to the same; what is not, an error of the client's and never one of ours.
 *
 * Input: one byte of facts about the node, one of what the caller found, then the message. */
/* links: base oci proto_cri spec wire */
#include "fuzz/fuzz.h"
#include "spec/spec-gen.h"
#include "wire/pb-check.h"

#define SOURCES_MAX 64

static char *node_caps[] = { "CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN",
                             NULL };
static char *patterns[] = { "*", "a/*", NULL };
static char *image_env[] = { "PATH=/bin", "A=1", "B", "=", NULL };
static char *image_cmd[] = { "sh", NULL };
static char *image_volumes[] = { "/v", "a/../..", "/etc/hosts", NULL };
static char *volume_paths[] = { "/host/v0", "/host/v1", "/host/v2", NULL };

static SpecNode fuzz_node(uint8_t bits, const OciDevice *devices, size_t n_devices)
{
        return (SpecNode){
                .capabilities = node_caps,
                .cgroup_v2 = bits & 1,
                .systemd_cgroup = bits & 2,
                .has_hugetlb = bits & 4,
                .has_swap = bits & 8,
                .has_seccomp = !(bits & 16),
                .has_apparmor = bits & 32,
                .has_selinux = bits & 64,
                .min_oom_score_adj = bits & 128 ? 0 : -1000,
                .kernel_major = 6,
                .kernel_minor = 1,
                .host_devices = devices,
                .n_host_devices = n_devices,
                .recursive_read_only = !(bits & 128),
                .apparmor_default = "default",
                .pod_annotations = patterns,
                .container_annotations = patterns,
        };
}

static void check_result(const SpecNode *node, const OciSpec *spec,
                         const Runtime__V1__ContainerConfig *c)
{
        _cleanup_json_ Json *j = oci_spec_to_json(spec);
        _cleanup_free_ char *text = json_print(j);
        _cleanup_(oci_spec_freep) OciSpec *again = NULL;
        Err err = {};

        /* A pod of many large strings may be more than a config.json can hold: the runtime says so.
         */
        if (strlen(text) > JSON_CONFIG_MAX)
                return;
        tare_assert(oci_spec_parse(text, strlen(text), &again, &err) == 0);
        _cleanup_json_ Json *j2 = oci_spec_to_json(again);
        _cleanup_free_ char *text2 = json_print(j2);
        tare_assert(str_eq(text, text2));

        char *args[] = { "true", NULL };
        _cleanup_(oci_process_freep) OciProcess *p = NULL;
        tare_assert(spec_exec_process(spec, args, true, &p, &err) == 0);
        _cleanup_(oci_resources_freep) OciResources *res = NULL;
        if (c->linux && c->linux->resources)
                tare_assert(spec_update_resources(node, spec->linux.resources, c->linux->resources,
                                                  &res, NULL, &err) == 0);
}

static void run(const SpecNode *node, uint8_t found, const Runtime__V1__CreateContainerRequest *req)
{
        ImageConfig config = { .env = image_env,
                               .cmd = image_cmd,
                               .volumes = image_volumes,
                               .working_dir = (char *)"w" };
        SpecImage image = { .config = &config, .reference = "i" };
        SpecUser user = { .uid = 1, .gid = 2, .home = "/h" };
        SpecTarget target = { .pid_path = "/proc/1/ns/pid" };
        SpecPod pod = { .id = "p",
                        .config = req->sandbox_config,
                        .net_path = "/n",
                        .uts_path = "/u",
                        .hosts_path = "/hosts",
                        .shm_path = "/shm",
                        .pid_path = found & 1 ? "/pid" : NULL };
        SpecMountSource mounts[SOURCES_MAX];
        SpecDeviceSource devices[SOURCES_MAX];
        _cleanup_strv_ char **volumes = NULL, **notes = NULL;
        _cleanup_(oci_spec_freep) OciSpec *spec = NULL;
        Err err = {};

        for (size_t i = 0; i < SOURCES_MAX; i++) {
                mounts[i] =
                        (SpecMountSource){ .path = "/source", .is_dir = i % 2, .shared = i % 3 };
                devices[i] =
                        (SpecDeviceSource){ .index = i, .type = found & 2 ? 'b' : 'c', .major = 7 };
        }
        SpecInput in = { .node = node,
                         .pod = &pod,
                         .container_id = "c",
                         .config = req->config,
                         .image = &image,
                         .user = &user,
                         .mount_sources = mounts,
                         .device_sources = devices,
                         .n_device_sources = found & 4 ? 0 : req->config->n_devices,
                         .target = found & 8 ? &target : NULL,
                         .seccomp_text =
                                 found & 16 ? "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}" : NULL,
                         .image_volume_paths = volume_paths };
        if (spec_image_volumes(req->config, &image, &volumes, &err) == 0)
                in.image_volumes = volumes;
        int r = spec_generate(&in, &spec, &notes, &err);
        if (r == 0)
                check_result(node, spec, req->config);
        else {
                if (err.kind == ERR_INTERNAL)
                        fprintf(stderr, "%s\n", err.msg);
                tare_assert(err.kind != ERR_NONE && err.kind != ERR_INTERNAL && err.msg[0] &&
                            r == -err.num);
        }
}

static void ask_all(const SpecNode *node, const Runtime__V1__CreateContainerRequest *req)
{
        SpecUserRequest user = {};
        const char *path = NULL;
        Err err = {};

        (void)spec_check_pod(node, req->sandbox_config, &err);
        (void)spec_check_container(node, req->sandbox_config, req->config, &err);
        if (spec_user_request(req->sandbox_config, req->config, NULL, &user, &err) == 0)
                spec_user_request_done(&user);
        (void)spec_seccomp_path(req->config, &path, &err);
        tare_assert(spec_stop_signal(req->config, NULL) > 0);
        if (req->sandbox_config->dns_config)
                free(spec_resolv_conf(req->sandbox_config->dns_config));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const OciDevice devices[] = {
                { .path = (char *)"/dev/x", .type = 'c', .major = 1 }
        };
        ProtobufCMessage *message = NULL;
        Err err = {};

        if (size < 2 || pb_unpack(&runtime__v1__create_container_request__descriptor, data + 2,
                                  size - 2, &message, &err) < 0)
                return 0;
        Runtime__V1__CreateContainerRequest *req = (Runtime__V1__CreateContainerRequest *)message;
        SpecNode node = fuzz_node(data[0], devices, 1);
        if (req->config && req->sandbox_config && req->config->n_mounts <= SOURCES_MAX &&
            req->config->n_devices <= SOURCES_MAX) {
                ask_all(&node, req);
                run(&node, data[1], req);
        }
        protobuf_c_message_free_unpacked(message, NULL);
        return 0;
}
