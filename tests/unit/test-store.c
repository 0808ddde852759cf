/* SPDX-License-Identifier: Apache-2.0 */
/* links: store */
#include "store/store.h"

#include <stdlib.h>

#include "base/io.h"
#include "base/str.h"
#include "unit/test.h"

typedef struct Seen {
        char *text;
} Seen;

static int note(void *data, const char *id, const void *config, size_t len, const char *facts,
                Err *err)
{
        Seen *seen = data;
        char *more = xasprintf("%s%s:%.*s:%s;", seen->text ? seen->text : "", id, (int)len,
                               config ? (const char *)config : "", facts);

        free(seen->text);
        seen->text = more;
        return 0;
}

TEST(store, rows_survive_and_keep_their_config)
{
        _cleanup_free_ char *path = xasprintf("%s/rows.db", test_tmpdir());
        Store *s = NULL;
        Seen seen = {};
        Err err = {};

        ASSERT_OK(store_open(path, true, &s, &err));
        ASSERT_OK(store_put(s, STORE_POD, "b", "cfg", 3, "{\"n\":1}", &err));
        ASSERT_OK(store_put(s, STORE_POD, "a", "x", 1, "{}", &err));
        ASSERT_OK(store_put(s, STORE_POD, "b", NULL, 0, "{\"n\":2}", &err));
        ASSERT_OK(store_put(s, STORE_IMAGE, "b", NULL, 0, "{}", &err));
        ASSERT_OK(store_begin(s, &err));
        ASSERT_OK(store_delete(s, STORE_POD, "a", &err));
        store_rollback(s);
        store_free(s);
        ASSERT_OK(store_open(path, true, &s, &err));
        ASSERT_OK(store_each(s, STORE_POD, note, &seen, &err));
        ASSERT_STREQ(seen.text, "b:cfg:{\"n\":2};a:x:{};");
        ASSERT_OK(store_check(s, &err));
        store_free(s);
        free(seen.text);
}

TEST(store, a_second_daemon_is_told_who_has_it)
{
        _cleanup_free_ char *path = xasprintf("%s/locked.db", test_tmpdir());
        Store *s = NULL, *other = NULL;
        Err err = {};

        ASSERT_OK(store_open(path, false, &s, &err));
        ASSERT_TRUE(store_open(path, false, &other, &err) < 0);
        ASSERT_EQ(err.kind, ERR_BUSY);
        ASSERT_TRUE(strstr(err.msg, "another tared (pid ") != NULL);
        store_free(s);
}

TEST_MAIN
