/* SPDX-License-Identifier: Apache-2.0 */
/* test-log.c - what is written about the program: log lines, times, identifiers, traces, faults. */
/* links: base */
#include "unit/test.h"

#include <sys/wait.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/trace.h"

/* Logs text in the given format and returns the line. */
static char *logged(LogFormat format, const char *text)
{
        StrBuf b = {};
        int p[2];

        ASSERT_OK(pipe2(p, O_CLOEXEC));
        log_set_format(format);
        log_set_fd(p[1]);
        log_info("%s", text);
        log_set_fd(-1);
        log_set_format(LOG_TEXT);
        close(p[1]);
        ASSERT_OK(io_read_all(p[0], &b, 65536));
        close(p[0]);
        return strbuf_take(&b);
}

TEST(log, text_line)
{
        _cleanup_free_ char *line = logged(LOG_TEXT, "pod=a two\nlines \x1b[0m \xff caf\xc3\xa9");

        ASSERT_EQ(line[4], '-');
        ASSERT_EQ(line[10], 'T');
        ASSERT_STREQ(line + 23, "Z INFO  pod=a two lines  [0m ? caf\xc3\xa9\n");
}

TEST(log, json_line)
{
        _cleanup_free_ char *line = logged(LOG_JSON, "a \"b\" \\ \n\xff\x01");
        _cleanup_free_ char *msg = NULL, *program = NULL, *level = NULL, *when = NULL;
        _cleanup_json_ Json *j = NULL;
        Err err = {};

        ASSERT_OK_ERR(json_parse(line, strlen(line), 65536, &j, &err), err);
        ASSERT_EQ(json_get_str(j, "msg", "", &msg, &err), 1);
        ASSERT_STREQ(msg, "a \"b\" \\  ? ");
        ASSERT_EQ(json_get_str(j, "program", "", &program, &err), 1);
        ASSERT_STREQ(program, "tare");
        ASSERT_EQ(json_get_str(j, "level", "", &level, &err), 1);
        ASSERT_STREQ(level, "info");
        ASSERT_EQ(json_get_str(j, "time", "", &when, &err), 1);
        ASSERT_EQ(strlen(when), strlen("2026-11-22T10:00:00.123Z"));
}

static void member_is(const char *line, const char *name, const char *value)
{
        _cleanup_free_ char *found = NULL;
        _cleanup_json_ Json *j = NULL;
        Err err = {};

        ASSERT_OK_ERR(json_parse(line, strlen(line), 65536, &j, &err), err);
        ASSERT_EQ(json_get_str(j, name, "", &found, &err), value ? 1 : 0);
        if (value)
                ASSERT_STREQ(found, value);
}

TEST(log, fields_are_members)
{
        _cleanup_free_ char *line = logged(
                LOG_JSON_FIELDS, "op=7 pod=a\"b container=c msg=no has ended with x=1 in it");
        _cleanup_free_ char *all = logged(LOG_JSON_FIELDS, "method=Version code=0");
        _cleanup_free_ char *none = logged(LOG_JSON_FIELDS, "a pod=x =y");
        _cleanup_free_ char *plain = logged(LOG_JSON, "pod=x has ended");
        _cleanup_strbuf_ StrBuf many = {};
        char quotes[101] = "";

        member_is(line, "op", "7");
        member_is(line, "pod", "a\"b");
        member_is(line, "container", "c");
        member_is(line, "msg", "msg=no has ended with x=1 in it");
        member_is(line, "x", NULL);
        member_is(all, "method", "Version");
        member_is(all, "msg", "");
        member_is(none, "msg", "a pod=x =y");
        member_is(plain, "msg", "pod=x has ended");
        member_is(plain, "pod", NULL);
        memset(quotes, '"', sizeof(quotes) - 1);
        for (int i = 0; i < 26; i++)
                strbuf_addf(&many, "%c=%s ", 'a' + i, quotes);
        strbuf_addf(&many, "long=%0300d", 1);
        _cleanup_free_ char *whole = logged(LOG_JSON_FIELDS, many.data);
        member_is(whole, "level", "info");
}

TEST(log, long_lines_are_cut_and_stay_whole)
{
        static const char *const fillers[] = { "x", "\"", "\xc3\xa9", "\xff" };

        for (size_t i = 0; i < array_len(fillers); i++) {
                _cleanup_strbuf_ StrBuf b = {};
                _cleanup_json_ Json *j = NULL;
                Err err = {};
                while (b.len < 10000)
                        strbuf_adds(&b, fillers[i]);
                _cleanup_free_ char *line = logged(LOG_JSON, b.data);
                ASSERT_TRUE(strlen(line) <= 4096);
                ASSERT_TRUE(str_has_suffix(line, "...\"}\n"));
                ASSERT_OK_ERR(json_parse(line, strlen(line), 65536, &j, &err), err);
        }
}

TEST(log, levels)
{
        LogLevel level = LOG_INFO_;

        ASSERT_OK(log_level_parse("debug", &level));
        ASSERT_EQ(level, LOG_DEBUG_);
        ASSERT_OK(log_level_parse("error", &level));
        ASSERT_ERR(log_level_parse("loud", &level), EINVAL);
        ASSERT_EQ(level, LOG_ERROR_);
        log_set_level(LOG_WARNING_);
        _cleanup_free_ char *line = logged(LOG_TEXT, "not wanted");
        log_set_level(LOG_INFO_);
        ASSERT_STREQ(line, "");
}

TEST(log, keeps_errno)
{
        log_set_fd(1000000);
        errno = ENOTTY;
        log_error("nobody reads this");
        ASSERT_EQ(errno, ENOTTY);
        log_set_fd(-1);
}

