/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c - see fault.h. Counts are per process: a forked child goes on from its parent's. */
#include "base/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"

#define FAULT_POINTS_MAX 16
#define FAULT_NAME_MAX   64
#define FAULT_MS_MAX     3600000

typedef enum Action { ACTION_FAIL, ACTION_KILL, ACTION_STALL, ACTION_SLEEP } Action;

typedef struct Point {
        char name[FAULT_NAME_MAX];
        uint32_t nth; /* 0: every time */
        Action action;
        uint32_t sleep_ms;
        _Atomic uint32_t hits;
} Point;

bool fault_armed_;
/* Written by fault_init() only, before there are threads. */
static Point points[FAULT_POINTS_MAX];
static size_t n_points;

static int parse_action(const char *s, Point *p)
{
        static const struct {
                const char *name;
                Action action;
        } actions[] = {
                { "fail", ACTION_FAIL },
                { "kill", ACTION_KILL },
                { "stall", ACTION_STALL },
        };

        for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
                if (strcmp(s, actions[i].name) == 0) {
                        p->action = actions[i].action;
                        return 0;
                }
        }
        s = str_skip_prefix(s, "ms:");
        p->action = ACTION_SLEEP;
        if (!s || str_to_u32(s, &p->sleep_ms) < 0 || p->sleep_ms > FAULT_MS_MAX)
                return -EINVAL;
        return 0;
}

/* "point[:nth]=action", cut up in place */
static int parse_point(char *s, Point *p)
{
        char *action = strchr(s, '=');

        if (!action)
                return -EINVAL;
        *action++ = 0;
        p->nth = 1;
        char *nth = strchr(s, ':');
        if (nth) {
                *nth++ = 0;
                if (str_to_u32(nth, &p->nth) < 0)
                        return -EINVAL;
        }
        size_t n = strlen(s);
        if (n == 0 || n >= sizeof(p->name))
                return -EINVAL;
        memcpy(p->name, s, n + 1);
        return parse_action(action, p);
}

void fault_init(void)
{
        const char *spec = secure_getenv("TARE_FAULT");

        fault_armed_ = false;
        n_points = 0;
        if (str_empty(spec) || geteuid() != 0)
                return;
        _cleanup_strv_ char **parts = strv_split(spec, ",");
        for (size_t i = 0; parts && parts[i]; i++) {
                _cleanup_free_ char *copy = xstrdup(parts[i]);
                Point *p = &points[n_points];
                if (n_points == FAULT_POINTS_MAX || parse_point(copy, p) < 0) {
                        log_error("TARE_FAULT: cannot use \"%s\" (want point[:nth]=kill|stall|"
                                  "fail|ms:N, at most %d), ignoring",
                                  parts[i], FAULT_POINTS_MAX);
                        continue;
                }
                atomic_store(&p->hits, 0);
                n_points++;
        }
        fault_armed_ = n_points > 0;
}

static void sleep_ms(uint32_t ms)
{
        struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

        while (nanosleep(&left, &left) < 0 && errno == EINTR)
                ;
}

static bool act(const Point *p)
{
        switch (p->action) {
        case ACTION_KILL:
                kill(getpid(), SIGKILL);
                _exit(128 + SIGKILL); /* the init of a pid namespace survives its own SIGKILL */
        case ACTION_STALL:
                for (;;)
                        pause();
        case ACTION_SLEEP:
                sleep_ms(p->sleep_ms);
                return false;
        case ACTION_FAIL:
                return true;
        }
        return false;
}

bool fault_hit(const char *point)
{
        bool fail = false;

        for (size_t i = 0; i < n_points; i++) {
                Point *p = &points[i];
                if (strcmp(p->name, point) != 0)
                        continue;
                uint32_t hit = atomic_fetch_add(&p->hits, 1) + 1;
                if (p->nth == 0 || p->nth == hit)
                        fail |= act(p);
        }
        return fail;
}
