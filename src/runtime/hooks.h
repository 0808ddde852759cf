/* SPDX-License-Identifier: Apache-2.0 */
/* hooks.h - runs the programs of config.json's hooks, one after the other.
 *
 * Source: runtime-spec config.md "POSIX-platform Hooks", runtime.md "Lifecycle". Each gets the
 * container's state as JSON on stdin. Without an "env" it has our environment, as runc's and crun's
 * hooks have (they find their programs by PATH), and in the container that of its program. What it
 * prints is the error's text when it fails. */
#ifndef TARE_RUNTIME_HOOKS_H
#define TARE_RUNTIME_HOOKS_H

#include "base/err.h"
#include "base/json.h"
#include "oci/runtime-spec.h"

/* Stops at the first that fails. kind: "createRuntime", for messages; env: for those without. */
int hooks_run(const OciHookList *list, const char *kind, Json *state, char *const *env, Err *err);

#endif
