/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - the command line of tared. */
#include <stddef.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "daemon/daemon.h"

static const struct {
        const char *name;
        size_t offset;
        bool has_value;
} options[] = {
        { "--config", offsetof(DaemonOptions, config), true },
        { "--root", offsetof(DaemonOptions, root), true },
        { "--state", offsetof(DaemonOptions, state), true },
        { "--listen", offsetof(DaemonOptions, listen), true },
        { "--log-level", offsetof(DaemonOptions, log_level), true },
        { "--version", offsetof(DaemonOptions, version), false },
        { "--help", offsetof(DaemonOptions, help), false },
        { "--exporter", offsetof(DaemonOptions, exporter), true },
        { "--sampler", offsetof(DaemonOptions, sampler), false },
        { "--print-config", offsetof(DaemonOptions, print_config), false },
        { "--config-reference", offsetof(DaemonOptions, reference), false },
};

const char *daemon_help(void)
{
        return "usage: tared [--config FILE] [--root DIR] [--state DIR] [--listen unix:///PATH]\n"
               "             [--log-level LEVEL]\n"
               "       tared [--config FILE] [...] --print-config\n"
               "       tared --version | --config-reference | --help\n"
               "\n"
               "The node daemon: serves the Container Runtime Interface on a unix socket.\n"
               "Flags win over the configuration file (" DAEMON_CONFIG_FILE ").\n"
               "--print-config shows the whole configuration, each value with where it came from.\n"
               "SIGTERM ends the daemon; pods go on and are taken over by the next one.\n";
}

/* "--name value" or "--name=value". */
static int take(int argc, char **argv, int *i, DaemonOptions *ret, Err *err)
{
        for (size_t k = 0; k < array_len(options); k++) {
                void *field = (char *)ret + options[k].offset;
                const char *rest = str_skip_prefix(argv[*i], options[k].name);
                if (!rest || (*rest && *rest != '='))
                        continue;
                if (!options[k].has_value) {
                        *(bool *)field = true;
                        return *rest ? err_set(err, ERR_INVALID, "%s takes no value",
                                               options[k].name)
                                     : 0;
                }
                if (*rest)
                        *(const char **)field = rest + 1;
                else if (*i + 1 < argc)
                        *(const char **)field = argv[++*i];
                else
                        return err_set(err, ERR_INVALID, "%s needs a value", options[k].name);
                return 0;
        }
        return err_set(err, ERR_INVALID, "unknown option '%s' (see tared --help)", argv[*i]);
}

int daemon_options_parse(int argc, char **argv, DaemonOptions *ret, Err *err)
{
        int r = 0;

        *ret = (DaemonOptions){};
        for (int i = 1; r == 0 && i < argc; i++)
                r = take(argc, argv, &i, ret, err);
        return r;
}
