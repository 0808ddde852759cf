/* SPDX-License-Identifier: Apache-2.0 */
/* spec-test.h - what the tests of src/spec share: CRI messages from JSON, a node, a pod and an
 * image to generate for, and a way to look at the result.
 *
 * JSON of requests is written with ' for ", as in {'metadata': {'name': 'c'}}; field names are
 * those of the .proto file, enums their names. A request that does not fit the messages ends the
 * test. */
#ifndef TARE_UNIT_SPEC_TEST_H
#define TARE_UNIT_SPEC_TEST_H

#include "base/json.h"
#include "spec/spec-gen.h"
#include "unit/test.h"

/* --- messages from JSON --- */

static inline void pb_fill(ProtobufCMessage *m, Json *j);

static inline size_t pb_size(ProtobufCType type)
{
        switch (type) {
        case PROTOBUF_C_TYPE_BOOL:
                return sizeof(protobuf_c_boolean);
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_ENUM:
                return 4;
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_UINT64:
                return 8;
        case PROTOBUF_C_TYPE_BYTES:
                return sizeof(ProtobufCBinaryData);
        default:
                return sizeof(void *);
        }
}

static inline ProtobufCMessage *pb_new(const ProtobufCMessageDescriptor *d, Json *j)
{
        ProtobufCMessage *m = xcalloc(1, d->sizeof_message);
        d->message_init(m);
        if (j)
                pb_fill(m, j);
        return m;
}

static inline void pb_set(const ProtobufCFieldDescriptor *f, void *at, Json *j)
{
        switch (f->type) {
        case PROTOBUF_C_TYPE_BOOL:
                *(protobuf_c_boolean *)at = json_object_get_boolean(j);
                break;
        case PROTOBUF_C_TYPE_INT32:
                *(int32_t *)at = json_object_get_int(j);
                break;
        case PROTOBUF_C_TYPE_UINT32:
                *(uint32_t *)at = (uint32_t)json_object_get_int64(j);
                break;
        case PROTOBUF_C_TYPE_INT64:
                *(int64_t *)at = json_object_get_int64(j);
                break;
        case PROTOBUF_C_TYPE_UINT64:
                *(uint64_t *)at = json_object_get_uint64(j);
                break;
        case PROTOBUF_C_TYPE_STRING:
                *(char **)at = xstrdup(json_object_get_string(j));
                break;
        case PROTOBUF_C_TYPE_BYTES: {
                ProtobufCBinaryData *b = at;
                b->len = (size_t)json_object_get_string_len(j);
                b->data = xmemdup(json_object_get_string(j), b->len);
                break;
        }
        case PROTOBUF_C_TYPE_MESSAGE:
                *(ProtobufCMessage **)at = pb_new(f->descriptor, j);
                break;
        case PROTOBUF_C_TYPE_ENUM: {
                const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value_by_name(
                        f->descriptor, json_object_get_string(j));
                *(int *)at = v ? v->value : json_object_get_int(j);
                break;
        }
        default:
                TEST_FAIL("field %s has a type that this test cannot fill", f->name);
        }
}

/* A map is written as an object, in protobuf a list of entries with fields 1 and 2. */
static inline void pb_set_map(const ProtobufCFieldDescriptor *f, ProtobufCMessage **list, Json *j)
{
        const ProtobufCMessageDescriptor *entry = f->descriptor;
        size_t i = 0;
        json_object_object_foreach(j, key, value)
        {
                ProtobufCMessage *m = pb_new(entry, NULL);
                *(char **)((char *)m + entry->fields[0].offset) = xstrdup(key);
                pb_set(entry->fields + 1, (char *)m + entry->fields[1].offset, value);
                list[i++] = m;
        }
}

static inline void pb_set_repeated(const ProtobufCFieldDescriptor *f, ProtobufCMessage *m, Json *j)
{
        bool map = json_object_is_type(j, json_type_object);
        size_t n = map ? (size_t)json_object_object_length(j) : json_object_array_length(j);
        size_t size = pb_size(f->type);
        char *list = xcalloc(n + 1, size);
        *(size_t *)((char *)m + f->quantifier_offset) = n;
        *(char **)((char *)m + f->offset) = list;
        if (map)
                pb_set_map(f, (ProtobufCMessage **)list, j);
        else
                for (size_t i = 0; i < n; i++)
                        pb_set(f, list + i * size, json_object_array_get_idx(j, i));
}

static inline void pb_fill(ProtobufCMessage *m, Json *j)
{
        json_object_object_foreach(j, key, value)
        {
                const ProtobufCFieldDescriptor *f =
                        protobuf_c_message_descriptor_get_field_by_name(m->descriptor, key);
                if (!f)
                        TEST_FAIL("%s has no field %s", m->descriptor->name, key);
                if (f->label == PROTOBUF_C_LABEL_REPEATED)
                        pb_set_repeated(f, m, value);
                else
                        pb_set(f, (char *)m + f->offset, value);
        }
}

