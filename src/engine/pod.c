/* SPDX-License-Identifier: Apache-2.0 */
/* pod.c - RunPodSandbox, and the pod's supervisor as the engine sees it.
 *
 *   record  ->  files  ->  shim  ->  sandbox  ->  network  ->  nri  ->  commit
 *
 * Undo goes the other way: network down, supervisor down, what it left, files, record. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/io.h"
#include "base/log.h"
#include "engine/engine-internal.h"
#include "sys/pidfd.h"

#define HOST_FILE_MAX                                                                              \
        ((size_t)64 << 10) /* bytes of /etc/hosts and /etc/resolv.conf that are copied */
#define SHM_SIZE_BYTES ((uint64_t)64 << 20)

const Runtime__V1__NamespaceOption *pod_namespaces(const Pod *p)
{
        const Runtime__V1__LinuxPodSandboxConfig *l = p->request->config->linux;

        return l && l->security_context ? l->security_context->namespace_options : NULL;
}

bool pod_host_network(const Pod *p)
{
        const Runtime__V1__NamespaceOption *ns = pod_namespaces(p);

        return ns && ns->network == RUNTIME__V1__NAMESPACE_MODE__NODE;
}

char *pod_socket_path(const Pod *p)
{
        return xasprintf("%s/shim.sock", p->dir);
}

/* --- the supervisor --- */

void pod_not_ready(Pod *p)
{
        bool was = p->state == POD_READY;

        p->state = POD_NOTREADY;
        if (was)
                engine_tell(p->engine, ENGINE_STOPPED, p, NULL);
}

static void on_gone(void *data)
{
        Pod *p = data;
        Engine *e = p->engine;
        Op *waiter = p->gone_waiter;
        const char *key;
        void *value;

        p->supervisor->ops->free(p->supervisor);
        p->supervisor = NULL;
        p->gone_waiter = NULL;
        if (p->state == POD_READY && !p->stopping && !p->removing) {
                log_warning("pod=%s its supervisor (pid %d) has died: the pod is not ready", p->id,
                            p->shim_pid);
                pod_not_ready(p);
        }
        for (size_t i = 0; map_next(p->containers, &i, &key, &value);)
                container_lost(e, value);
        if (p->state == POD_NOTREADY) {
                (void)record_save_pod(e, p, false,
                                      NULL); /* the next start sees a dead shim again */
                reap_pod(e, p);
        }
        if (waiter)
                op_resume(waiter, 0, NULL);
}

static void on_exited(void *data, const Tare__Shim__V1__ExitEvent *ev)
{
        Pod *p = data;
        Container *c = map_get(p->containers, ev->container_id);

        if (c)
                container_exited(p->engine, c, ev);
        bool infra = str_eq(ev->container_id, p->id);
        if ((!infra && !str_empty(ev->container_id)) || p->state != POD_READY || p->stopping)
                return;
        log_warning("pod=%s %s has died: the pod is not ready", p->id,
                    infra ? "its sandbox" : "the init of its PID namespace");
        pod_not_ready(p);
        (void)record_save_pod(p->engine, p, false, NULL); /* its state says so after a restart */
}

static void on_reconnected(void *data)
{
        recover_ask_state(data);
}

const SupervisorEvents pod_supervisor_events = { .exited = on_exited,
                                                 .gone = on_gone,
                                                 .reconnected = on_reconnected };

int pod_connect(Engine *e, Pod *p, Err *err)
{
        _cleanup_free_ char *path = pod_socket_path(p);

        p->engine = e;
        return supervisor_shim_new(e->world, p->id, path, p->shim_pid, p->shim_start_time,
                                   &pod_supervisor_events, p, &p->supervisor, err);
}

/* --- steps of RunPodSandbox --- */

static bool is_leaving(Engine *e, const Pod *p)
{
        _cleanup_free_ char *object = engine_object("pod", p->id);

        return engine_is_leaving(e, object, &verb_run_pod, &verb_remove_pod);
}

static int run_record(Op *op, Err *err)
{
        Pod *p = op->data;
        Pod *holder = map_get(op->engine->pod_keys, p->key);

        if (holder && holder != p) {
                if (is_leaving(op->engine, holder)) {
                        engine_wait_name(op->engine, op);
                        return OP_WAIT;
                }
                return err_set(err, ERR_EXISTS,
                               "pod \"%s\" of namespace \"%s\" exists as %.13s, whose removal has "
                               "failed: remove it again",
                               p->request->config->metadata->name,
                               p->request->config->metadata->namespace_, holder->id);
        }
        map_set(op->engine->pod_keys, p->key, p);
        return record_save_pod(op->engine, p, true, err);
}

