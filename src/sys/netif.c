/* SPDX-License-Identifier: Apache-2.0 */
/* netif.c - see netif.h. Runs in the shim and the runtime, inside the pod's network namespace. */
#include "sys/netif.h"

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

#define REPLY_BYTES_MAX (64 * 1024) /* one message of a dump is at most this */

int netif_up(const char *name)
{
        struct ifreq req = { 0 };

        if (strlen(name) >= sizeof(req.ifr_name))
                return -EINVAL;
        memcpy(req.ifr_name, name, strlen(name));
        /* Of any family: the request goes to the devices. unix is there also without an IPv4. */
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &req) < 0)
                return -errno;
        if (req.ifr_flags & IFF_UP)
                return 0;
        req.ifr_flags |= IFF_UP;
        return ioctl(fd, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

static int send_dump_request(int fd)
{
        struct {
                struct nlmsghdr head;
                struct ifinfomsg info;
        } req = {
                .head = {
                        .nlmsg_len = sizeof(req),
                        .nlmsg_type = RTM_GETLINK,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                        .nlmsg_seq = 1,
                },
                .info = { .ifi_family = AF_UNSPEC },
        };
        ssize_t n = send(fd, &req, sizeof(req), 0);

        if (n < 0)
                return -errno;
        return n == (ssize_t)sizeof(req) ? 0 : -EIO;
}

/* True when the message is an interface other than lo, with statistics. */
static bool parse_link(const struct nlmsghdr *m, NetifStats *ret)
{
        const struct ifinfomsg *info = NLMSG_DATA(m);
        bool counted = false;

        if (m->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) || info->ifi_flags & IFF_LOOPBACK)
                return false;
        *ret = (NetifStats){ 0 };
        int left = (int)(m->nlmsg_len - NLMSG_LENGTH(sizeof(*info))); /* the macros need a sign */
        for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
                struct rtnl_link_stats64 s;
                if (a->rta_type == IFLA_IFNAME) {
                        size_t n = strnlen(RTA_DATA(a), RTA_PAYLOAD(a));
                        n = n < sizeof(ret->name) ? n : sizeof(ret->name) - 1;
                        memcpy(ret->name, RTA_DATA(a), n);
                } else if (a->rta_type == IFLA_STATS64) {
                        memset(&s, 0, sizeof(s)); /* older kernels send a shorter one */
                        memcpy(&s, RTA_DATA(a),
                               RTA_PAYLOAD(a) < sizeof(s) ? RTA_PAYLOAD(a) : sizeof(s));
                        ret->rx_bytes = s.rx_bytes;
                        ret->rx_packets = s.rx_packets;
                        ret->rx_errors = s.rx_errors;
                        ret->rx_dropped = s.rx_dropped;
                        ret->tx_bytes = s.tx_bytes;
                        ret->tx_packets = s.tx_packets;
                        ret->tx_errors = s.tx_errors;
                        ret->tx_dropped = s.tx_dropped;
                        counted = true;
                }
        }
        return counted && ret->name[0];
}

/* 1: the dump goes on, 0: it is over, or -errno. */
static int parse_reply(const char *reply, size_t n, NetifStats *ret, size_t max, size_t *count)
{
        size_t at = 0, step;

        for (; n - at >= sizeof(struct nlmsghdr); at += step < n - at ? step : n - at) {
                const struct nlmsghdr *m = (const void *)(reply + at);
                if (m->nlmsg_len < sizeof(*m) || m->nlmsg_len > n - at)
                        return -EBADMSG;
                step = NLMSG_ALIGN(m->nlmsg_len);
                NetifStats one;
                if (m->nlmsg_type == NLMSG_DONE)
                        return 0;
                if (m->nlmsg_type == NLMSG_ERROR) {
                        const struct nlmsgerr *e = NLMSG_DATA(m);
                        return m->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error < 0 ? e->error
                                                                                        : -EBADMSG;
                }
                if (m->nlmsg_type == RTM_NEWLINK && *count < max && parse_link(m, &one))
                        ret[(*count)++] = one;
        }
        return 1;
}

int netif_stats(NetifStats *ret, size_t max)
{
        size_t count = 0;

        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        if (fd < 0)
                return -errno;
        int r = send_dump_request(fd);
        if (r < 0)
                return r;
        _cleanup_free_ char *reply = malloc(REPLY_BYTES_MAX);
        if (!reply)
                return -ENOMEM;
        do {
                ssize_t n = recv(fd, reply, REPLY_BYTES_MAX, MSG_TRUNC);
                if (n < 0 && errno == EINTR) {
                        r = 1;
                        continue;
                }
                if (n < 0)
                        return -errno;
                if (n > REPLY_BYTES_MAX)
                        return -EMSGSIZE;
                r = n == 0 ? -EIO : parse_reply(reply, (size_t)n, ret, max, &count);
        } while (r > 0);
        return r < 0 ? r : (int)count;
}
