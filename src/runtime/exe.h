/* SPDX-License-Identifier: Apache-2.0 */
/* exe.h - no process of ours that a container could see runs from a file of the host. */
#ifndef TARE_RUNTIME_EXE_H
#define TARE_RUNTIME_EXE_H

#include "base/err.h"

/* First thing of a command that makes processes. argv: of the whole command line; may not return.
 */
int exe_hide(char *const *argv, Err *err);

#endif
