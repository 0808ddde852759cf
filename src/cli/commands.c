/* SPDX-License-Identifier: Apache-2.0 */
/* commands.c - the table of commands, help, and the run of one. */
#include <stdlib.h>

#include "cli/cli-internal.h"

#define ANY UINT32_MAX
const CliCommand cli_commands[] = {
        { "ps", "", 0, 0, false, cmd_ps, "list containers that run (-a: all)" },
        { "pods", "", 0, 0, false, cmd_pods, "list pods" },
        { "images", "", 0, 0, false, cmd_images, "list images" },
        { "pod run", "POD.json [CONTAINER.json...]", 1, ANY, false, cmd_pod_run,
          "run a pod, and create and start containers in it; prints their ids" },
        { "pod stop", "POD...", 1, ANY, false, cmd_pod_stop, "stop pods and their containers" },
        { "pod rm", "POD...", 1, ANY, false, cmd_pod_rm, "remove pods and their containers" },
        { "stop", "CONTAINER...", 1, ANY, false, cmd_stop, "stop containers" },
        { "rm", "CONTAINER...", 1, ANY, false, cmd_rm, "remove containers" },
        { "exec", "CONTAINER COMMAND [ARG...]", 2, ANY, true, cmd_exec,
          "run a command in a container; exits with its status" },
        { "attach", "CONTAINER", 1, 1, false, cmd_attach,
          "see what a container writes from now on, to its end; exits with its status" },
        { "port-forward", "POD [LOCAL:]REMOTE...", 2, ANY, false, cmd_port_forward,
          "connect ports of this machine to ports of a pod, until interrupted" },
        { "logs", "CONTAINER", 1, 1, false, cmd_logs, "print what a container wrote" },
        { "inspect", "ID", 1, 1, false, cmd_inspect,
          "print all about a container, pod or image, as JSON" },
        { "import", "PATH [NAME]", 1, 2, false, cmd_import,
          "import an image from an OCI layout or docker archive (folder or tar file)" },
        { "pull", "NAME", 1, 1, false, cmd_pull, "pull an image from a registry" },
        { "rmi", "NAME...", 1, ANY, false, cmd_rmi, "remove images" },
        { "ops", "", 0, 0, false, cmd_ops,
          "list operations, under way (with what they wait for) and recent" },
        { "timeline", "POD", 1, 1, false, cmd_timeline,
          "show where the time of a pod's start-up went" },
        { "info", "", 0, 0, false, cmd_info, "print the state of the node" },
        { "version", "", 0, 0, false, cmd_version, "print the versions of tare and tared" },
        {},
};

const CliCommand *cli_command_find(char **words, unsigned n, unsigned *ret_n)
{
        _cleanup_free_ char *two = n > 1 ? xasprintf("%s %s", words[0], words[1]) : NULL;

        for (const CliCommand *c = cli_commands; n > 0 && c->name; c++) {
                if (!str_eq(c->name, words[0]) && !str_eq(c->name, two))
                        continue;
                *ret_n = strchr(c->name, ' ') ? 2 : 1;
                return c;
        }
        return NULL;
}

static void print_command_help(FILE *out, const CliCommand *c)
{
        fprintf(out, "usage: tare %s [OPTION...]%s%s\n\n%s\n\n", c->name, *c->args ? " " : "",
                c->args, c->help);
        cli_options_print(out, c->name);
        cli_options_print(out, NULL);
}

void cli_help_print(FILE *out, const CliCommand *command)
{
        if (command) {
                print_command_help(out, command);
                return;
        }
        fputs("usage: tare [OPTION...] COMMAND [ARG...]\n\n"
              "Asks tared, the daemon of this node, over its socket.\n\n",
              out);
        for (const CliCommand *c = cli_commands; c->name; c++)
                fprintf(out, "  %-12s %s\n", c->name, c->help);
        fputs("\n", out);
        cli_options_print(out, NULL);
        fputs("\n"
              "Ids may be cut to a beginning that only one has; names do where only one has them\n"
              "(a container also as POD/NAME, a pod as NAMESPACE/NAME).\n"
              "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no daemon, 4 no such object;\n"
              "of tare exec and attach: the command's, or 125.\n",
              out);
}

int cli_each(Cli *cli, char **args, int (*fn)(Cli *cli, const char *what, Err *err), Err *err)
{
        bool no_object = false;
        int ret = 0;

        for (; *args; args++) {
                Err now = {};
                cli->no_object = false;
                int r = fn(cli, *args, &now);
                if (r >= 0)
                        continue;
                no_object = cli->no_object;
                if (ret < 0)
                        fprintf(stderr, "tare: %s\n", err->msg);
                ret = err_copy(err, &now);
                if (cli->unreachable)
                        break;
        }
        cli->no_object = no_object;
        return ret;
}

/* What is wrong with the words when they name no command. */
static int no_command(Cli *cli, char **words, unsigned n, Err *err)
{
        _cleanup_strbuf_ StrBuf rest = {};
        size_t len = n ? strlen(words[0]) : 0;

        if (n == 0)
                return cli_usage_error(cli, err, "no command is given (see tare --help)");
        for (const CliCommand *c = cli_commands; c->name; c++)
                if (strncmp(c->name, words[0], len) == 0 && c->name[len] == ' ')
                        strbuf_addf(&rest, "%s%s", rest.len ? ", " : "", c->name);
        if (rest.len)
                return cli_usage_error(cli, err, "which one: %s?", rest.data);
        return cli_usage_error(cli, err, "unknown command '%s' (see tare --help)", words[0]);
}

static int run(Cli *cli, int argc, char **argv, const CliCommand **ret_command, Err *err)
{
        _cleanup_free_ char **args = xnew_array(char *, (size_t)argc + 1);
        const CliCommand *c = NULL;
        unsigned n = 0;
        int r = cli_options_parse(cli, argc, argv, &c, args, &n, err);

        *ret_command = c;
        if (r < 0)
                return r;
        if (cli->opt.help) {
                cli_help_print(stdout, c);
                return 0;
        }
        if (cli->opt.version) {
                puts("tare version " TARE_VERSION);
                return 0;
        }
        if (!c)
                return no_command(cli, args, n, err);
        if (n < c->min_args || n > c->max_args)
                return cli_usage_error(cli, err, "%s: usage: tare %s %s", c->name, c->name,
                                       *c->args ? c->args : "(without arguments)");
        return c->run(cli, args, err);
}

static int exit_status(const Cli *cli, const CliCommand *c)
{
        if (c && (c->run == cmd_exec || c->run == cmd_attach))
                return CLI_EXIT_EXEC_FAILED;
        if (cli->bad_usage)
                return CLI_EXIT_USAGE;
        if (cli->unreachable)
                return CLI_EXIT_UNREACHABLE;
        return cli->no_object ? CLI_EXIT_NOT_FOUND : CLI_EXIT_FAILED;
}

int cli_main(int argc, char **argv)
{
        const char *from_env = getenv("TARE_ADDRESS");
        Cli cli = { .opt = { .address = str_or(from_env, CLI_ADDRESS_DEFAULT),
                             .tail = -1,
                             .timeout_s = -1 } };
        const CliCommand *c = NULL;
        Err err = {};
        int r = run(&cli, argc, argv, &c, &err);

        grpc_client_free(cli.client);
        if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
                r = err_sys(&err, errno, "write to stdout");
        if (r >= 0)
                return r;
        fflush(stdout);
        fprintf(stderr, "tare: %s\n", err.msg);
        return exit_status(&cli, c);
}
