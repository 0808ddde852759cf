/* SPDX-License-Identifier: Apache-2.0 */
/* cli-internal.h - what the files of cli/ share. For this folder only. */
#ifndef TARE_CLI_CLI_INTERNAL_H
#define TARE_CLI_CLI_INTERNAL_H

#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/cli.h"
#include "runtime/v1/api.pb-c.h"
#include "tare/v1/tare.pb-c.h"
#include "wire/grpc-client.h"
#include "wire/pb-json.h"

/* --- the command line (options.c, commands.c) --- */

typedef struct CliOptions {
        const char *address, *kind;
        bool json, quiet, all, follow, timestamps, force, help, version, input, tty;
        int64_t tail, timeout_s; /* -1: not given */
} CliOptions;

typedef struct Cli {
        CliOptions opt;
        GrpcClient *client; /* connected by the first question */
        bool unreachable;   /* the error is about the daemon's socket */
        bool bad_usage;     /* the error is about the command line */
        bool no_object;     /* what the command line names is not there */
} Cli;

typedef struct CliCommand {
        const char *name; /* "ps", "pod run" */
        const char *args; /* for people: "ID..." */
        unsigned min_args, max_args;
        bool verbatim; /* what follows the first argument is not looked at: exec ID CMD -x */
        /* The exit status, or negative with err. */
        int (*run)(Cli *cli, char **args, Err *err);
        const char *help;
} CliCommand;

extern const CliCommand cli_commands[]; /* ends with a row without name */

/* Takes the options out of argv; ret_args (n + NULL, borrowed from argv) gets the rest. Options are
 * those of every command and of the one named; the command is found on the way (NULL: none named).
 */
int cli_options_parse(Cli *cli, int argc, char **argv, const CliCommand **ret_command,
                      char **ret_args, unsigned *ret_n_args, Err *err);
