/* SPDX-License-Identifier: Apache-2.0 */
/* tare - the command line; src/cli/cli.h. */
#include <stdlib.h>

#include "base/io.h"
#include "base/log.h"
#include "cli/cli.h"

int main(int argc, char **argv)
{
        if (io_sane_stdio() < 0)
                return EXIT_FAILURE;
        log_set_program("tare");
        return cli_main(argc, argv);
}
