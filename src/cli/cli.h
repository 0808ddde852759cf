/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - the contract of src/cli: the commands of `tare`.
 *
 * A command is a row of a table (commands.c): name, function, help line; its options are rows of
 * another (options.c). It asks tared over its socket (runtime.v1 and tare.v1) and prints; it holds
 * no state and decides nothing that the daemon decides.
 *
 * Exit status: 0 done; 1 failed; 2 wrong usage; 3 the daemon cannot be reached; 4 no such object.
 * `tare exec` and `attach` exit with the command's status, and with 125 for all else. */
#ifndef TARE_CLI_CLI_H
#define TARE_CLI_CLI_H

#define CLI_EXIT_FAILED      1
#define CLI_EXIT_USAGE       2
#define CLI_EXIT_UNREACHABLE 3
#define CLI_EXIT_NOT_FOUND   4
#define CLI_EXIT_EXEC_FAILED 125 /* tare exec: the command was not run to its end */

#define CLI_ADDRESS_DEFAULT "unix:///run/tare/tared.sock"

/* The whole program but io_sane_stdio(); the exit status. Writes to stdout and stderr. */
int cli_main(int argc, char **argv);

#endif
