/* SPDX-License-Identifier: Apache-2.0 */
/* links: base sys oci runtime */
/* fuzz-runtime-user.c - an image's passwd and group: whatever they hold, digits stay a number, no
 * id is the kernel's "leave it", and what is not understood makes nobody root. Input: the user
 * string, a NUL, passwd, a NUL, group. */
#include "base/str.h"
#include "fuzz/fuzz.h"
#include "runtime/user.h"

static char *next_part(const uint8_t **data, size_t *size)
{
        const uint8_t *nul = *size ? memchr(*data, 0, *size) : NULL;
        size_t n = nul ? (size_t)(nul - *data) : *size;
        char *part = xstrndup(n ? (const char *)*data : "", n);

        *data += nul ? n + 1 : n;
        *size -= nul ? n + 1 : n;
        return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *user = next_part(&data, &size);
        _cleanup_free_ char *passwd = next_part(&data, &size);
        _cleanup_free_ char *groups = next_part(&data, &size);
        RuntimeUser u;
        Err err = { 0 };
        uint64_t number;

        int r = user_from_texts(user, passwd, groups, &u, &err);
        if (r < 0) {
                tare_assert(err.kind != ERR_NONE && err.msg[0]);
                return 0;
        }
        tare_assert(u.uid != UINT32_MAX && u.gid != UINT32_MAX);
        tare_assert(u.home && u.home[0] == '/');
        for (size_t i = 0; i < u.n_additional_gids; i++)
                tare_assert(u.additional_gids[i] != u.gid && u.additional_gids[i] != UINT32_MAX);
        _cleanup_free_ char *name = xstrndup(user, strcspn(user, ":"));
        if (str_to_u64(name, &number) == 0)
                tare_assert(u.uid == number);
        runtime_user_done(&u);
        return 0;
}