static int run_record_undo(Op *op, Err *err)
{
        Pod *p = op->data;

        return store_delete(op->engine->run, STORE_POD, p->id, err);
}

static int write_file(const Pod *p, const char *name, const char *text, size_t len, Err *err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", p->dir, name);
        int r = io_replace_file(AT_FDCWD, path, text, len, 0644, false);
        SpecPodUsers users;

        /* ours, and the pod's: its root may write to it as in any other pod */
        if (r == 0 && spec_pod_users(p->request->config, &users) &&
            lchown(path, users.uid, users.gid) < 0)
                r = -errno;
        return r < 0 ? err_sys(err, -r, "write '%s'", path) : 0;
}

static int copy_host_file(const Pod *p, const char *from, const char *name, Err *err)
{
        _cleanup_strbuf_ StrBuf text = {};
        int r = io_read_file(AT_FDCWD, from, HOST_FILE_MAX, &text);

        if (r < 0 && r != -ENOENT)
                return err_sys(err, -r, "read '%s'", from);
        return write_file(p, name, strbuf_bytes(&text), text.len, err);
}

static int write_resolv(const Pod *p, Err *err)
{
        _cleanup_free_ char *text = NULL;

        if (p->request->config->dns_config)
                text = spec_resolv_conf(p->request->config->dns_config);
        if (!text)
                return copy_host_file(p, "/etc/resolv.conf", "resolv.conf", err);
        return write_file(p, "resolv.conf", text, strlen(text), err);
}

int pod_write_resolv(const Pod *p, const Runtime__V1__DNSConfig *dns, Err *err)
{
        _cleanup_free_ char *text = spec_resolv_conf(dns);

        return text ? write_file(p, "resolv.conf", text, strlen(text), err) : 0;
}

static int make_dirs(const Pod *p, Err *err)
{
        static const char *const below[] = { "", "/shm", "/ns", "/exits", "/containers" };
        SpecPodUsers users;
        /* By the mapped root alone: a handler's program, or a createContainer hook, finds the
         * container's root by its path. To others on the node the programs of an image, also those
         * with the set-user-ID bit, are not to be there. */
        bool crossed = spec_pod_users(p->request->config, &users);
        int r = 0;

        for (size_t i = 0; r == 0 && i < array_len(below); i++) {
                _cleanup_free_ char *path = xasprintf("%s%s", p->dir, below[i]);
                bool on_the_way = i == 0 || i == array_len(below) - 1;
                r = io_mkdir_p(path, crossed && on_the_way ? 0710 : 0700);
                if (r == 0 && crossed && on_the_way && lchown(path, (uid_t)-1, users.gid) < 0)
                        r = -errno;
                if (r < 0)
                        return err_sys(err, -r, "make folder '%s'", path);
        }
        return 0;
}

static int run_files(Op *op, Err *err)
{
        Pod *p = op->data;
        _cleanup_free_ char *hostname = xasprintf("%s\n", p->hostname);
        int r = make_dirs(p, err);

        if (r == 0)
                r = write_file(p, "hostname", hostname, strlen(hostname), err);
        if (r == 0)
                r = copy_host_file(p, "/etc/hosts", "hosts", err);
        return r == 0 ? write_resolv(p, err) : r;
}

static int run_files_undo(Op *op, Err *err)
{
        return pod_step_files_gone(op, op->data, err);
}

static int run_shim(Op *op, Err *err)
{
        Pod *p = op->data;
        World *w = op->engine->world;
        _cleanup_free_ char *path = pod_socket_path(p);
        int r = w->start_supervisor(w, op->engine->config, p->id, p->dir, path, &p->shim_pid, err);

        if (r < 0)
                return r;
        p->shim_start_time = process_start_time(p->shim_pid);
        return pod_connect(op->engine, p, err);
}

static int run_shim_undo(Op *op, Err *err)
{
        return pod_step_supervisor_down(op, op->data, err);
}

