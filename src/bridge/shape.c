/* SPDX-License-Identifier: Apache-2.0 */
/* shape.c - limits of what a pod receives and sends, as the plugin bandwidth sets them: a token
 * bucket at the host's end of the pair; and one at an interface (ifb) to which is sent what comes
 * out of the pod. Runs as tare-net. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/io.h"
#include "bridge/attach.h"
#include "bridge/name.h"
#include "bridge/tc.h"

#define PREFIX          "bwp" /* of the interface's name */
#define CLOCK_FILE      "/proc/net/psched"
#define CLOCK_BYTES_MAX 128
#define SECOND_US       1000000.0
#define LATENCY_MS      25.0
#define NANO_CLOCK      1000000000U

/* Ticks of a microsecond: the kernel's unit for the time that a bucket takes to empty. */
static int read_clock(double *ret, Err *err)
{
        _cleanup_strbuf_ StrBuf b = {};
        unsigned ticks, us, resolution;
        int r = io_read_file(AT_FDCWD, CLOCK_FILE, CLOCK_BYTES_MAX, &b);

        if (r < 0)
                return err_sys(err, -r, "read %s", CLOCK_FILE);
        if (sscanf(strbuf_bytes(&b), "%8x %8x %8x", &ticks, &us, &resolution) != 3 || us == 0)
                return err_set(err, ERR_UNSUPPORTED, "%s is of another form", CLOCK_FILE);
        if (resolution == NANO_CLOCK)
                ticks = us;
        *ret = (double)ticks / us * (resolution / SECOND_US);
        return 0;
}

/* As the plugin's arithmetic is: large bursts go over 32 bits, and what is over is lost. */
static uint32_t cut(double value)
{
        return (uint32_t)(int64_t)value;
}

static int add_bucket(Attach *a, const Link *l, const PlanRate *limit, Err *err)
{
        uint64_t rate = limit->rate / 8;
        uint32_t burst = (uint32_t)(limit->burst / 8);
        double ticks = 0;
        int r = read_clock(&ticks, err);

        if (r < 0)
                return r;
        TcBucket bucket = {
                .rate = rate,
                .limit =
                        cut((double)rate * (SECOND_US * (LATENCY_MS / 1000.0)) / SECOND_US) + burst,
                .buffer = cut(cut(burst * SECOND_US / (double)rate) * ticks),
        };
        r = tc_add_bucket(&a->host, l->index, &bucket);
        return r < 0 ? err_sys(err, -r, "limit the rate of %s", l->name) : 0;
}

static int limit_from_pod(Attach *a, Err *err)
{
        char name[IFNAMSIZ];

        (void)name_of_pod(a->plan, a->call->container, PREFIX, name, sizeof(name));
        int r = link_add_ifb(&a->host, name, a->veth.mtu);
        if (r >= 0)
                r = link_get(&a->host, name, &a->ifb);
        if (r < 0)
                return err_sys(err, -r, "make interface %s", name);
        r = tc_add_ingress(&a->host, a->veth.index);
        if (r >= 0)
                r = tc_add_redirect(&a->host, a->veth.index, a->ifb.index);
        if (r < 0)
                return err_sys(err, -r, "send on what %s receives to %s", a->veth.name, name);
        return add_bucket(a, &a->ifb, &a->plan->from_pod, err);
}

int attach_shape(Attach *a, Err *err)
{
        int r = a->plan->to_pod.rate ? add_bucket(a, &a->veth, &a->plan->to_pod, err) : 0;

        if (r >= 0 && a->plan->from_pod.rate)
                r = limit_from_pod(a, err);
        return r;
}

/* What is at the pair goes with it. */
int attach_remove_shape(Attach *a, Err *err)
{
        char name[IFNAMSIZ];
        Link ifb;

        if (!a->plan->bandwidth)
                return 0;
        (void)name_of_pod(a->plan, a->call->container, PREFIX, name, sizeof(name));
        int r = link_get(&a->host, name, &ifb);
        if (r >= 0)
                r = link_delete(&a->host, ifb.index);
        return r < 0 && r != -ENODEV ? err_sys(err, -r, "delete interface %s", name) : 0;
}
