/* SPDX-License-Identifier: Apache-2.0 */
/* pod-infra.c - the first container of a pod whose runtime handler says `infra`: tare-pause in a
 * root of its own, in the pod's network namespace, annotated as the sandbox. A sandboxed runtime
 * makes its sandbox for it, and puts the pod's containers there.
 *
 * It has the pod's id, and no record of its own: the supervisor starts it, and Shutdown ends it. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "engine/engine-internal.h"

#define PAUSE_MAX ((size_t)1 << 20) /* bytes of the program */

static int write_root(const Pod *p, const char *bundle, Err *err)
{
        _cleanup_free_ char *root = path_join(bundle, "rootfs");
        _cleanup_free_ char *program = path_join(bundle, "rootfs/pause");
        _cleanup_strbuf_ StrBuf bytes = {};
        char chunk[4096];
        off_t at = 0;
        ssize_t n;

        int r = io_mkdir_p(root, 0755);
        if (r < 0)
                return err_sys(err, -r, "make folder '%s'", root);
        while ((n = pread(p->engine->config->pause_fd, chunk, sizeof(chunk), at)) > 0 &&
               bytes.len < PAUSE_MAX) {
                strbuf_add(&bytes, chunk, (size_t)n);
                at += n;
        }
        if (n < 0)
                return err_sys(err, errno, "read tare-pause");
        r = io_replace_file(AT_FDCWD, program, bytes.data, bytes.len, 0755, false);
        return r < 0 ? err_sys(err, -r, "write '%s'", program) : 0;
}

static void add_namespaces(const Pod *p, Json *linux_part)
{
        static const char *const own[] = { "pid", "ipc", "uts", "mount" };
        Json *list = json_add_array(linux_part, "namespaces");

        for (size_t i = 0; i < array_len(own); i++) {
                Json *one = json_object_new_object();
                json_add_str(one, "type", own[i]);
                json_object_array_add(list, one);
        }
        if (!p->netns_path)
                return;
        Json *network = json_object_new_object();
        json_add_str(network, "type", "network");
        json_add_str(network, "path", p->netns_path);
        json_object_array_add(list, network);
}

/* What a sandbox may size itself by: the pod's resources and its overhead (RuntimeClass), as the
 * client said them when it ran the pod. Names and forms are containerd's and CRI-O's. */
static void add_resources(Json *annotations, const Runtime__V1__LinuxPodSandboxConfig *l)
{
        static const char *const prefix = "io.kubernetes.cri-o.PodLinux";
        const struct {
                const char *name;
                const Runtime__V1__LinuxContainerResources *r;
        } both[] = { { "Overhead", l->overhead }, { "Resources", l->resources } };

        for (size_t i = 0; i < array_len(both); i++) {
                const Runtime__V1__LinuxContainerResources *r = both[i].r;
                const struct {
                        const char *field, *containerd; /* the latter of resources alone */
                        int64_t value;
                } numbers[] = {
                        { "cpu_period", "sandbox-cpu-period", r ? r->cpu_period : 0 },
                        { "cpu_quota", "sandbox-cpu-quota", r ? r->cpu_quota : 0 },
                        { "cpu_shares", "sandbox-cpu-shares", r ? r->cpu_shares : 0 },
                        { "memory_limit_in_bytes", "sandbox-memory",
                          r ? r->memory_limit_in_bytes : 0 },
                };
                _cleanup_json_ Json *j = json_object_new_object();
                _cleanup_free_ char *key = xasprintf("%s%s", prefix, both[i].name);
                for (size_t k = 0; r && k < array_len(numbers); k++) {
                        _cleanup_free_ char *own =
                                xasprintf("io.kubernetes.cri.%s", numbers[k].containerd);
                        _cleanup_free_ char *text = xasprintf("%" PRId64, numbers[k].value);
                        if (numbers[k].value != 0)
                                json_add_i64(j, numbers[k].field, numbers[k].value);
                        if (numbers[k].value != 0 && r == l->resources)
                                json_add_str(annotations, own, text);
                }
                _cleanup_free_ char *text = json_print(j);
                if (r)
                        json_add_str(annotations, key, text);
        }
}

static void add_annotations(const Pod *p, Json *config)
{
        const Runtime__V1__PodSandboxConfig *request = p->request->config;
        const EngineRuntime *runtime = pod_runtime(p);
        Json *annotations = json_add_obj(config, "annotations");

        for (size_t i = 0; i < request->n_annotations; i++)
                if (spec_annotation_may_pass(runtime->pod_annotations,
                                             request->annotations[i]->key))
                        json_add_str(annotations, request->annotations[i]->key,
                                     request->annotations[i]->value);
        json_add_str(annotations, "io.kubernetes.cri.container-type", "sandbox");
        json_add_str(annotations, "io.kubernetes.cri.sandbox-id", p->id);
        json_add_str(annotations, "io.kubernetes.cri.sandbox-name", request->metadata->name);
        json_add_str(annotations, "io.kubernetes.cri.sandbox-namespace",
                     request->metadata->namespace_);
        json_add_str(annotations, "io.kubernetes.cri.sandbox-uid", request->metadata->uid);
        if (request->linux)
                add_resources(annotations, request->linux);
}

static int write_config(const Pod *p, const char *bundle, Err *err)
{
        _cleanup_free_ char *path = path_join(bundle, "config.json");
        _cleanup_free_ char *cgroup =
                spec_cgroups_path(&p->engine->node, p->request->config, p->id);
        _cleanup_json_ Json *j = json_object_new_object();
        char *args[] = { (char *)"/pause", NULL };

        json_add_str(j, "ociVersion", "1.0.2");
        json_add_str(j, "hostname", p->hostname);
        Json *process = json_add_obj(j, "process");
        json_add_obj(process, "user");
        json_add_strv(process, "args", args);
        json_add_str(process, "cwd", "/");
        json_add_bool(process, "noNewPrivileges", true);
        Json *root = json_add_obj(j, "root");
        json_add_str(root, "path", "rootfs");
        json_add_bool(root, "readonly", true);
        add_annotations(p, j);
        Json *linux_part = json_add_obj(j, "linux");
        json_add_str(linux_part, "cgroupsPath", cgroup);
        add_namespaces(p, linux_part);
        return json_write_file(AT_FDCWD, path, j, 0600, false, err);
}

int pod_step_infra(Op *op, Pod *p, Err *err)
{
        const EngineRuntime *runtime = pod_runtime(p);
        _cleanup_free_ char *bundle = xasprintf("%s/infra", p->dir);
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__StartContainerRequest s = TARE__SHIM__V1__START_CONTAINER_REQUEST__INIT;
        Tare__Shim__V1__OciRuntime program;

        if (!runtime || !runtime->infra)
                return 0;
        int r = write_root(p, bundle, err);
        if (r == 0)
                r = write_config(p, bundle, err);
        if (r < 0)
                return r;
        runtime_message(runtime, &program);
        s.container_id = p->id;
        s.bundle = bundle;
        s.systemd_cgroup = op->engine->config->systemd_cgroup;
        s.runtime = &program;
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_START_CONTAINER;
        req.start_container = &s;
        return step_call(op, p, &req, NULL, false, "start the pod's sandbox");
}