static int sandbox_made(Op *op, const Tare__Shim__V1__Reply *reply, Err *err)
{
        const Tare__Shim__V1__CreateSandboxReply *s = reply->create_sandbox;
        SpecPodUsers users;
        Pod *p = op->data;

        if (reply->result_case != TARE__SHIM__V1__REPLY__RESULT_CREATE_SANDBOX)
                return err_set(err, ERR_INTERNAL, "the supervisor answered something else");
        p->pause_pid = s->pause_pid;
        str_assign(&p->ipc_path, str_empty(s->ipc_path) ? NULL : s->ipc_path);
        str_assign(&p->uts_path, str_empty(s->uts_path) ? NULL : s->uts_path);
        str_assign(&p->pid_path, str_empty(s->pid_path) ? NULL : s->pid_path);
        str_assign(&p->user_path, str_empty(s->user_path) ? NULL : s->user_path);
        if (spec_pod_users(p->request->config, &users) && !p->user_path)
                return err_set(err, ERR_UNSUPPORTED,
                               "the supervisor is older than this daemon and makes no user "
                               "namespaces");
        return 0;
}

/* Those of interfaces, or the others; list and items are freed by the caller. */
static size_t choose_sysctls(const Runtime__V1__LinuxPodSandboxConfig *l, bool of_interfaces,
                             Tare__Shim__V1__Sysctl ***list, Tare__Shim__V1__Sysctl **items)
{
        size_t n = 0, all = l ? l->n_sysctls : 0;

        *items = xnew_array(Tare__Shim__V1__Sysctl, all);
        *list = xnew_array(Tare__Shim__V1__Sysctl *, all);
        for (size_t i = 0; i < all; i++) {
                Tare__Shim__V1__Sysctl *s = *items + n;
                if (spec_sysctl_is_of_interface(l->sysctls[i]->key) != of_interfaces)
                        continue;
                tare__shim__v1__sysctl__init(s);
                s->name = l->sysctls[i]->key;
                s->value = l->sysctls[i]->value;
                (*list)[n++] = s;
        }
        return n;
}

/* A list of one map; freed by the caller. */
static Tare__Shim__V1__IdMap **one_map(Tare__Shim__V1__IdMap *map, uint32_t host_id, uint32_t size)
{
        Tare__Shim__V1__IdMap **list = xnew_array(Tare__Shim__V1__IdMap *, 1);

        tare__shim__v1__id_map__init(map);
        map->host_id = host_id;
        map->size = size;
        list[0] = map;
        return list;
}

static int run_sandbox(Op *op, Err *err)
{
        Pod *p = op->data;
        const Runtime__V1__NamespaceOption *ns = pod_namespaces(p);
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__CreateSandboxRequest s = TARE__SHIM__V1__CREATE_SANDBOX_REQUEST__INIT;
        _cleanup_free_ char *pin_dir = xasprintf("%s/ns", p->dir);
        _cleanup_free_ char *shm = xasprintf("%s/shm", p->dir);
        _cleanup_free_ char *wanted =
                spec_cgroups_path(&op->engine->node, p->request->config, p->id);
        _cleanup_free_ char *cgroup = engine_cgroup_path(op->engine, wanted, p->id);
        _cleanup_free_ Tare__Shim__V1__Sysctl *sysctls = NULL;
        Tare__Shim__V1__IdMap uids, gids;
        SpecPodUsers users;
        int r;

        s.host_network = pod_host_network(p);
        s.host_ipc = ns && ns->ipc == RUNTIME__V1__NAMESPACE_MODE__NODE;
        /* a sandbox has processes that the host does not see: each container its own namespace */
        s.shared_pid = (!ns || ns->pid == RUNTIME__V1__NAMESPACE_MODE__POD) &&
                       !(pod_runtime(p) && pod_runtime(p)->infra);
        s.hostname = s.host_network ? (char *)"" : p->hostname;
        s.netns_path = str_empty(p->netns_path) ? (char *)"" : p->netns_path;
        s.pin_dir = pin_dir;
        s.shm_path = s.host_ipc ? (char *)"" : shm;
        s.shm_size_bytes = SHM_SIZE_BYTES;
        s.cgroup_path = cgroup;
        s.n_sysctls = choose_sysctls(p->request->config->linux, false, &s.sysctls, &sysctls);
        if (spec_pod_users(p->request->config, &users)) {
                s.uid_maps = one_map(&uids, users.uid, users.size);
                s.gid_maps = one_map(&gids, users.gid, users.size);
                s.n_uid_maps = s.n_gid_maps = 1;
        }
        req.call_case = TARE__SHIM__V1__REQUEST__CALL_CREATE_SANDBOX;
        req.create_sandbox = &s;
        r = step_call(op, p, &req, sandbox_made, false, "make the pod's namespaces");
        free(s.sysctls);
        free(s.uid_maps);
        free(s.gid_maps);
        return r;
}

