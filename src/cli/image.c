/* SPDX-License-Identifier: Apache-2.0 */
/* image.c - tare import, pull, rmi. */
#include <stdlib.h>

#include "cli/cli-internal.h"

int cmd_import(Cli *cli, char **args, Err *err)
{
        Tare__V1__ImportImageRequest q = TARE__V1__IMPORT_IMAGE_REQUEST__INIT;
        _cleanup_message_ Tare__V1__ImportImageResponse *answer = NULL;
        _cleanup_free_ char *path = realpath(args[0], NULL);
        int r;

        if (!path)
                return err_sys(err, errno, "image '%s'", args[0]);
        q.path = path;
        q.reference = args[1] ? args[1] : (char *)"";
        r = ask_tare(cli, ImportImage, import_image, &q, ASK_NO_TIMEOUT, &answer, err);
        if (r < 0)
                return r;
        if (cli->opt.json)
                cli_print_json(pb_to_proto_json(&answer->base));
        for (size_t i = 0; !cli->opt.json && i < answer->n_image_ids; i++)
                puts(answer->image_ids[i]);
        return 0;
}

int cmd_pull(Cli *cli, char **args, Err *err)
{
        Runtime__V1__PullImageRequest q = RUNTIME__V1__PULL_IMAGE_REQUEST__INIT;
        Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
        _cleanup_message_ Runtime__V1__PullImageResponse *answer = NULL;
        int r;

        spec.image = args[0];
        q.image = &spec;
        r = ask_image(cli, PullImage, pull_image, &q, ASK_NO_TIMEOUT, &answer, err);
        if (r < 0)
                return r;
        if (cli->opt.json)
                cli_print_json(pb_to_proto_json(&answer->base));
        else
                puts(answer->image_ref);
        return 0;
}

/* RemoveImage of what is not there is no error for a kubelet; for a person it is a typing mistake.
 */
static int remove_one(Cli *cli, const char *name, Err *err)
{
        Runtime__V1__RemoveImageRequest q = RUNTIME__V1__REMOVE_IMAGE_REQUEST__INIT;
        Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
        _cleanup_message_ Runtime__V1__ImageStatusResponse *found = NULL;
        _cleanup_message_ Runtime__V1__RemoveImageResponse *answer = NULL;
        int r = cli_image_status(cli, name, false, &found, err);

        if (r < 0)
                return r;
        if (!found->image)
                return cli_not_found(cli, err, "no image '%s' (see tare images)", name);
        spec.image = (char *)name;
        q.image = &spec;
        return ask_image(cli, RemoveImage, remove_image, &q, ASK_NO_TIMEOUT, &answer, err);
}

int cmd_rmi(Cli *cli, char **args, Err *err)
{
        return cli_each(cli, args, remove_one, err);
}
