/* SPDX-License-Identifier: Apache-2.0 */
/* cli.c - options, dispatch, and how an error is told. */
#include "runtime/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "base/trace.h"
#include "runtime/exe.h"
#include "sys/seccomp.h"

#define DEFAULT_ROOT "/run/tare-runtime"

static const CliCommand commands[] = {
        { "checkpoint", "ID", "write a container that runs to a folder, by criu", cmd_checkpoint, 1,
          false },
        { "create", "ID", "make a container; it waits for start", cmd_create, 1, true },
        { "delete", "ID", "remove a container and what it holds", cmd_delete, 1, false },
        { "events", "ID", "print statistics, and when memory runs out, as JSON lines", cmd_events,
          1, false },
        { "exec", "ID COMMAND [ARGUMENT...]", "run another process in a container", cmd_exec, 255,
          true },
        { "features", "", "print what this runtime can do, as JSON", cmd_features, 1, false },
        { "kill", "ID [SIGNAL]", "send a signal to a container", cmd_kill, 1, false },
        { "list", "", "list containers", cmd_list, 1, false },
        { "pause", "ID", "stop all processes of a container for a while", cmd_pause, 1, false },
        { "ps", "ID [OPTION OF PS...]", "list the processes of a container", cmd_ps, 1, false },
        { "restore", "ID", "make a container again from what checkpoint wrote", cmd_restore, 1,
          false },
        { "resume", "ID", "let a paused container go on", cmd_resume, 1, false },
        { "run", "ID", "create and start a container, and wait for it", cmd_run, 1, true },
        { "spec", "", "write a config.json to start from", cmd_spec, 1, false },
        { "start", "ID", "start the program of a created container", cmd_start, 1, false },
        { "state", "ID", "print the state of a container, as JSON", cmd_state, 1, false },
        { "update", "ID", "change the limits of a container", cmd_update, 1, false },
};

/* -- options ----------------------------------------------------------------------------------- */

static const CliOption *find_option(const CliOption *options, size_t n, const char *word,
                                    const char **ret_value)
{
        const char *name = str_skip_prefix(word, "--");

        *ret_value = NULL;
        if (!name) { /* "-b", "-b=DIR"; Go's flag package takes "-bundle" too */
                name = word + 1;
                for (size_t i = 0; i < n; i++) {
                        if (!options[i].letter || name[0] != options[i].letter)
                                continue;
                        if (name[1] == '=')
                                *ret_value = name + 2;
                        if (name[1] == 0 || name[1] == '=')
                                return &options[i];
                }
        }
        size_t len = strcspn(name, "=");
        for (size_t i = 0; i < n; i++) {
                if (strlen(options[i].name) != len || strncmp(options[i].name, name, len) != 0)
                        continue;
                if (name[len] == '=')
                        *ret_value = name + len + 1;
                return &options[i];
        }
        return NULL;
}

static int set_option(const CliOption *o, const char *value, Err *err)
{
        uint32_t number;

        switch (o->kind) {
        case CLI_BOOL:
                if (value && !str_eq(value, "true") && !str_eq(value, "false"))
                        return err_set(err, ERR_INVALID, "--%s is true or false, not '%s'", o->name,
                                       value);
                *(bool *)o->dest = !value || str_eq(value, "true");
                return 0;
        case CLI_STR:
                *(const char **)o->dest = value;
                return 0;
        case CLI_U32:
                if (str_to_u32(value, &number) < 0)
                        return err_set(err, ERR_INVALID, "--%s: '%s' is not a number", o->name,
                                       value);
                *(unsigned *)o->dest = number;
                return 0;
        case CLI_STRV:
                strv_push(o->dest, value);
                return 0;
        }
        return 0;
}

/* -- help -------------------------------------------------------------------------------------- */

static void print_options(const CliOption *options, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const CliOption *o = &options[i];
                const char *value = o->kind == CLI_BOOL ? NULL : str_or(o->value, "VALUE");
                _cleanup_free_ char *name =
                        xasprintf("%s%s%s", o->name, value ? " " : "", str_or(value, ""));
                if (!o->help) /* taken, for those who give it, and without effect */
                        continue;
                if (o->letter)
                        printf("  -%c, --%-25s %s\n", o->letter, name, o->help);
                else
                        printf("      --%-25s %s\n", name, o->help);
        }
        printf("  -h, --%-25s %s\n", "help", "print this");
}

static void print_help(const CliOption *options, size_t n)
{
        printf("tare-runtime runs OCI containers.\n\n"
               "usage: tare-runtime [global options] COMMAND [options] [arguments]\n\nCommands:\n");
        for (size_t i = 0; i < array_len(commands); i++)
                printf("  %-10s %-26s %s\n", commands[i].name, commands[i].arguments,
                       commands[i].help);
        printf("\nGlobal options:\n");
        print_options(options, n);
        printf("\ntare-runtime COMMAND --help prints the options of a command.\n");
}

static const CliCommand *find_command(const char *name)
{
        for (size_t i = 0; i < array_len(commands); i++)
                if (str_eq(commands[i].name, name))
                        return &commands[i];
        return NULL;
}

