/* SPDX-License-Identifier: Apache-2.0 */
/* exe.c - see exe.h. */
#include "runtime/exe.h"

#include "sys/memfd.h"

int exe_hide(char *const *argv, Err *err)
{
        int r = memfd_reexec_self(argv);

        return r < 0 ? err_sys(err, -r, "run from a sealed copy of this program") : 0;
}