/* Text with ' for ". */
static inline Json *quoted_json(const char *text)
{
        _cleanup_free_ char *copy = xstrdup(text);
        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        Json *j = NULL;
        Err err = {};
        ASSERT_OK_ERR(json_parse(copy, strlen(copy), JSON_CONFIG_MAX, &j, &err), err);
        return j;
}

/* A request of a test names only what it is about: the name comes from here. */
static inline void *pb_parse(const ProtobufCMessageDescriptor *d, const char *text,
                             const char *metadata)
{
        _cleanup_json_ Json *j = quoted_json(text);
        if (metadata && !json_object_object_get_ex(j, "metadata", NULL))
                json_object_object_add(j, "metadata", quoted_json(metadata));
        return pb_new(d, j);
}

/* --- a node, a pod, an image --- */

enum {
        NODE_V2 = 1 << 0,
        NODE_SYSTEMD = 1 << 1,
        NODE_HUGETLB = 1 << 2,
        NODE_NO_SWAP = 1 << 3,
        NODE_NO_SECCOMP = 1 << 4,
        NODE_APPARMOR = 1 << 5,
        NODE_SELINUX = 1 << 6,
        NODE_NO_RRO = 1 << 7,
        NODE_OOM_0 = 1 << 8, /* may not go below 0 */
        NODE_PIDS = 1 << 9,
        NODE_PASS = 1 << 10,   /* annotations of example.com pass */
        NODE_TARGET = 1 << 11, /* not of the node: the target container is there */
};

static char *test_caps[] = {
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE",
        "CAP_SYS_ADMIN",
        "CAP_MKNOD",
        "CAP_AUDIT_WRITE",
        "CAP_SETFCAP",
        NULL,
};
static char *test_patterns[] = { "example.com/*", NULL };
static const OciDevice test_devices[] = {
        { .path = "/dev/null",
          .type = 'c',
          .major = 1,
          .minor = 3,
          .has_mode = true,
          .mode = 0666 },
        { .path = "/dev/fuse",
          .type = 'c',
          .major = 10,
          .minor = 229,
          .has_mode = true,
          .mode = 0666 },
        { .path = "/dev/sda",
          .type = 'b',
          .major = 8,
          .minor = 0,
          .has_mode = true,
          .mode = 0660,
          .has_gid = true,
          .gid = 6 },
        { .path = "/dev/pts/0", .type = 'c', .major = 136, .minor = 0 },
        { .path = "/dev/console", .type = 'c', .major = 5, .minor = 1 },
        { .path = "/dev/ptmx", .type = 'c', .major = 5, .minor = 2 },
};

static inline SpecNode test_node(unsigned flags)
{
        return (SpecNode){
                .capabilities = test_caps,
                .cgroup_v2 = flags & NODE_V2,
                .systemd_cgroup = flags & NODE_SYSTEMD,
                .has_hugetlb = flags & NODE_HUGETLB,
                .has_swap = !(flags & NODE_NO_SWAP),
                .has_seccomp = !(flags & NODE_NO_SECCOMP),
                .has_apparmor = flags & NODE_APPARMOR,
                .has_selinux = flags & NODE_SELINUX,
                .min_oom_score_adj = flags & NODE_OOM_0 ? 0 : -1000,
                .default_cgroup_parent = flags & NODE_SYSTEMD ? "tare.slice" : "/tare",
                .kernel_major = 6,
                .kernel_minor = 18,
                .host_devices = test_devices,
                .n_host_devices = array_len(test_devices),
                .recursive_read_only = !(flags & NODE_NO_RRO),
                .pids_limit = flags & NODE_PIDS ? 100 : 0,
                .apparmor_default = flags & NODE_APPARMOR ? "tare-default" : NULL,
                .pod_annotations = flags & NODE_PASS ? test_patterns : NULL,
                .container_annotations = flags & NODE_PASS ? test_patterns : NULL,
        };
}

/* Members as in an image's config: Env, Entrypoint, Cmd, WorkingDir, User, StopSignal, Volumes (a
 * list). */
static inline ImageConfig *test_image(const char *text)
{
        _cleanup_json_ Json *j = quoted_json(text);
        ImageConfig *c = xnew(ImageConfig);
        json_get_strv(j, "Env", "", &c->env, NULL);
        json_get_strv(j, "Entrypoint", "", &c->entrypoint, NULL);
        json_get_strv(j, "Cmd", "", &c->cmd, NULL);
        json_get_strv(j, "Volumes", "", &c->volumes, NULL);
        json_get_str(j, "WorkingDir", "", &c->working_dir, NULL);
        json_get_str(j, "User", "", &c->user, NULL);
        json_get_str(j, "StopSignal", "", &c->stop_signal, NULL);
        return c;
}

