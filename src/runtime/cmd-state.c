/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-state.c - the commands state, list, ps. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "runtime/members.h"
#include "runtime/cli.h"
#include "runtime/state.h"
#include "sys/spawn.h"
#include "sys/pidfd.h"

static void print_json(Json *j)
{
        puts(json_object_to_json_string_ext(j, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                       JSON_C_TO_STRING_NOSLASHESCAPE));
}

int cmd_state(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_json_ Json *j = NULL;
        const char *id;

        int r = cli_parse_id(NULL, 0, argc, argv, &id, err);
        if (r == 0)
                r = runtime_state(&cli->ctx, id, &j, err);
        if (r == 0)
                print_json(j);
        return r;
}

static const char *text_of(Json *j, const char *key)
{
        Json *value = json_object_object_get(j, key);

        return value ? json_object_get_string(value) : "";
}

static void print_table(Json *array)
{
        printf("%-27s %-11s %-11s %-27s %-31s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED",
               "OWNER");
        for (size_t i = 0; i < json_object_array_length(array); i++) {
                Json *j = json_object_array_get_idx(array, i);
                printf("%-27s %-11s %-11s %-27s %-31s %s\n", text_of(j, "id"), text_of(j, "pid"),
                       text_of(j, "status"), text_of(j, "bundle"), text_of(j, "created"),
                       text_of(j, "owner"));
        }
}

int cmd_list(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_strv_ char **ids = NULL;
        _cleanup_json_ Json *array = NULL;
        const char *format = "table";
        bool quiet = false;
        const CliOption options[] = {
                { "format", 'f', CLI_STR, &format, "table or json" },
                { "quiet", 'q', CLI_BOOL, &quiet, "ids only" },
        };

        int r = cli_parse(options, array_len(options), argc, argv, err);
        if (r >= 0)
                r = runtime_list(&cli->ctx, &ids, err);
        if (r < 0)
                return r;
        array = json_object_new_array();
        for (char **id = ids; id && *id; id++) {
                Json *j = NULL;
                if (quiet)
                        puts(*id);
                else if (runtime_state(&cli->ctx, *id, &j, NULL) == 0) /* else: deleted meanwhile */
                        json_object_array_add(array, j);
        }
        if (quiet)
                return 0;
        if (str_eq(format, "table"))
                print_table(array);
        else if (!str_eq(format, "json"))
                return err_set(err, ERR_INVALID, "--format: '%s' is none of table, json", format);
        else if (json_object_array_length(array) == 0)
                puts("null"); /* as runc */
        else
                puts(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE));
        return 0;
}

/* ps(1) of the host, for these processes only. */
static int run_ps(char *const *args, const pid_t *pids, size_t n, Err *err)
{
        _cleanup_strv_ char **argv = NULL;
        _cleanup_strbuf_ StrBuf list = { 0 };
        _cleanup_close_ int pidfd = -EBADF;
        int status;

        for (size_t i = 0; i < n; i++)
                strbuf_addf(&list, "%s%d", i ? "," : "", pids[i]);
        strv_push(&argv, "ps");
        if (!args || !*args)
                strv_push(&argv, "-f");
        for (; args && *args; args++)
                strv_push(&argv, *args);
        strv_push(&argv, "-p");
        strv_push(&argv, n ? list.data : "0");
        Spawn spawn = SPAWN_INIT;
        spawn.path = "/usr/bin/ps";
        spawn.argv = argv;
        spawn.envp = environ;
        spawn.stdio[1] = STDOUT_FILENO;
        spawn.stdio[2] = STDERR_FILENO;
        int r = spawn_program(&spawn, NULL, &pidfd);
        if (r == 0)
                r = pidfd_reap(pidfd, true, &status);
        return r < 0 ? err_sys(err, -r, "run /usr/bin/ps; use --format json without it")
                     : (int)process_exit_code(status);
}

int cmd_ps(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        _cleanup_free_ pid_t *pids = NULL;
        const char *format = "table";
        size_t n = 0;
        const CliOption options[] = {
                { "format", 'f', CLI_STR, &format, "table or json" },
        };

        int i = cli_parse(options, array_len(options), argc, argv, err);
        if (i < 0)
                return i;
        if (i == argc)
                return err_set(err, ERR_INVALID, "ps: needs the container's id");
        int r = state_read(&cli->ctx, argv[i], &st, err);
        if (r < 0)
                return r;
        r = members_list(&st, &pids, &n, err);
        if (r < 0)
                return r;
        if (!str_eq(format, "json"))
                return run_ps(argv + i + 1, pids, n, err);
        _cleanup_json_ Json *array = json_object_new_array();
        for (size_t k = 0; k < n; k++)
                json_object_array_add(array, json_object_new_int(pids[k]));
        puts(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PLAIN));
        return 0;
}
