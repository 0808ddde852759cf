/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - tare-runtime's command line: the same words as runc's, so that what calls runc calls
 * this.
 *
 * Global options, a command, its options, its arguments; options end at the first word that is
 * none. A command returns the process's exit status; its errors it returns through Err, and the
 * dispatcher prints them and decides on the status. */
#ifndef TARE_RUNTIME_CLI_H
#define TARE_RUNTIME_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "runtime/runtime.h"

typedef enum CliKind { CLI_BOOL, CLI_STR, CLI_U32, CLI_STRV } CliKind;

typedef struct CliOption {
        const char *name; /* "bundle": --bundle DIR, --bundle=DIR */
        char letter;      /* 'b': -b DIR; 0: none */
        CliKind kind;
        void *dest; /* bool *, const char **, unsigned *, char *** */
        const char *help;
        const char *value; /* what stands for the value in the help: "DIR"; NULL for CLI_BOOL */
} CliOption;

/* The index of the first argument that is no option; negative on an error. --help among the options
 * prints them and is -ECANCELED without an error: whoever is asked for help does nothing else. */
int cli_parse(const CliOption *options, size_t n, int argc, char **argv, Err *err);

typedef struct Cli {
        RuntimeContext ctx;
        bool debug;
} Cli;

typedef struct CliCommand {
        const char *name, *arguments, *help;
        /* argv[0] is the command's name. Exit status >= 0, or negative with err. */
        int (*run)(const Cli *cli, int argc, char **argv, Err *err);
        int failure;          /* exit status when it fails: 1, and for exec 255 */
        bool makes_processes; /* needs a program that no container can reach */
} CliCommand;

/* Everything between main()'s stdio check and its return value. */
int cli_main(int argc, char **argv);

/* At most max arguments, with options before, between and behind them ("delete ID --force"), into
 * words; how many there are. */
int cli_parse_words(const CliOption *options, size_t n, int argc, char **argv, size_t max,
                    const char **words, Err *err);
/* Exactly one argument, the container's id, after the options. */
int cli_parse_id(const CliOption *options, size_t n, int argc, char **argv, const char **ret_id,
                 Err *err);
/* Sends a pidfd to the socket, with this word; path NULL: nothing is to be done. */
int cli_send_pidfd(const char *path, int pidfd, const char *word, Err *err);
/* The descriptors 3 .. 3+n that the container is to have, with those of LISTEN_FDS. */
int cli_preserve_fds(unsigned asked, unsigned *ret, Err *err);

/* cmd-create.c */
int cmd_create(const Cli *cli, int argc, char **argv, Err *err);
int cmd_run(const Cli *cli, int argc, char **argv, Err *err);
int cmd_start(const Cli *cli, int argc, char **argv, Err *err);
/* A terminal in the foreground is ours to carry; without one there is nothing to make. */
int cli_read_spec(const char *bundle, OciSpec **ret, char **ret_text, bool *ret_terminal, Err *err);
/* cmd-checkpoint.c */
int cmd_checkpoint(const Cli *cli, int argc, char **argv, Err *err);
int cmd_restore(const Cli *cli, int argc, char **argv, Err *err);
/* cmd-exec.c */
int cmd_exec(const Cli *cli, int argc, char **argv, Err *err);
/* cmd-control.c */
int cmd_kill(const Cli *cli, int argc, char **argv, Err *err);
int cmd_delete(const Cli *cli, int argc, char **argv, Err *err);
int cmd_pause(const Cli *cli, int argc, char **argv, Err *err);
int cmd_resume(const Cli *cli, int argc, char **argv, Err *err);
int cmd_update(const Cli *cli, int argc, char **argv, Err *err);
/* cmd-state.c */
int cmd_state(const Cli *cli, int argc, char **argv, Err *err);
int cmd_list(const Cli *cli, int argc, char **argv, Err *err);
int cmd_ps(const Cli *cli, int argc, char **argv, Err *err);
/* cmd-events.c */
int cmd_events(const Cli *cli, int argc, char **argv, Err *err);
/* cmd-spec.c */
int cmd_spec(const Cli *cli, int argc, char **argv, Err *err);
/* cmd-features.c */
int cmd_features(const Cli *cli, int argc, char **argv, Err *err);

/* foreground.c: waits for a process in the foreground: signals go to it, and with console_fd (our
 * end of the pair that its terminal came over) its terminal is ours. Returns its exit status. */
typedef struct Foreground Foreground;
/* Before the process is made: blocks the signals that will be passed on. console: make the pair.
 * reap: what a program that detaches leaves behind becomes ours, and is reaped. */
int foreground_open(bool console, bool reap, Foreground **ret, int *ret_console_fd, Err *err);
int foreground_wait(Foreground *f, const RuntimeProcess *p, Err *err);
void foreground_close(Foreground *f);

#endif
