/* SPDX-License-Identifier: Apache-2.0 */
/* racer.c - two names change places until somebody ends it. */
#include <fcntl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
        while (argc == 3)
                renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE);
        return 1;
}
