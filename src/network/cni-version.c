/* SPDX-License-Identifier: Apache-2.0 */
/* cni-version.c - the versions of the specification that are spoken here. Results had another form
 * before 0.3.0: nothing here reads it. */
#include "network/cni-internal.h"

static const char *const known[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" }; /* ascending */

static int index_of(const char *text)
{
        for (size_t i = 0; text && i < array_len(known); i++)
                if (strcmp(known[i], text) == 0)
                        return (int)i;
        return -1;
}

const char *cni_version_find(const char *text)
{
        int i = index_of(text);

        return i < 0 ? NULL : known[i];
}

bool cni_version_at_least(const char *a, const char *b)
{
        return index_of(a) >= index_of(b);
}

int cni_version_select(Json *list, const char **ret, Err *err)
{
        _cleanup_strv_ char **versions = NULL;
        _cleanup_free_ char *version = NULL;
        int best = -1;
        int r = json_get_strv(list, "cniVersions", "", &versions, err);

        if (r >= 0)
                r = json_get_str(list, "cniVersion", "", &version, err);
        if (r < 0)
                return r;
        if (version)
                strv_push(&versions, version);
        for (char **v = versions; v && *v; v++) {
                int i = index_of(*v);
                best = i > best ? i : best;
        }
        if (best >= 0) {
                *ret = known[best];
                return 0;
        }
        if (!versions)
                return err_set(err, ERR_UNSUPPORTED,
                               "no cniVersion (which means 0.1.0): set one of 0.3.0 to 1.1.0");
        _cleanup_free_ char *all = strv_join(versions, ", ");
        return err_set(err, ERR_UNSUPPORTED, "cniVersion %s: not supported, only 0.3.0 to 1.1.0",
                       all);
}

bool cni_result_has_check(Json *result)
{
        _cleanup_free_ char *version = NULL;

        return json_object_is_type(result, json_type_object) &&
               json_get_str(result, "cniVersion", "", &version, NULL) > 0 &&
               cni_version_at_least(version, "0.4.0");
}