static void print_command_help(const char *name, const CliOption *options, size_t n)
{
        const CliCommand *c = find_command(name);

        printf("usage: tare-runtime %s [options] %s\n\n%s\n\nOptions:\n", name,
               c ? c->arguments : "", c ? c->help : "");
        print_options(options, n);
}

/* -- parsing ----------------------------------------------------------------------------------- */

static bool is_help(const char *word)
{
        return str_eq(word, "--help") || str_eq(word, "-h") || str_eq(word, "-help");
}

/* One option, and the value that is a word of its own. Returns the index of the last word. */
static int take_option(const CliOption *options, size_t n, int i, int argc, char **argv, Err *err)
{
        const char *word = argv[i], *value;
        const CliOption *o = find_option(options, n, word, &value);

        if (!o)
                return err_set(err, ERR_INVALID, "%s: option '%s' is not known; see %s --help",
                               argv[0], word, argv[0]);
        if (o->kind != CLI_BOOL && !value) {
                if (i + 1 == argc)
                        return err_set(err, ERR_INVALID, "%s: option '%s' needs a value", argv[0],
                                       word);
                value = argv[++i];
        }
        int r = set_option(o, value, err);
        return r < 0 ? r : i;
}

/* Options from argv[i] on; the index of the first word that is none. */
static int parse_from(const CliOption *options, size_t n, int i, int argc, char **argv, Err *err)
{
        for (; i < argc; i++) {
                if (str_eq(argv[i], "--"))
                        return i + 1;
                if (argv[i][0] != '-' || !argv[i][1])
                        return i;
                if (is_help(argv[i]) && find_command(argv[0])) {
                        print_command_help(argv[0], options, n);
                        return -ECANCELED;
                }
                i = take_option(options, n, i, argc, argv, err);
                if (i < 0)
                        return i;
        }
        return argc;
}

int cli_parse(const CliOption *options, size_t n, int argc, char **argv, Err *err)
{
        return parse_from(options, n, 1, argc, argv, err);
}

int cli_parse_words(const CliOption *options, size_t n, int argc, char **argv, size_t max,
                    const char **words, Err *err)
{
        size_t found = 0;
        int i = parse_from(options, n, 1, argc, argv, err);

        for (; i >= 0 && i < argc; i = parse_from(options, n, i + 1, argc, argv, err)) {
                if (found == max)
                        return err_set(err, ERR_INVALID, "%s: '%s' is one argument too many",
                                       argv[0], argv[i]);
                words[found++] = argv[i];
        }
        return i < 0 ? i : (int)found;
}

int cli_parse_id(const CliOption *options, size_t n, int argc, char **argv, const char **ret_id,
                 Err *err)
{
        int r = cli_parse_words(options, n, argc, argv, 1, ret_id, err);

        return r != 0 ? (r < 0 ? r : 0)
                      : err_set(err, ERR_INVALID,
                                "%s: requires exactly 1 argument, the container's id", argv[0]);
}

int cli_send_pidfd(const char *path, int pidfd, const char *word, Err *err)
{
        if (!path)
                return 0;
        _cleanup_close_ int sock = io_unix_connect(path);
        if (sock < 0)
                return err_sys(err, -sock, "connect to pidfd socket '%s'", path);
        ssize_t r = io_send_fds(sock, word, strlen(word), &pidfd, 1);
        return r < 0 ? err_sys(err, (int)-r, "send the pidfd to '%s'", path) : 0;
}

int cli_preserve_fds(unsigned asked, unsigned *ret, Err *err)
{
        const char *listen = getenv("LISTEN_FDS");
        uint32_t n = 0;

        if (listen && str_to_u32(listen, &n) < 0)
                n = 0;
        if (asked > 1024 || n > 1024)
                return err_set(err, ERR_INVALID, "--preserve-fds: more than 1024");
        for (unsigned fd = 3; fd < 3 + n + asked; fd++)
                if (fcntl((int)fd, F_GETFD) < 0)
                        return err_set(err, ERR_INVALID,
                                       "--preserve-fds: descriptor %u is not open", fd);
        *ret = n + asked;
        return 0;
}

static int print_version(void)
{
        char library[SECCOMP_LIBRARY_MAX];

        seccomp_library(library);
        printf("tare-runtime version %s\nspec: 1.3.0\nlibseccomp: %s\n", TARE_VERSION, library);
        return EXIT_SUCCESS;
}

/* -- main ----------------------------------------------------------------------------------------
 */

typedef struct Global {
        const char *root, *log, *log_format, *rootless, *cgroup_manager;
        bool debug, systemd_cgroup, systemd_properties, version, help;
} Global;

