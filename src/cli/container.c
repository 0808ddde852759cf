/* SPDX-License-Identifier: Apache-2.0 */
/* container.c - tare stop, rm. */
#include <stdlib.h>

#include "cli/cli-internal.h"

#define STOP_TIMEOUT_S 10

static int stop_id(Cli *cli, const char *id, Err *err)
{
        Runtime__V1__StopContainerRequest q = RUNTIME__V1__STOP_CONTAINER_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__StopContainerResponse *answer = NULL;

        q.container_id = (char *)id;
        q.timeout = cli->opt.timeout_s >= 0 ? cli->opt.timeout_s : STOP_TIMEOUT_S;
        return ask_runtime(cli, StopContainer, stop_container, &q, ASK_NO_TIMEOUT, &answer, err);
}

static int stop_one(Cli *cli, const char *what, Err *err)
{
        _cleanup_free_ char *id = NULL;
        int r = cli_find_container(cli, what, &id, err);

        return r < 0 ? r : stop_id(cli, id, err);
}

int cmd_stop(Cli *cli, char **args, Err *err)
{
        return cli_each(cli, args, stop_one, err);
}

static int remove_one(Cli *cli, const char *what, Err *err)
{
        Runtime__V1__RemoveContainerRequest q = RUNTIME__V1__REMOVE_CONTAINER_REQUEST__INIT;
        _cleanup_message_ Runtime__V1__RemoveContainerResponse *answer = NULL;
        _cleanup_message_ Runtime__V1__ContainerStatusResponse *s = NULL;
        _cleanup_free_ char *id = NULL;
        int r = cli_find_container(cli, what, &id, err);

        if (r == 0)
                r = cli_container_status(cli, id, false, &s, err);
        if (r < 0)
                return r;
        if (s->status->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING) {
                if (!cli->opt.force)
                        return err_set(err, ERR_PRECONDITION,
                                       "container '%s' runs: stop it first, or use rm --force",
                                       what);
                r = stop_id(cli, id, err);
        }
        q.container_id = id;
        return r < 0 ? r
                     : ask_runtime(cli, RemoveContainer, remove_container, &q, ASK_NO_TIMEOUT,
                                   &answer, err);
}

int cmd_rm(Cli *cli, char **args, Err *err)
{
        return cli_each(cli, args, remove_one, err);
}