TEST(clock, rfc3339)
{
        static const struct {
                int64_t s, ns;
                const char *text;
        } cases[] = {
                { 0, 0, "1970-01-01T00:00:00.000000000Z" },
                { 0, -1, "1969-12-31T23:59:59.999999999Z" },
                { 951782400, 5, "2000-02-29T00:00:00.000000005Z" },
                { 1709164799, 123456789, "2024-02-28T23:59:59.123456789Z" },
                { 1709251199, 0, "2024-02-29T23:59:59.000000000Z" },
                { 1709251200, 0, "2024-03-01T00:00:00.000000000Z" },
                { 4107542400, 0, "2100-03-01T00:00:00.000000000Z" },
                { 1795341600, 0, "2026-11-22T10:00:00.000000000Z" },
                { -2208988800, 0, "1900-01-01T00:00:00.000000000Z" },
        };
        char buf[36];

        for (size_t i = 0; i < array_len(cases); i++) {
                clock_format_rfc3339(cases[i].s * (int64_t)NS_PER_S + cases[i].ns, buf,
                                     sizeof(buf));
                ASSERT_STREQ(buf, cases[i].text);
        }
        clock_format_rfc3339(INT64_MIN, buf, sizeof(buf));
        ASSERT_STREQ(buf, "1677-09-21T00:12:43.145224192Z");
        clock_format_rfc3339(INT64_MAX, buf, sizeof(buf));
        ASSERT_STREQ(buf, "2262-04-11T23:47:16.854775807Z");
}

TEST(clock, now)
{
        uint64_t a = clock_mono_ns(), b = clock_mono_ns();

        ASSERT_TRUE(a > 0 && b >= a);
        ASSERT_TRUE(clock_real_ns() > 1700000000 * (int64_t)NS_PER_S);
        ASSERT_EQ(strlen(clock_boot_id()), 36);
        ASSERT_TRUE(clock_boot_id() == clock_boot_id());
}

TEST(id, shape)
{
        char a[ID_LEN + 1], b[ID_LEN + 1], u[UUID_LEN + 1];

        id_new(a);
        id_new(b);
        ASSERT_TRUE(id_is_valid(a));
        ASSERT_FALSE(str_eq(a, b));
        a[63] = 'G';
        ASSERT_FALSE(id_is_valid(a));
        a[63] = 0;
        ASSERT_FALSE(id_is_valid(a));
        ASSERT_FALSE(id_is_valid(NULL));
        for (int i = 0; i < 50; i++) {
                id_new_uuid(u);
                ASSERT_EQ(strlen(u), UUID_LEN);
                ASSERT_EQ(u[8], '-');
                ASSERT_EQ(u[14], '4');
                ASSERT_TRUE(strchr("89ab", u[19]));
        }
}

TEST(trace, spans_are_json_lines)
{
        _cleanup_free_ char *path = test_path("trace"), *name = NULL, *id = NULL;
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_json_ Json *j = NULL;
        uint64_t us = 0;
        Err err = {};

        unsetenv("TARE_TRACE");
        trace_init();
        ASSERT_FALSE(trace_on_);
        TraceSpan off = trace_begin("x");
        trace_end(&off, "x");
        setenv("TARE_TRACE", path, 1);
        trace_init();
        unsetenv("TARE_TRACE");
        ASSERT_TRUE(trace_on_);
        trace_end(&off, "begun before it was on");
        TraceSpan span = trace_begin("a.b");
        usleep(2000);
        trace_end(&span, "i\"d\n");
        trace_init();
        ASSERT_OK(io_read_file(AT_FDCWD, path, 65536, &b));
        ASSERT_OK_ERR(json_parse(b.data, b.len, 65536, &j, &err), err);
        ASSERT_EQ(json_get_str(j, "span", "", &name, &err), 1);
        ASSERT_STREQ(name, "a.b");
        ASSERT_EQ(json_get_str(j, "id", "", &id, &err), 1);
        ASSERT_STREQ(id, "i?d?");
        ASSERT_EQ(json_get_u64(j, "us", "", &us, &err), 1);
        ASSERT_TRUE(us >= 2000);
}

static void arm(const char *spec)
{
        if (spec)
                setenv("TARE_FAULT", spec, 1);
        else
                unsetenv("TARE_FAULT");
        fault_init();
        unsetenv("TARE_FAULT");
}

TEST(fault, points)
{
        if (geteuid() != 0)
                TEST_SKIP("fault points are for root");
        arm(NULL);
        ASSERT_FALSE(fault_point("a"));
        arm("a=fail,b:3=fail,c:0=fail,d=ms:1");
        ASSERT_TRUE(fault_point("a"));
        ASSERT_FALSE(fault_point("a")); /* the first time only */
        ASSERT_FALSE(fault_point("b"));
        ASSERT_FALSE(fault_point("b"));
        ASSERT_TRUE(fault_point("b"));
        ASSERT_FALSE(fault_point("b"));
        for (int i = 0; i < 3; i++)
                ASSERT_TRUE(fault_point("c"));
        uint64_t before = clock_mono_ns();
        ASSERT_FALSE(fault_point("d"));
        ASSERT_TRUE(clock_mono_ns() - before >= NS_PER_MS);
        ASSERT_FALSE(fault_point("unknown"));
        arm(NULL);
        ASSERT_FALSE(fault_point("c"));
}

TEST(fault, wrong_ones_are_told_and_left_out)
{
        static const char *const wrong[] = {
                "a", "a=", "a=explode", "=fail", "a:x=fail", "a=ms:-1"
        };
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        log_set_fd(null);
        for (size_t i = 0; i < array_len(wrong); i++) {
                arm(wrong[i]);
                ASSERT_FALSE(fault_armed_);
        }
        log_set_fd(-1);
        close(null);
}

TEST_MAIN
