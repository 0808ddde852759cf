/* SPDX-License-Identifier: Apache-2.0 */
/* payload.c - the program that containers of the benchmark run: ends at once, or with an argument
 * waits to be killed. Static: it has to run in an empty root. */
#include <unistd.h>

int main(int argc, char **argv)
{
        (void)argv;
        while (argc > 1)
                pause();
        return 0;
}