static inline void test_image_free(ImageConfig *c)
{
        strv_free(c->env);
        strv_free(c->entrypoint);
        strv_free(c->cmd);
        strv_free(c->volumes);
        free(c->working_dir);
        free(c->user);
        free(c->stop_signal);
        free(c);
}

/* --- one run of the generator --- */

typedef struct SpecRun {
        Runtime__V1__PodSandboxConfig *pod;
        Runtime__V1__ContainerConfig *container;
        ImageConfig *image;
        SpecNode node;
        OciSpec *spec;
        char **notes;
        Json *json; /* of spec */
        Err err;
        int r;
} SpecRun;

static inline void run_parse(SpecRun *run, const char *pod, const char *container,
                             const char *image, unsigned flags)
{
        *run = (SpecRun){ .node = test_node(flags) };
        run->pod = pb_parse(&runtime__v1__pod_sandbox_config__descriptor, pod ? pod : "{}",
                            "{'name': 'web', 'namespace': 'prod', 'uid': 'u-1'}");
        run->container = pb_parse(&runtime__v1__container_config__descriptor,
                                  container ? container : "{}", "{'name': 'app'}");
        run->image = test_image(image ? image : "{'Cmd': ['sh']}");
}

static inline SpecPod run_pod(const SpecRun *run)
{
        const Runtime__V1__LinuxPodSandboxConfig *l = run->pod->linux;
        const Runtime__V1__NamespaceOption *n =
                l && l->security_context ? l->security_context->namespace_options : NULL;
        bool host_net = n && n->network == RUNTIME__V1__NAMESPACE_MODE__NODE;
        bool host_ipc = n && n->ipc == RUNTIME__V1__NAMESPACE_MODE__NODE;
        bool shared_pid = !n || n->pid == RUNTIME__V1__NAMESPACE_MODE__POD;
        return (SpecPod){
                .id = "pod1",
                .config = run->pod,
                .net_path = host_net ? NULL : "/run/netns/tare-1",
                .uts_path = host_net ? NULL : "/run/tare/pods/pod1/uts",
                .ipc_path = host_ipc ? NULL : "/run/tare/pods/pod1/ipc",
                .pid_path = shared_pid ? "/run/tare/pods/pod1/pid" : NULL,
                .hosts_path = "/run/tare/pods/pod1/hosts",
                .hostname_path = "/run/tare/pods/pod1/hostname",
                .resolv_path = "/run/tare/pods/pod1/resolv.conf",
                .shm_path = "/run/tare/pods/pod1/shm",
                .hostname = run->pod->hostname,
                .selinux_level = "s0:c1,c2",
        };
}

/* What the caller of the generator would have found: sources as asked for, a folder for a device
 * path that ends in '/', nothing for one below /missing. */
static inline size_t run_device_sources(const SpecRun *run, SpecDeviceSource *s)
{
        size_t n = 0;
        for (size_t i = 0; i < run->container->n_devices; i++) {
                const char *path = run->container->devices[i]->host_path;
                SpecDeviceSource one = { .index = i,
                                         .type = 'c',
                                         .major = 10,
                                         .minor = 200 + (int)n,
                                         .mode = 0660,
                                         .gid = 5 };
                if (str_skip_prefix(path, "/missing"))
                        continue;
                if (str_has_suffix(path, "/")) {
                        one.below = "one";
                        s[n++] = one;
                        one.below = "sub/two";
                        one.type = 'b';
                        one.minor++;
                }
                s[n++] = one;
        }
        return n;
}

static inline void run_generate(SpecRun *run, unsigned flags, const char *seccomp_text)
{
        static const uint32_t gids[] = { 10, 20 };
        static char *volume_paths[] = { "/var/lib/tare/v/0", "/var/lib/tare/v/1",
                                        "/var/lib/tare/v/2", NULL };
        SpecPod pod = run_pod(run);
        SpecImage image = { .config = run->image, .reference = "docker.io/library/busybox:latest" };
        SpecUser user = { .uid = 1000,
                          .gid = 100,
                          .additional_gids = gids,
                          .n_additional_gids = 2,
                          .home = "/home/app" };
        SpecTarget target = { .pid_path = "/proc/77/ns/pid" };
        SpecDeviceSource devices[16];
        _cleanup_free_ SpecMountSource *mounts =
                xnew_array(SpecMountSource, run->container->n_mounts + 1);
        for (size_t i = 0; i < run->container->n_mounts; i++)
                mounts[i].path =
                        str_or(run->container->mounts[i]->host_path, "/run/tare/image-mount");
        _cleanup_strv_ char **volumes = NULL;
        run->r = spec_image_volumes(run->container, &image, &volumes, &run->err);
        if (run->r < 0)
                return;
        SpecInput in = { .node = &run->node,
                         .pod = &pod,
                         .container_id = "ctr1",
                         .config = run->container,
                         .image = &image,
                         .user = &user,
                         .mount_sources = mounts,
                         .device_sources = devices,
                         .n_device_sources = run_device_sources(run, devices),
                         .target = flags & NODE_TARGET ? &target : NULL,
                         .seccomp_text = seccomp_text,
                         .image_volumes = volumes,
                         .image_volume_paths = volume_paths };
        run->r = spec_generate(&in, &run->spec, &run->notes, &run->err);
        if (run->r == 0)
                run->json = oci_spec_to_json(run->spec);
}

