/* SPDX-License-Identifier: Apache-2.0 */
/* members.h - the processes of a container, with a cgroup or without. */
#ifndef TARE_RUNTIME_MEMBERS_H
#define TARE_RUNTIME_MEMBERS_H

#include "runtime/state.h"

int members_list(const State *st, pid_t **ret, size_t *ret_n, Err *err);
/* None is left unsignalled; that there is none is no error. */
int members_kill(const State *st, int signo, Err *err);

#endif
