/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-state.c - the commands state, list, ps. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
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

#define COLUMN_MIN 12
#define COLUMN_GAP 3

/* Columns as wide as what is in them. */
static void print_table(Json *array)
{
        static const struct {
                const char *title, *key;
        } columns[] = { { "ID", "id" },         { "PID", "pid" },         { "STATUS", "status" },
                        { "BUNDLE", "bundle" }, { "CREATED", "created" }, { "OWNER", "owner" } };
        size_t widths[array_len(columns)], n = json_object_array_length(array);

        for (size_t c = 0; c < array_len(columns); c++) {
                widths[c] = COLUMN_MIN;
                for (size_t i = 0; i < n; i++) {
                        Json *j = json_object_array_get_idx(array, i);
                        size_t len = strlen(text_of(j, columns[c].key)) + COLUMN_GAP;
                        widths[c] = len > widths[c] ? len : widths[c];
                }
        }
        for (size_t i = 0; i <= n; i++) { /* the titles are line 0 */
                Json *j = i ? json_object_array_get_idx(array, i - 1) : NULL;
                for (size_t c = 0; c < array_len(columns); c++) {
                        bool last = c + 1 == array_len(columns);
                        printf("%-*s%s", last ? 0 : (int)widths[c],
                               j ? text_of(j, columns[c].key) : columns[c].title, last ? "\n" : "");
                }
        }
}

int cmd_list(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_strv_ char **ids = NULL;
        _cleanup_json_ Json *array = NULL;
        const char *format = "table";
        bool quiet = false;
        const CliOption options[] = {
                { "format", 'f', CLI_STR, &format, "how it is printed", "table|json" },
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

/* -- ps ---------------------------------------------------------------------------------------- */

#define PS_OUTPUT_MAX (16U * 1024 * 1024)

/* The number in this column of a line; 0: there is none. */
static pid_t number_in(const char *line, size_t column)
{
        _cleanup_strv_ char **words = strv_split(line, " ");
        uint32_t number;

        for (size_t i = 0; words && words[i]; i++)
                if (i == column)
                        return str_to_u32(words[i], &number) == 0 ? (pid_t)number : 0;
        return 0;
}

static bool is_among(pid_t pid, const pid_t *pids, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (pids[i] == pid)
                        return true;
        return false;
}

/* The title, and the lines of these processes. */
static int print_lines(char *text, const pid_t *pids, size_t n, Err *err)
{
        char *rest = text, *title = strsep(&rest, "\n"), *line;
        _cleanup_strv_ char **words = strv_split(title, " ");
        size_t column = 0;

        while (words && words[column] && !str_eq(words[column], "PID"))
                column++;
        if (!words || !words[column])
                return err_set(err, ERR_INVALID,
                               "ps: its output has no column PID; give it options that print one");
        puts(title);
        while ((line = strsep(&rest, "\n")))
                if (is_among(number_in(line, column), pids, n))
                        puts(line);
        return 0;
}

/* ps(1) of the host sees all processes; here only those of the container are shown. */
static int run_ps(char *const *args, const pid_t *pids, size_t n, Err *err)
{
        _cleanup_strv_ char **argv = NULL;
        _cleanup_strbuf_ StrBuf text = { 0 };
        _cleanup_close_ int pidfd = -EBADF;
        int status, pipe_fds[2];

        strv_push(&argv, "ps");
        if (!args || !*args)
                strv_push(&argv, "-ef");
        for (; args && *args; args++)
                strv_push(&argv, *args);
        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return err_sys(err, errno, "make a pipe");
        _cleanup_close_ int in = pipe_fds[0];
        _cleanup_close_ int out = pipe_fds[1];
        Spawn spawn = SPAWN_INIT;
        spawn.path = "/usr/bin/ps";
        spawn.argv = argv;
        spawn.envp = environ;
        spawn.stdio[1] = out;
        spawn.stdio[2] = STDERR_FILENO;
        int r = spawn_program(&spawn, NULL, &pidfd);
        out = fd_close(out);
        if (r == 0)
                r = io_read_all(in, &text, PS_OUTPUT_MAX);
        in = fd_close(in);
        if (r >= 0)
                r = pidfd_reap(pidfd, true, &status);
        if (r < 0)
                return err_sys(err, -r, "run /usr/bin/ps; --format json does without it");
        if (status != 0)
                return (int)process_exit_code(status);
        return print_lines(text.data, pids, n, err);
}

int cmd_ps(const Cli *cli, int argc, char **argv, Err *err)
{
        _cleanup_(state_done) State st = { 0 };
        _cleanup_free_ pid_t *pids = NULL;
        const char *format = "table";
        size_t n = 0;
        const CliOption options[] = {
                { "format", 'f', CLI_STR, &format, "how it is printed", "table|json" },
        };

        int i = cli_parse(options, array_len(options), argc, argv, err);
        if (i < 0)
                return i;
        if (i == argc)
                return err_set(err, ERR_INVALID, "ps: needs the container's id");
        if (!str_eq(format, "table") && !str_eq(format, "json"))
                return err_set(err, ERR_INVALID, "--format: '%s' is none of table, json", format);
        int r = state_read(&cli->ctx, argv[i], &st, err);
        if (r < 0)
                return r;
        r = members_list(&st, &pids, &n, err);
        if (r < 0)
                return r;
        if (str_eq(format, "table"))
                return run_ps(argv + i + 1, pids, n, err);
        _cleanup_json_ Json *array = json_object_new_array();
        for (size_t k = 0; k < n; k++)
                json_object_array_add(array, json_object_new_int(pids[k]));
        puts(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PLAIN));
        return 0;
}
