/* SPDX-License-Identifier: Apache-2.0 */
/* user.h - what the runtime itself wants to know of an image's users; the rest is in runtime.h. */
#ifndef TARE_RUNTIME_USER_H
#define TARE_RUNTIME_USER_H

#include <stdint.h>

#include "runtime/runtime.h"

/* runtime_user_resolve() on the files' texts, which are cut up. Pure. */
int user_from_texts(const char *user, char *passwd, char *groups, RuntimeUser *ret, Err *err);
/* The home folder of a user by the image's /etc/passwd; "/" when unknown. Freed by the caller. */
char *user_home(int root_fd, uint32_t uid);

#endif
