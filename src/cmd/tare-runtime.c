/* SPDX-License-Identifier: Apache-2.0 */
/* tare-runtime.c - the OCI runtime: main(). Single-threaded, static; the command line is
 * src/runtime/cli.h. */
#include <stdlib.h>

#include "base/io.h"
#include "runtime/cli.h"

int main(int argc, char **argv)
{
        if (io_sane_stdio() < 0)
                return EXIT_FAILURE;
        return cli_main(argc, argv);
}