/* "leftovers" has only an undo: the supervisor must be down before what it left is looked at. */
static int run_nothing(Op *op, Err *err)
{
        return 0;
}

static int run_leftovers_undo(Op *op, Err *err)
{
        return pod_step_leftovers(op, op->data, err);
}

static int run_network(Op *op, Err *err)
{
        return pod_step_network_up(op, op->data, err);
}

static int run_network_undo(Op *op, Err *err)
{
        return pod_step_network_down(op, op->data, err);
}

/* The others have been set with the namespaces. */
static int run_sysctls(Op *op, Err *err)
{
        Pod *p = op->data;
        Tare__Shim__V1__Request req = TARE__SHIM__V1__REQUEST__INIT;
        Tare__Shim__V1__SetSysctlsRequest s = TARE__SHIM__V1__SET_SYSCTLS_REQUEST__INIT;
        _cleanup_free_ Tare__Shim__V1__Sysctl *items = NULL;
        int r = 0;

        s.n_sysctls = choose_sysctls(p->request->config->linux, true, &s.sysctls, &items);
        if (s.n_sysctls > 0 && !p->supervisor)
                r = err_set(err, ERR_UNAVAILABLE, "pod %.13s: its supervisor has ended", p->id);
        else if (s.n_sysctls > 0) {
                req.call_case = TARE__SHIM__V1__REQUEST__CALL_SET_SYSCTLS;
                req.set_sysctls = &s;
                r = step_call(op, p, &req, NULL, false, "set sysctls of interfaces");
        }
        free(s.sysctls);
        return r;
}

static int run_infra(Op *op, Err *err)
{
        return pod_step_infra(op, op->data, err);
}

static int run_nri_answered(Op *op, const NriResult *result, Err *err)
{
        ((Pod *)op->data)->nri_known = true;
        return 0;
}

static int run_nri(Op *op, Err *err)
{
        const NriAsk ask = { .event = NRI__EVENT__RUN_POD_SANDBOX };

        return nri_step(op, ask, op->data, NULL, run_nri_answered, err);
}

/* Of plugins that have agreed before another one refused, too. */
static int run_nri_undo(Op *op, Err *err)
{
        nri_undo_pod(op->engine, op->data);
        return 0;
}

static int run_commit(Op *op, Err *err)
{
        Pod *p = op->data;

        p->state = POD_READY;
        p->created_at = op->engine->world->now_real(op->engine->world);
        return record_save_pod(op->engine, p, false, err);
}

static int run_commit_undo(Op *op, Err *err)
{
        ((Pod *)op->data)->state = POD_MAKING;
        return 0;
}

static const OpStep run_steps[] = {
        { "record", run_record, run_record_undo, 0 },
        { "files", run_files, run_files_undo, 0 },
        { "leftovers", run_nothing, run_leftovers_undo, 0 },
        { "shim", run_shim, run_shim_undo, 0 },
        { "sandbox", run_sandbox, NULL, 0 },
        { "network", run_network, run_network_undo, 600 },
        { "sysctls", run_sysctls, NULL, 0 },
        { "infra", run_infra, NULL, 0 },
        { "nri", run_nri, run_nri_undo, NRI_DEADLINE_S },
        { "commit", run_commit, run_commit_undo, 0 },
        {},
};

static void run_finish(Op *op, const Err *err)
{
        Pod *p = op->data;
        Engine *e = op->engine;

        if (err) {
                engine_pod_free(e, p);
                op->data = NULL;
                pod_drop_own_cgroups(e);
                return;
        }
        if (!op->waits) {
                p->unclaimed_ns = e->world->now_mono(e->world);
                engine_arm_unclaimed(e);
        }
        engine_tell(e, ENGINE_CREATED, p, NULL);
        engine_tell(e, ENGINE_STARTED, p, NULL);
}

const OpVerb verb_run_pod = { .name = "RunPodSandbox", .steps = run_steps, .finish = run_finish };

/* --- the request --- */

static char *choose_hostname(const Runtime__V1__RunPodSandboxRequest *req)
{
        struct utsname name;

        if (!str_empty(req->config->hostname))
                return xstrdup(req->config->hostname);
        uname(&name);
        return xstrdup(name.nodename);
}

