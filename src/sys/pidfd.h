/* SPDX-License-Identifier: Apache-2.0 */
/* pidfd.h - processes by descriptor. */
#ifndef TARE_SYS_PIDFD_H
#define TARE_SYS_PIDFD_H

/* The C library has a header of this name too, and src/ is searched first: whoever includes either
 * gets both. */
#include_next <sys/pidfd.h>

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

int pidfd_open_pid(pid_t pid);
int pidfd_kill(int pidfd, int signo);
/* Reaps a child, also one with exit_signal 0 (__WALL). status as of waitpid. block false: -EAGAIN
 * while it runs. */
int pidfd_reap(int pidfd, bool block, int *ret_status);
/* Exit status of a process that is not our child (PIDFD_INFO_EXIT, 6.15): 0, or -errno. */
int pidfd_exit_info(int pidfd, int *ret_status);
/* 'R', 'S', 'Z', ... and field 22 of /proc/PID/stat; 0 when there is no such process. */
char process_state(pid_t pid, uint64_t *ret_start);
/* Field 22 alone; 0 when there is no such process. */
uint64_t process_start_time(pid_t pid);
/* 0 when there is no such process. */
pid_t process_parent(pid_t pid);
/* 128 + signal when killed, else the exit code. */
unsigned process_exit_code(int status);

#endif
