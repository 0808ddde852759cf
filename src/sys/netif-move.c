/* SPDX-License-Identifier: Apache-2.0 */
/* netif-move.c - an interface moves to another network namespace, with its addresses. Runs in the
 * runtime, in the namespace where the interface is.
 *
 * The kernel keeps what belongs to the device (MTU, hardware address), takes it down and forgets
 * its addresses: those are read before, and given again. A socket belongs to the namespace in which
 * it was opened, so nothing has to run in the other one. Source: rtnetlink(7). */
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/netif.h"
#include "sys/ns.h"

#define REPLY_BYTES_MAX (64 * 1024)
#define ADDRESSES_MAX   256 /* of one interface */

typedef struct Request {
        struct nlmsghdr head;
        union {
                struct ifinfomsg link;
                struct ifaddrmsg address;
        };
        char attributes[256];
} Request;

typedef struct Addresses {
        Request items[ADDRESSES_MAX];
        size_t n;
} Addresses;

static void request_init(Request *q, uint16_t type, uint16_t flags, size_t body)
{
        *q = (Request){ .head = { .nlmsg_len = (uint32_t)NLMSG_LENGTH(body),
                                  .nlmsg_type = type,
                                  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) } };
}

static int request_add(Request *q, uint16_t type, const void *data, size_t n)
{
        size_t at = NLMSG_ALIGN(q->head.nlmsg_len);
        struct rtattr a = { .rta_len = (uint16_t)RTA_LENGTH(n), .rta_type = type };

        if (at + RTA_SPACE(n) > sizeof(*q))
                return -EMSGSIZE;
        memcpy((char *)q + at, &a, sizeof(a));
        memcpy((char *)q + at + RTA_LENGTH(0), data, n);
        q->head.nlmsg_len = (uint32_t)(at + RTA_LENGTH(n));
        return 0;
}

static int open_netlink(void)
{
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

        return fd < 0 ? -errno : fd;
}

