/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - the options of `tare`: one table for parser and help. */
#include <stdarg.h>
#include <stddef.h>

#include "cli/cli-internal.h"

typedef enum OptionKind { OPTION_FLAG, OPTION_TEXT, OPTION_NUMBER } OptionKind;

typedef struct Option {
        const char *commands; /* "ps|pods"; "": all */
        char letter;          /* 0: none */
        const char *name;
        OptionKind kind;
        size_t offset;
        const char *value; /* for people */
        const char *help;
} Option;

#define AT(member) offsetof(CliOptions, member)
static const Option options[] = {
        { "", 0, "address", OPTION_TEXT, AT(address), "ADDRESS",
          "socket of tared; else $TARE_ADDRESS, else " CLI_ADDRESS_DEFAULT },
        { "", 'h', "help", OPTION_FLAG, AT(help), NULL, "print help (after a command: its own)" },
        { "", 0, "version", OPTION_FLAG, AT(version), NULL, "print the version of tare" },
        { "ps", 'a', "all", OPTION_FLAG, AT(all), NULL, "also containers that do not run" },
        { "ops", 'a', "all", OPTION_FLAG, AT(all), NULL,
          "all that the daemon remembers, not only the last ones" },
        { "ps|pods|images|import|pull|pod run|info|version|ops|timeline", 0, "json", OPTION_FLAG,
          AT(json), NULL, "print JSON" },
        { "ps|pods|images", 'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "print whole ids only" },
        { "logs", 'f', "follow", OPTION_FLAG, AT(follow), NULL,
          "go on with what is written until the container ends" },
        { "logs", 't', "timestamps", OPTION_FLAG, AT(timestamps), NULL, "put the time first" },
        { "logs", 'n', "tail", OPTION_NUMBER, AT(tail), "N", "begin N lines before the end" },
        { "stop", 't', "timeout", OPTION_NUMBER, AT(timeout_s), "SECONDS",
          "from the stop signal to SIGKILL; 10 unless given" },
        { "exec|attach", 'i', "stdin", OPTION_FLAG, AT(input), NULL, "pass on standard input" },
        { "exec|attach", 't', "tty", OPTION_FLAG, AT(tty), NULL,
          "use a terminal (attach: the container's)" },
        { "exec", 0, "timeout", OPTION_NUMBER, AT(timeout_s), "SECONDS",
          "end the command after this time" },
        { "rm|pod rm", 'f', "force", OPTION_FLAG, AT(force), NULL,
          "also what runs: stop it first" },
        { "inspect", 0, "kind", OPTION_TEXT, AT(kind), "KIND",
          "look only among: container, pod, image" },
};

static bool is_of(const Option *o, const char *command)
{
        const char *at = o->commands;
        size_t n = strlen(command);

        if (!*at)
                return true;
        while (at) {
                if (strncmp(at, command, n) == 0 && (at[n] == '|' || at[n] == 0))
                        return true;
                at = strchr(at, '|');
                at = at ? at + 1 : NULL;
        }
        return false;
}

static const Option *find_long(const char *text, size_t n, const char *command)
{
        for (size_t i = 0; i < array_len(options); i++)
                if (is_of(&options[i], command) && strlen(options[i].name) == n &&
                    strncmp(options[i].name, text, n) == 0)
                        return &options[i];
        return NULL;
}

static const Option *find_letter(char letter, const char *command)
{
        for (size_t i = 0; i < array_len(options); i++)
                if (is_of(&options[i], command) && options[i].letter == letter)
                        return &options[i];
        return NULL;
}

static int set(Cli *cli, const Option *o, const char *value, Err *err)
{
        void *field = (char *)&cli->opt + o->offset;

        if (o->kind == OPTION_FLAG) {
                *(bool *)field = true;
                return 0;
        }
        if (o->kind == OPTION_TEXT) {
                *(const char **)field = value;
                return 0;
        }
        if (str_to_i64(value, field) < 0 || *(int64_t *)field < 0 || *(int64_t *)field > INT32_MAX)
                return cli_usage_error(cli, err, "--%s '%s': expected a number from 0 to %d",
                                       o->name, value, INT32_MAX);
        return 0;
}

typedef struct Line { /* the words that are left */
        Cli *cli;
        int argc, i;
        char **argv;
        const char *command; /* "" as long as none is known */
} Line;

static int unknown(Line *l, const char *word, Err *err)
{
        const char *space = *l->command ? " " : "";

        return cli_usage_error(l->cli, err, "unknown option '%s' (see tare%s%s --help)", word,
                               space, l->command);
}

/* The value is what stands behind in the same word, or the next word. */
static int take(Line *l, const Option *o, const char *rest, Err *err)
{
        if (o->kind != OPTION_FLAG && !rest) {
                if (l->i + 1 >= l->argc)
                        return cli_usage_error(l->cli, err, "--%s needs a value: %s", o->name,
                                               o->value);
                rest = l->argv[++l->i];
        }
        return set(l->cli, o, rest, err);
}

static int take_long(Line *l, const char *word, Err *err)
{
        const char *name = word + 2, *equals = strchr(name, '=');
        const Option *o =
                find_long(name, equals ? (size_t)(equals - name) : strlen(name), l->command);

        if (!o)
                return unknown(l, word, err);
        if (o->kind == OPTION_FLAG && equals)
                return cli_usage_error(l->cli, err, "--%s takes no value", o->name);
        return take(l, o, equals ? equals + 1 : NULL, err);
}

/* "-aq", "-n5", "-n 5" */
static int take_letters(Line *l, const char *word, Err *err)
{
        int r = 0;

        for (const char *at = word + 1; r == 0 && *at; at++) {
                const Option *o = find_letter(*at, l->command);
                if (!o)
                        return unknown(l, word, err);
                if (o->kind != OPTION_FLAG)
                        return take(l, o, at[1] ? at + 1 : NULL, err);
                r = take(l, o, NULL, err);
        }
        return r;
}

int cli_options_parse(Cli *cli, int argc, char **argv, const CliCommand **ret_command,
                      char **ret_args, unsigned *ret_n_args, Err *err)
{
        Line l = { .cli = cli, .argc = argc, .argv = argv, .i = 1, .command = "" };
        const CliCommand *command = NULL;
        unsigned n = 0, words = 0;
        bool plain = false; /* no options any more */
        int r = 0;

        for (; r == 0 && l.i < argc; l.i++) {
                char *word = argv[l.i];
                if (!plain && str_eq(word, "--")) {
                        plain = true;
                } else if (!plain && word[0] == '-' && word[1]) {
                        r = word[1] == '-' ? take_long(&l, word, err) : take_letters(&l, word, err);
                } else {
                        ret_args[n++] = word;
                        if (command) {
                                plain |= command->verbatim;
                                continue;
                        }
                        command = cli_command_find(ret_args, n, &words);
                        l.command = command ? command->name : "";
                        n = command ? 0 : n;
                }
        }
        ret_args[n] = NULL;
        *ret_command = command;
        *ret_n_args = n;
        return r;
}

int cli_usage_error(Cli *cli, Err *err, const char *fmt, ...)
{
        va_list ap;
        int r;

        cli->bad_usage = true;
        va_start(ap, fmt);
        r = err_setv(err, ERR_INVALID, fmt, ap);
        va_end(ap);
        return r;
}

int cli_not_found(Cli *cli, Err *err, const char *fmt, ...)
{
        va_list ap;
        int r;

        cli->no_object = true;
        va_start(ap, fmt);
        r = err_setv(err, ERR_NOT_FOUND, fmt, ap);
        va_end(ap);
        return r;
}

/* command NULL: those that all have. */
void cli_options_print(FILE *out, const char *command)
{
        for (size_t i = 0; i < array_len(options); i++) {
                const Option *o = &options[i];
                if (command ? !*o->commands || !is_of(o, command) : *o->commands)
                        continue;
                _cleanup_free_ char *left =
                        xasprintf("%c%c%s--%s%s%s", o->letter ? '-' : ' ',
                                  o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
                                  o->value ? " " : "", str_or(o->value, ""));
                fprintf(out, "  %-26s %s\n", left, o->help);
        }
}
