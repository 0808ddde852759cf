/* SPDX-License-Identifier: Apache-2.0 */
/* pod.c - tare pod run, stop, rm. */
#include <fcntl.h>
#include <stdlib.h>

#include "cli/cli-internal.h"

/* --- run --- */

static void say_unknown(void *data, const char *path)
{
        fprintf(stderr, "tare: %s: %s: unknown member, ignoring\n", (const char *)data, path);
}

static int read_config(const char *file, const ProtobufCMessageDescriptor *desc, void *ret,
                       Err *err)
{
        _cleanup_json_ Json *j = NULL;
        ProtobufCMessage *m = NULL;
        int r = json_read_file(AT_FDCWD, file, &j, err);

        if (r < 0)
                return r;
        r = message_from_json(desc, j, say_unknown, (void *)file, &m, err);
        if (r < 0)
                return err_wrap(err, r, "%s", file);
        *(ProtobufCMessage **)ret = m;
        return 0;
}

typedef struct PodRun {
        Runtime__V1__PodSandboxConfig *pod;
        Runtime__V1__ContainerConfig **containers;
        size_t n;
        char *pod_id;
        Strv ids;
} PodRun;

static void run_done(PodRun *p)
{
        message_freep(&p->pod);
        for (size_t i = 0; i < p->n; i++)
                message_freep(&p->containers[i]);
        free(p->containers);
        free(p->pod_id);
        strv_free(p->ids);
}

/* All files, before anything is made. */
static int read_all(PodRun *p, char **files, Err *err)
{
        int r = read_config(files[0], &runtime__v1__pod_sandbox_config__descriptor, &p->pod, err);

        p->containers = xnew_array(Runtime__V1__ContainerConfig *, strv_len(files));
        for (size_t i = 1; r == 0 && files[i]; i++) {
                r = read_config(files[i], &runtime__v1__container_config__descriptor,
                                &p->containers[p->n], err);
                p->n += r == 0;
        }
        return r;
}

static int run_pod(Cli *cli, PodRun *p, Err *err)
{
        Runtime__V1__RunPodSandboxRequest q = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__RunPodSandboxResponse *answer = NULL;
        int r;

        q.config = p->pod;
        r = ask_runtime(cli, RunPodSandbox, run_pod_sandbox, &q, ASK_NO_TIMEOUT, &answer, err);
        if (r == 0)
                p->pod_id = xstrdup(answer->pod_sandbox_id);
        return r;
}

static int run_container(Cli *cli, PodRun *p, Runtime__V1__ContainerConfig *config, Err *err)
{
        Runtime__V1__CreateContainerRequest create = RUNTIME__V1__CREATE_CONTAINER_REQUEST__INIT;
        Runtime__V1__StartContainerRequest start = RUNTIME__V1__START_CONTAINER_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__CreateContainerResponse *created = NULL;
        _cleanup_message_ Runtime__V1__StartContainerResponse *started = NULL;
        const char *name = config->metadata ? config->metadata->name : "";
        int r;

        create.pod_sandbox_id = p->pod_id;
        create.config = config;
        create.sandbox_config = p->pod;
        r = ask_runtime(cli, CreateContainer, create_container, &create, ASK_NO_TIMEOUT, &created,
                        err);
        if (r < 0)
                return err_wrap(err, r, "create container '%s'", name);
        strv_push(&p->ids, created->container_id);
        start.container_id = created->container_id;
        r = ask_runtime(cli, StartContainer, start_container, &start, ASK_NO_TIMEOUT, &started,
                        err);
        return r < 0 ? err_wrap(err, r, "start container '%s'", name) : 0;
}

static int stop_pod_id(Cli *cli, const char *id, Err *err)
{
        Runtime__V1__StopPodSandboxRequest q = RUNTIME__V1__STOP_POD_SANDBOX_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__StopPodSandboxResponse *answer = NULL;

        q.pod_sandbox_id = (char *)id;
        return ask_runtime(cli, StopPodSandbox, stop_pod_sandbox, &q, ASK_NO_TIMEOUT, &answer, err);
}

static int remove_pod_id(Cli *cli, const char *id, Err *err)
{
        Runtime__V1__RemovePodSandboxRequest q = RUNTIME__V1__REMOVE_POD_SANDBOX_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__RemovePodSandboxResponse *answer = NULL;

        q.pod_sandbox_id = (char *)id;
        return ask_runtime(cli, RemovePodSandbox, remove_pod_sandbox, &q, ASK_NO_TIMEOUT, &answer,
                           err);
}

/* Half a pod is no use, and its name would be in the way of the next try. */
static void undo(Cli *cli, const PodRun *p)
{
        Err err = {};
        int r = stop_pod_id(cli, p->pod_id, &err);

        if (r == 0)
                r = remove_pod_id(cli, p->pod_id, &err);
        if (r < 0)
                fprintf(stderr, "tare: pod %s is left: %s; tare pod rm --force it\n", p->pod_id,
                        err.msg);
}

static void print_ids(const Cli *cli, const PodRun *p)
{
        Json *j;

        if (cli->opt.json) {
                j = json_object_new_object();
                json_add_str(j, "podSandboxId", p->pod_id);
                json_add_strv(j, "containerIds", p->ids);
                cli_print_json(j);
                return;
        }
        puts(p->pod_id);
        for (size_t i = 0; p->ids && p->ids[i]; i++)
                puts(p->ids[i]);
}

int cmd_pod_run(Cli *cli, char **args, Err *err)
{
        _cleanup_(run_done) PodRun p = {};
        int r = read_all(&p, args, err);

        if (r == 0)
                r = run_pod(cli, &p, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < p.n; i++)
                r = run_container(cli, &p, p.containers[i], err);
        if (r < 0)
                undo(cli, &p);
        else
                print_ids(cli, &p);
        return r;
}

/* --- stop, rm --- */

static int stop_one(Cli *cli, const char *what, Err *err)
{
        _cleanup_free_ char *id = NULL;
        int r = cli_find_pod(cli, what, &id, err);

        return r < 0 ? r : stop_pod_id(cli, id, err);
}

int cmd_pod_stop(Cli *cli, char **args, Err *err)
{
        return cli_each(cli, args, stop_one, err);
}

static int remove_one(Cli *cli, const char *what, Err *err)
{
        _cleanup_message_ Runtime__V1__PodSandboxStatusResponse *s = NULL;
        _cleanup_free_ char *id = NULL;
        int r = cli_find_pod(cli, what, &id, err);

        if (r == 0)
                r = cli_pod_status(cli, id, false, &s, err);
        if (r < 0)
                return r;
        if (s->status->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY) {
                if (!cli->opt.force)
                        return err_set(err, ERR_PRECONDITION,
                                       "pod '%s' is up: stop it first, or use pod rm --force",
                                       what);
                r = stop_pod_id(cli, id, err);
        }
        return r < 0 ? r : remove_pod_id(cli, id, err);
}

int cmd_pod_rm(Cli *cli, char **args, Err *err)
{
        return cli_each(cli, args, remove_one, err);
}
