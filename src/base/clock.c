/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c - see clock.h. Dates are computed here and not by gmtime(), which opens the time zone
 * file of whatever root directory the process happens to be in. */
#include "base/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/io.h"

#define BOOT_ID_LEN 36
#define S_PER_DAY   86400

static uint64_t read_clock(clockid_t id)
{
        struct timespec ts;

        tare_assert(clock_gettime(id, &ts) == 0);
        return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
        return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_real_ns(void)
{
        return (int64_t)read_clock(CLOCK_REALTIME);
}

/* Days since the epoch to a proleptic Gregorian date. Years start in March here, so that the leap
 * day is the last of its year; 146097 days make a cycle of 400 years. */
static void civil_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
        days += 719468; /* 0000-03-01 */
        int64_t era = (days >= 0 ? days : days - 146096) / 146097;
        int64_t doe = days - era * 146097;
        int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
        int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        int64_t mp = (5 * doy + 2) / 153;

        *ret_day = (int)(doy - (153 * mp + 2) / 5 + 1);
        *ret_month = (int)(mp < 10 ? mp + 3 : mp - 9);
        *ret_year = (int)(yoe + era * 400 + (*ret_month <= 2));
}

void clock_format_rfc3339(int64_t real_ns, char *buf, size_t n)
{
        int64_t s = real_ns / (int64_t)NS_PER_S, ns = real_ns % (int64_t)NS_PER_S;
        int year, month, day;

        if (ns < 0) {
                ns += (int64_t)NS_PER_S;
                s--;
        }
        int64_t days = s / S_PER_DAY, in_day = s % S_PER_DAY;
        if (in_day < 0) {
                in_day += S_PER_DAY;
                days--;
        }
        civil_from_days(days, &year, &month, &day);
        snprintf(buf, n, "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", year, month, day,
                 (int)(in_day / 3600), (int)(in_day / 60 % 60), (int)(in_day % 60), (int)ns);
}

static char boot_id[BOOT_ID_LEN + 1];

static void read_boot_id(void)
{
        _cleanup_strbuf_ StrBuf b = {};

        if (io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 256, &b) < 0)
                return;
        if (b.len >= BOOT_ID_LEN)
                memcpy(boot_id, b.data, BOOT_ID_LEN);
}

const char *clock_boot_id(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        pthread_once(&once, read_boot_id);
        return boot_id;
}