/* The command that the first words name; *ret_n: how many words. NULL: none. */
const CliCommand *cli_command_find(char **words, unsigned n, unsigned *ret_n);
int cli_usage_error(Cli *cli, Err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int cli_not_found(Cli *cli, Err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* command NULL: of the program. */
void cli_help_print(FILE *out, const CliCommand *command);
void cli_options_print(FILE *out, const char *command);

/* --- the daemon (ask.c) --- */

#define ASK_TIMEOUT_MS 20000 /* questions, which the daemon answers from memory */
#define ASK_NO_TIMEOUT 0     /* verbs, which have deadlines of their own */

/* Connects when needed. */
int cli_ask(Cli *cli, const char *method, const void *req,
            const ProtobufCMessageDescriptor *response, unsigned timeout_ms, void *ret, Err *err);
#define ask_runtime(cli, Method, name, req, timeout_ms, ret, err)                                  \
        cli_ask((cli), "/runtime.v1.RuntimeService/" #Method, (req),                               \
                &runtime__v1__##name##_response__descriptor, (timeout_ms), (ret), (err))
#define ask_image(cli, Method, name, req, timeout_ms, ret, err)                                    \
        cli_ask((cli), "/runtime.v1.ImageService/" #Method, (req),                                 \
                &runtime__v1__##name##_response__descriptor, (timeout_ms), (ret), (err))
#define ask_tare(cli, Method, name, req, timeout_ms, ret, err)                                     \
        cli_ask((cli), "/tare.v1.Tare/" #Method, (req), &tare__v1__##name##_response__descriptor,  \
                (timeout_ms), (ret), (err))

static inline void message_freep(void *p)
{
        ProtobufCMessage **m = p;

        if (*m)
                protobuf_c_message_free_unpacked(*m, NULL);
        *m = NULL;
}
#define _cleanup_message_ __attribute__((cleanup(message_freep)))

typedef Runtime__V1__Container Ctr;
typedef Runtime__V1__PodSandbox PodBox;

const char *cli_state_name(const ProtobufCEnumDescriptor *e, int value); /* "running" */
/* Of any length; the kind NOT_FOUND or INVALID (several) with what is to be done. ret_id is freed
 * by the caller. A name is that of the newest container of this name in a pod; POD/NAME narrows. */
int cli_find_container(Cli *cli, const char *what, char **ret_id, Err *err);
/* ID, prefix, NAME or NAMESPACE/NAME. */
int cli_find_pod(Cli *cli, const char *what, char **ret_id, Err *err);
int cli_list_containers(Cli *cli, bool all, Runtime__V1__ListContainersResponse **ret, Err *err);
int cli_list_pods(Cli *cli, Runtime__V1__ListPodSandboxResponse **ret, Err *err);
int cli_container_status(Cli *cli, const char *id, bool verbose,
                         Runtime__V1__ContainerStatusResponse **ret, Err *err);
int cli_pod_status(Cli *cli, const char *id, bool verbose,
                   Runtime__V1__PodSandboxStatusResponse **ret, Err *err);
/* ret->image is NULL when there is none of that name. */
int cli_image_status(Cli *cli, const char *name, bool verbose,
                     Runtime__V1__ImageStatusResponse **ret, Err *err);
#define CLI_ID_SHOWN 13
/* An id cut for a table; other texts as they are. Freed by the caller. */
char *cli_short_id(const char *id);

/* fn on every argument; goes on after a failure, which is printed unless it is the last thing that
 * is left to say (then it is err). */
int cli_each(Cli *cli, char **args, int (*fn)(Cli *cli, const char *what, Err *err), Err *err);

/* --- message-read.c --- */

/* Fills a message of desc; takes names as in the .proto or in lowerCamelCase, in any case of
 * letters, as crictl does. Unknown members are told to `unknown` ("linux.foo") and passed over. */
int message_from_json(const ProtobufCMessageDescriptor *desc, Json *j,
                      void (*unknown)(void *data, const char *path), void *data,
                      ProtobufCMessage **ret, Err *err);
/* Prints and drops j. */
void cli_print_json(Json *j);

/* --- tables (table.c) --- */

typedef struct Table Table;
/* Column heads, separated by '|'; one that begins with '>' is aligned to the right. */
Table *table_new(const char *heads);
void table_free(Table *t);
/* The next cell, row by row; control characters become '?'. "" is printed as "-". */
void table_add(Table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_add_blank(Table *t);
void table_print(const Table *t, FILE *out);
DEFINE_CLEANUP(Table, table_free)
#define _cleanup_table_ _cleanup_(table_freep)

/* "42s", "3m", "2h", "5d"; at: ns since the epoch, 0: "". Freed by the caller. */
char *cli_age(int64_t at);
/* "1.2 MB"; freed by the caller. */
char *cli_size(uint64_t bytes);

/* --- the commands --- */

int cmd_ps(Cli *cli, char **args, Err *err);
int cmd_pods(Cli *cli, char **args, Err *err);
int cmd_images(Cli *cli, char **args, Err *err);
int cmd_inspect(Cli *cli, char **args, Err *err);
int cmd_info(Cli *cli, char **args, Err *err);
int cmd_version(Cli *cli, char **args, Err *err);
int cmd_import(Cli *cli, char **args, Err *err);
int cmd_pull(Cli *cli, char **args, Err *err);
int cmd_rmi(Cli *cli, char **args, Err *err);
int cmd_pod_run(Cli *cli, char **args, Err *err);
int cmd_pod_stop(Cli *cli, char **args, Err *err);
int cmd_pod_rm(Cli *cli, char **args, Err *err);
int cmd_stop(Cli *cli, char **args, Err *err);
int cmd_rm(Cli *cli, char **args, Err *err);
int cmd_exec(Cli *cli, char **args, Err *err);
int cmd_attach(Cli *cli, char **args, Err *err);
int cmd_port_forward(Cli *cli, char **args, Err *err);
int cmd_logs(Cli *cli, char **args, Err *err);
int cmd_ops(Cli *cli, char **args, Err *err);
int cmd_timeline(Cli *cli, char **args, Err *err);

#endif