static Pod *pod_new(Engine *e, const Runtime__V1__RunPodSandboxRequest *req, char *key)
{
        Pod *p = xnew(Pod);
        const Runtime__V1__LinuxPodSandboxConfig *l = req->config->linux;
        char uuid[UUID_LEN + 1];

        id_new(p->id);
        p->engine = e;
        p->key = key;
        p->request = engine_copy_message(&req->base);
        p->dir = xasprintf("%s/pods/%s", e->config->state, p->id);
        p->hostname = choose_hostname(req);
        p->cgroup_parent = xstrdup(str_or(l ? l->cgroup_parent : NULL, e->config->cgroup_parent));
        p->containers = map_new();
        if (!pod_host_network(p)) {
                id_new_uuid(uuid);
                p->netns_path = xasprintf("%s/tare-%s", e->config->netns_dir, uuid);
        }
        map_set(e->pods, p->id, p);
        return p;
}

/* The name is taken: the same request joins its run or takes its result, any other is told. */
static EngineWait *join_or_refuse(Engine *e, Pod *p, const Runtime__V1__RunPodSandboxRequest *req,
                                  EngineDone done, void *data)
{
        _cleanup_free_ char *object = engine_object("pod", p->id);
        Op *op = op_find(e->ops, &verb_run_pod, object);
        bool same = engine_same_message(&p->request->base, &req->base);
        Err err = {};

        if (op && same && !op->undoing)
                return op_wait(op, done, data);
        if (!op && same && (p->unclaimed_ns || (p->untold && map_len(p->containers) == 0))) {
                p->unclaimed_ns = 0;
                p->untold = false;
                return engine_answer(e, p->id, NULL, done, data);
        }
        err_set(&err, ERR_EXISTS,
                "pod \"%s\" of namespace \"%s\" (attempt %u) exists already as %.13s: remove that "
                "one first, or use another attempt number",
                req->config->metadata->name, req->config->metadata->namespace_,
                req->config->metadata->attempt, p->id);
        return engine_answer(e, NULL, &err, done, data);
}

/* A pod that is being made. It holds the name, or waits for it, or has not come to that yet. */
static Pod *find_run(Engine *e, const char *key)
{
        const char *id;
        void *value;

        for (size_t i = 0; map_next(e->pods, &i, &id, &value);) {
                Pod *p = value;
                if (p->state != POD_MAKING || !str_eq(p->key, key))
                        continue;
                _cleanup_free_ char *object = engine_object("pod", p->id);
                const Op *run = op_find(e->ops, &verb_run_pod, object);
                if (run && !run->undoing)
                        return p;
        }
        return NULL;
}

static int check_request(Engine *e, const Runtime__V1__RunPodSandboxRequest *req, Err *err)
{
        const EngineRuntime *runtime;
        SpecNode node;
        int r = engine_find_runtime(e->config, req->runtime_handler, &runtime, err);

        if (r < 0)
                return r;
        if (!req->config || !req->config->metadata || str_empty(req->config->metadata->name))
                return err_set(err, ERR_INVALID, "config.metadata.name is empty: a pod needs one");
        SpecPodUsers users;
        if (spec_pod_users(req->config, &users))
                r = runtime_check_answered(e, runtime, err);
        if (r < 0)
                return r;
        node = runtime_node(e, runtime);
        r = spec_check_pod(&node, req->config, err);
        return r < 0 ? r : pod_check_network(req->config, err);
}

EngineWait *engine_run_pod(Engine *e, const Runtime__V1__RunPodSandboxRequest *req, EngineDone done,
                           void *data)
{
        _cleanup_free_ char *key = NULL, *object = NULL;
        Pod *holder, *p;
        Err err = {};
        Op *op;

        if (check_request(e, req, &err) < 0)
                return engine_answer(e, NULL, &err, done, data);
        key = engine_pod_key(req->config->metadata);
        p = find_run(e, key);
        if (p)
                return join_or_refuse(e, p, req, done, data);
        holder = map_get(e->pod_keys, key);
        if (holder && !holder->removing && !is_leaving(e, holder))
                return join_or_refuse(e, holder, req, done, data);
        if (holder && holder->removing) /* joins the removal, or tries again one that failed */
                (void)engine_remove_pod(e, holder->id, NULL, NULL);
        p = pod_new(e, req, take_ptr(key));
        object = engine_object("pod", p->id);
        op = op_start(e->ops, &verb_run_pod, object, p->id, p->id, p);
        op->result_id = xstrdup(p->id);
        return op_wait(op, done, data);
}
