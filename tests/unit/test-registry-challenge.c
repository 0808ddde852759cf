/* SPDX-License-Identifier: Apache-2.0 */
/* test-registry-challenge.c - what a WWW-Authenticate header asks for. */
/* links: registry */
#include "unit/test.h"

#include "registry/challenge.h"

/* "scheme[realm|service|scope|error]" of each, '-' for what is missing. */
static char *show(const char *text)
{
        Challenges c;
        StrBuf b = {};

        challenges_parse(text, &c);
        for (size_t i = 0; i < c.n; i++) {
                const Challenge *x = &c.items[i];
                strbuf_addf(&b, "%s%s[%s|%s|%s|%s]", i ? " " : "", x->scheme,
                            x->realm ? x->realm : "-", x->service ? x->service : "-",
                            x->scope ? x->scope : "-", x->error ? x->error : "-");
        }
        challenges_done(&c);
        return strbuf_take(&b);
}

static void check(const char *text, const char *want)
{
        _cleanup_free_ char *got = show(text);

        if (!str_eq(got, want))
                TEST_FAIL("%s:\n  %s\n  %s", text, got, want);
}

TEST(challenge, usual_ones)
{
        check("Basic realm=\"a registry\"", "basic[a registry|-|-|-]");
        check("Bearer realm=\"https://a/token\",service=\"r.io\",scope=\"repository:x:pull,push\"",
              "bearer[https://a/token|r.io|repository:x:pull,push|-]");
        check("Bearer realm=\"u\", error=\"insufficient_scope\"",
              "bearer[u|-|-|insufficient_scope]");
}

TEST(challenge, several_in_one_header)
{
        check("Basic realm=\"x, Bearer y=z\", Bearer realm=\"u\"",
              "basic[x, Bearer y=z|-|-|-] bearer[u|-|-|-]");
        check("Negotiate, NTLM abc==, Basic realm=x",
              "negotiate[-|-|-|-] ntlm[-|-|-|-] basic[x|-|-|-]");
}

TEST(challenge, spelling)
{
        check("bEARER Realm = \"u\" ,\tSERVICE=s", "bearer[u|s|-|-]");
        check("Basic realm=\"a\\\"b\\\\c\"", "basic[a\"b\\c|-|-|-]");
        check("Bearer realm=https://a:5/t,service=s", "bearer[https://a:5/t|s|-|-]");
        check("Bearer realm=\"\"", "bearer[|-|-|-]");
        check("Bearer realm=one,realm=two", "bearer[one|-|-|-]");
}

TEST(challenge, garbage)
{
        check(NULL, "");
        check("", "");
        check(" ,\t,", "");
        check("=", "");
        check("realm=\"x\"", ""); /* of what? */
        check("\"quoted\"", "");
        check("Bearer realm=\"open", "bearer[open|-|-|-]");
        check("Bearer realm=\"open\\", "bearer[open\\|-|-|-]");
        check("Bearer realm=", "bearer[-|-|-|-]");
        check("Bearer realm=,service=s", "bearer[-|s|-|-]");
        check("\x01\xff Basic realm=x", "basic[x|-|-|-]");
}

TEST(challenge, more_than_the_limit)
{
        StrBuf b = {};
        Challenges c;

        for (int i = 0; i < 100; i++)
                strbuf_addf(&b, "S%d realm=r%d, ", i, i);
        challenges_parse(b.data, &c);
        strbuf_done(&b);
        ASSERT_EQ(c.n, CHALLENGES_MAX);
        ASSERT_STREQ(c.items[CHALLENGES_MAX - 1].realm, "r7");
        ASSERT_NOT_NULL(challenges_find(&c, "s3"));
        ASSERT_NULL(challenges_find(&c, "basic"));
        challenges_done(&c);
}

TEST_MAIN