static inline void run_done(SpecRun *run)
{
        protobuf_c_message_free_unpacked(&run->pod->base, NULL);
        protobuf_c_message_free_unpacked(&run->container->base, NULL);
        test_image_free(run->image);
        oci_spec_freep(&run->spec);
        strv_free(run->notes);
        json_putp(&run->json);
}

/* --- looking at the result --- */

/* "mounts|/etc/hosts|options": members by name, items of a list by number, destination, path or
 * type; an item that is a string by itself. NULL: not there. */
static inline Json *json_at(Json *j, const char *path)
{
        _cleanup_strv_ char **parts = strv_split(path, "|");
        for (char **p = parts; j && p && *p; p++) {
                Json *next = NULL;
                uint32_t index = 0;
                if (json_object_is_type(j, json_type_object))
                        json_object_object_get_ex(j, *p, &next);
                else if (json_object_is_type(j, json_type_array) && str_to_u32(*p, &index) == 0)
                        next = json_object_array_get_idx(j, index);
                else if (json_object_is_type(j, json_type_array))
                        for (size_t i = 0; !next && i < json_object_array_length(j); i++) {
                                Json *item = json_object_array_get_idx(j, i), *v = NULL;
                                static const char *const keys[] = { "destination", "path", "type" };
                                if (json_object_is_type(item, json_type_string) &&
                                    str_eq(json_object_get_string(item), *p))
                                        next = item;
                                for (size_t k = 0; !next && k < array_len(keys); k++)
                                        if (json_object_is_type(item, json_type_object) &&
                                            json_object_object_get_ex(item, keys[k], &v) &&
                                            str_eq(json_object_get_string(v), *p))
                                                next = item;
                        }
                j = next;
        }
        return j;
}

/* Compact text with ' for "; "absent" when it is not there. */
static inline char *text_at(Json *j, const char *path)
{
        Json *at = json_at(j, path);
        char *text =
                xstrdup(at ? json_object_to_json_string_ext(
                                     at, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                           : "absent");
        for (char *p = text; *p; p++)
                if (*p == '"')
                        *p = '\'';
        return text;
}

/* One row of a test: what is asked, where to look, what has to be there. */
typedef struct SpecRow {
        const char *pod, *container, *image; /* NULL: nothing special */
        unsigned flags;                      /* NODE_x */
        const char *path, *want;
} SpecRow;

static inline void check_rows(const SpecRow *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                SpecRun run;
                run_parse(&run, rows[i].pod, rows[i].container, rows[i].image, rows[i].flags);
                run_generate(&run, rows[i].flags, NULL);
                if (run.r < 0)
                        TEST_FAIL("row %zu: %s", i, run.err.msg);
                _cleanup_free_ char *got = text_at(run.json, rows[i].path);
                if (!str_eq(got, rows[i].want))
                        TEST_FAIL("row %zu: %s is\n  %s, not\n  %s", i, rows[i].path, got,
                                  rows[i].want);
                run_done(&run);
        }
}

/* One request that has to be refused, with this kind and these words. */
typedef struct RefusedRow {
        const char *pod, *container;
        unsigned flags;
        ErrKind kind;
        const char *words;
} RefusedRow;

static inline void check_refused(const RefusedRow *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                SpecRun run;
                run_parse(&run, rows[i].pod, rows[i].container, NULL, rows[i].flags);
                run_generate(&run, rows[i].flags, NULL);
                if (run.r == 0)
                        TEST_FAIL("row %zu: expected \"%s\", but there was no error", i,
                                  rows[i].words);
                if (run.err.kind != rows[i].kind || !strstr(run.err.msg, rows[i].words))
                        TEST_FAIL("row %zu: expected %s \"%s\", not %s \"%s\"", i,
                                  err_kind_name(rows[i].kind), rows[i].words,
                                  err_kind_name(run.err.kind), run.err.msg);
                ASSERT_EQ(run.r, -err_kind_errno(run.err.kind));
                run_done(&run);
        }
}

#endif
