/* SPDX-License-Identifier: Apache-2.0 */
/* peak.c - what memory a program took: peak COMMAND [ARGUMENT]...
 *
 * Stops the process (its children are not looked at) when it is about to end, and prints two
 * numbers of KiB: its private dirty memory then, and the largest resident size that it had. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static long value_of(pid_t pid, const char *file, const char *key)
{
        char path[64], line[256];
        long value = -1;

        snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
        FILE *in = fopen(path, "re");
        while (in && value < 0 && fgets(line, sizeof(line), in))
                if (strncmp(line, key, strlen(key)) == 0)
                        value = strtol(line + strlen(key), NULL, 10);
        if (in)
                fclose(in);
        return value;
}

static int follow(pid_t pid)
{
        for (;;) {
                int status;
                if (waitpid(pid, &status, 0) < 0)
                        return perror("wait"), 1;
                if (!WIFSTOPPED(status))
                        return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
                int event = status >> 16, signo = event ? 0 : WSTOPSIG(status);
                if (event == PTRACE_EVENT_EXIT)
                        printf("%ld %ld\n", value_of(pid, "smaps_rollup", "Private_Dirty:"),
                               value_of(pid, "status", "VmHWM:"));
                if (ptrace(PTRACE_CONT, pid, NULL, signo) < 0 && errno != ESRCH)
                        return perror("ptrace"), 1;
        }
}

int main(int argc, char **argv)
{
        int go[2];

        if (argc < 2 || pipe(go) < 0)
                return 2;
        pid_t pid = fork();
        if (pid < 0)
                return 2;
        if (pid == 0) {
                char c;
                close(go[1]);
                if (read(go[0], &c, 1) != 0)
                        _exit(2);
                close(go[0]);
                execvp(argv[1], argv + 1);
                _exit(127);
        }
        close(go[0]);
        if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT) < 0)
                return perror("ptrace"), 1;
        close(go[1]);
        return follow(pid);
}