static int open_log(const Global *g, Err *err)
{
        log_set_program("tare-runtime");
        /* Standard error is the program's, too: a warning there would be part of its output. */
        log_set_level(g->debug ? LOG_DEBUG_ : str_empty(g->log) ? LOG_ERROR_ : LOG_WARNING_);
        if (g->log_format && !str_eq(g->log_format, "text") && !str_eq(g->log_format, "json"))
                return err_set(err, ERR_INVALID, "--log-format: '%s' is none of text, json",
                               g->log_format);
        if (g->rootless && !str_eq(g->rootless, "true") && !str_eq(g->rootless, "false") &&
            !str_eq(g->rootless, "auto"))
                return err_set(err, ERR_INVALID, "--rootless: '%s' is none of true, false, auto",
                               g->rootless);
        log_set_format(str_eq(g->log_format, "json") ? LOG_JSON : LOG_LOGFMT);
        if (str_empty(g->log))
                return 0;
        int fd = open(g->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
                return err_sys(err, errno, "--log: open '%s'", g->log);
        log_set_fd(fd); /* open until this process ends */
        return 0;
}

/* In the log for programs, and on standard error for people. */
static void tell(const Global *g, const Err *err)
{
        log_error("%s", err->msg);
        if (!str_empty(g->log))
                fprintf(stderr, "tare-runtime: %s\n", err->msg);
}

/* Of a user: their own runtime folder. */
static char *find_default_root(void)
{
        const char *dir = getenv("XDG_RUNTIME_DIR");

        return geteuid() != 0 && !str_empty(dir) ? xasprintf("%s/tare-runtime", dir)
                                                 : xstrdup(DEFAULT_ROOT);
}

static int run_command(const Global *g, int argc, char **argv, char **all, Err *err)
{
        const CliCommand *c = find_command(argv[0]);
        _cleanup_free_ char *default_root = find_default_root();
        Cli cli = {
                .ctx = { .root = str_or(g->root, default_root),
                         .systemd_cgroup =
                                 g->systemd_cgroup || str_eq(g->cgroup_manager, "systemd"),
                         .no_cgroup = str_eq(g->cgroup_manager, "disabled"),
                         .systemd_properties = g->systemd_properties,
                         .rootless = str_eq(g->rootless, "true") },
                .debug = g->debug,
        };

        if (!c) {
                err_set(err, ERR_INVALID, "no command is called '%s'; see tare-runtime --help",
                        argv[0]);
                return EXIT_FAILURE;
        }
        if (!str_empty(g->cgroup_manager) && !str_eq(g->cgroup_manager, "cgroupfs") &&
            !cli.ctx.systemd_cgroup && !cli.ctx.no_cgroup) {
                err_set(err, ERR_INVALID,
                        "--cgroup-manager: '%s' is none of cgroupfs, systemd, disabled",
                        g->cgroup_manager);
                return EXIT_FAILURE;
        }
        TraceSpan span = trace_begin("runtime.exe");
        int r = c->makes_processes ? exe_protect(all, err) : 0;
        trace_end(&span, c->name);
        if (r == 0)
                r = c->run(&cli, argc, argv, err);
        if (r == -ECANCELED && err->kind == ERR_NONE) /* help was asked for */
                return EXIT_SUCCESS;
        return r < 0 ? c->failure : r;
}

int cli_main(int argc, char **argv)
{
        Global g = { 0 };
        Err err = { 0 };
        const CliOption options[] = {
                { "root", 0, CLI_STR, &g.root, "where containers are recorded (" DEFAULT_ROOT ")",
                  "DIR" },
                { "log", 0, CLI_STR, &g.log, "where errors are written as well, and warnings alone",
                  "FILE" },
                { "log-format", 0, CLI_STR, &g.log_format, "how they are written", "text|json" },
                { "debug", 0, CLI_BOOL, &g.debug, "say more", NULL },
                { "systemd-cgroup", 0, CLI_BOOL, &g.systemd_cgroup,
                  "cgroups by systemd; linux.cgroupsPath is SLICE:PREFIX:NAME", NULL },
                { "cgroup-manager", 0, CLI_STR, &g.cgroup_manager,
                  "who makes cgroups; disabled: nobody", "cgroupfs|systemd|disabled" },
                { "systemd-properties", 0, CLI_BOOL, &g.systemd_properties,
                  "annotations org.systemd.property.NAME set properties, too", NULL },
                { "rootless", 0, CLI_STR, &g.rootless, "do without cgroups that are not ours",
                  "true|false|auto" },
                { "criu", 0, CLI_STR, &(const char *){ NULL }, NULL, NULL },
                { "version", 'v', CLI_BOOL, &g.version, "print the version", NULL },
                { "help", 'h', CLI_BOOL, &g.help, NULL, NULL },
        };

        fault_init();
        trace_init();
        int i = cli_parse(options, array_len(options), argc, argv, &err);
        int r = i < 0 ? i : open_log(&g, &err);
        if (r < 0) {
                log_set_format(LOG_LOGFMT);
                log_error("%s", err.msg);
                return EXIT_FAILURE;
        }
        if (g.version)
                return print_version();
        if (g.help || i == argc || str_eq(argv[i], "help")) {
                print_help(options, array_len(options));
                return EXIT_SUCCESS;
        }
        int status = run_command(&g, argc - i, argv + i, argv, &err);
        if (err.kind != ERR_NONE)
                tell(&g, &err);
        if (fflush(stdout) == EOF)
                return EXIT_FAILURE;
        return status;
}