/* One request, one answer: an error number, 0 when it was done. */
static int transact(int fd, const Request *q)
{
        char reply[1024];

        if (send(fd, q, q->head.nlmsg_len, 0) < 0)
                return -errno;
        ssize_t n;
        do
                n = recv(fd, reply, sizeof(reply), 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        const struct nlmsghdr *m = (const void *)reply;
        if ((size_t)n < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || m->nlmsg_type != NLMSG_ERROR)
                return -EBADMSG;
        const struct nlmsgerr *e = NLMSG_DATA(m);
        return e->error;
}

/* Addresses of the whole world that do not run out, as a request to give them again. */
static int keep_address(const struct nlmsghdr *m, int index, Addresses *ret)
{
        const struct ifaddrmsg *a = NLMSG_DATA(m);

        if (m->nlmsg_type != RTM_NEWADDR || m->nlmsg_len < NLMSG_LENGTH(sizeof(*a)) ||
            (int)a->ifa_index != index || a->ifa_scope != RT_SCOPE_UNIVERSE ||
            !(a->ifa_flags & IFA_F_PERMANENT))
                return 0;
        if (ret->n == ADDRESSES_MAX)
                return -E2BIG;
        Request *q = &ret->items[ret->n++];
        request_init(q, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(*a));
        q->address = (struct ifaddrmsg){ .ifa_family = a->ifa_family,
                                         .ifa_prefixlen = a->ifa_prefixlen };
        int left = (int)(m->nlmsg_len - NLMSG_LENGTH(sizeof(*a)));
        for (const struct rtattr *t = IFA_RTA(a); RTA_OK(t, left); t = RTA_NEXT(t, left)) {
                bool kept = t->rta_type == IFA_LOCAL || t->rta_type == IFA_ADDRESS ||
                            t->rta_type == IFA_BROADCAST;
                int r = kept ? request_add(q, t->rta_type, RTA_DATA(t), RTA_PAYLOAD(t)) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* 1: there is more to come. */
static int keep_addresses(const char *reply, size_t n, int index, Addresses *ret)
{
        size_t at = 0, step;

        for (; n - at >= sizeof(struct nlmsghdr); at += step < n - at ? step : n - at) {
                const struct nlmsghdr *m = (const void *)(reply + at);
                if (m->nlmsg_len < sizeof(*m) || m->nlmsg_len > n - at)
                        return -EBADMSG;
                step = NLMSG_ALIGN(m->nlmsg_len);
                if (m->nlmsg_type == NLMSG_DONE)
                        return 0;
                if (m->nlmsg_type == NLMSG_ERROR)
                        return -EIO;
                int r = keep_address(m, index, ret);
                if (r < 0)
                        return r;
        }
        return 1;
}

static int read_addresses(int fd, int index, Addresses *ret)
{
        _cleanup_free_ char *reply = malloc(REPLY_BYTES_MAX);
        Request q;
        int r = 1;

        if (!reply)
                return -ENOMEM;
        request_init(&q, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
        if (send(fd, &q, q.head.nlmsg_len, 0) < 0)
                return -errno;
        while (r > 0) {
                ssize_t n = recv(fd, reply, REPLY_BYTES_MAX, MSG_TRUNC);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                r = n == 0                ? -EIO
                    : n > REPLY_BYTES_MAX ? -EMSGSIZE
                                          : keep_addresses(reply, (size_t)n, index, ret);
        }
        return r;
}

static int index_of(int fd, const char *name)
{
        struct ifreq req = { 0 };

        if (strlen(name) >= sizeof(req.ifr_name))
                return -EINVAL;
        memcpy(req.ifr_name, name, strlen(name));
        return ioctl(fd, SIOCGIFINDEX, &req) < 0 ? -errno : req.ifr_ifindex;
}

/* A socket of the other namespace; this process is back in its own. */
static int open_netlink_in(int ns_fd)
{
        _cleanup_close_ int own = ns_open(0, "net");

        if (own < 0)
                return own;
        if (setns(ns_fd, CLONE_NEWNET) < 0)
                return -errno;
        _cleanup_close_ int fd = open_netlink();
        if (setns(own, CLONE_NEWNET) < 0)
                return -errno;
        return take_fd(fd);
}

static int move_link(int fd, int index, int ns_fd, const char *name)
{
        uint32_t ns = (uint32_t)ns_fd;
        Request q;

        request_init(&q, RTM_NEWLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
        q.link = (struct ifinfomsg){ .ifi_family = AF_UNSPEC, .ifi_index = index };
        int r = request_add(&q, IFLA_NET_NS_FD, &ns, sizeof(ns));
        if (r == 0)
                r = request_add(&q, IFLA_IFNAME, name, strlen(name) + 1);
        return r < 0 ? r : transact(fd, &q);
}

static int set_up(int fd, int index)
{
        Request q;

        request_init(&q, RTM_NEWLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
        q.link = (struct ifinfomsg){ .ifi_family = AF_UNSPEC,
                                     .ifi_index = index,
                                     .ifi_flags = IFF_UP,
                                     .ifi_change = IFF_UP };
        return transact(fd, &q);
}

int netif_move(const char *name, int ns_fd, const char *new_name, Err *err)
{
        _cleanup_free_ Addresses *kept = calloc(1, sizeof(*kept));
        _cleanup_close_ int here = open_netlink();

        if (!kept || here < 0)
                return err_sys(err, kept ? -here : ENOMEM, "open a netlink socket");
        int index = index_of(here, name);
        if (index == -ENODEV)
                return err_set(err, ERR_NOT_FOUND, "there is no interface of this name");
        int r = index < 0 ? index : read_addresses(here, index, kept);
        if (r < 0)
                return err_sys(err, -r, "read its addresses");
        _cleanup_close_ int there = open_netlink_in(ns_fd);
        if (there < 0)
                return err_sys(err, -there, "open a netlink socket in the other namespace");
        r = move_link(here, index, ns_fd, new_name);
        if (r == -EEXIST)
                return err_set(err, ERR_EXISTS, "the other namespace has an interface '%s' already",
                               new_name);
        if (r < 0)
                return err_sys(err, -r, "move it");
        index = index_of(there, new_name);
        if (index < 0)
                return err_sys(err, -index, "find it again");
        for (size_t i = 0; i < kept->n && r == 0; i++) {
                kept->items[i].address.ifa_index = (uint32_t)index;
                r = transact(there, &kept->items[i]);
        }
        if (r < 0)
                return err_sys(err, -r, "give it its addresses again");
        r = set_up(there, index);
        return r < 0 ? err_sys(err, -r, "bring it up") : 0;
}
