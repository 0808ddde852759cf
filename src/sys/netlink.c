/* SPDX-License-Identifier: Apache-2.0 */
/* netlink.c - see netlink.h. Runs in tare-net. */
#include "sys/netlink.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define ANSWER_BYTES_MAX (64 * 1024) /* of one datagram; the kernel sends at most half */

int netlink_open(Netlink *nl, int protocol)
{
        nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
        return nl->fd < 0 ? -errno : 0;
}

void netlink_close(Netlink *nl)
{
        nl->fd = fd_close(nl->fd);
}

/* --- building --- */

static void pad(StrBuf *b)
{
        static const char zero[NLMSG_ALIGNTO];

        strbuf_add(b, zero, NLMSG_ALIGN(b->len) - b->len);
}

size_t netlink_begin(StrBuf *b, uint16_t type, uint16_t flags, const void *body, size_t n)
{
        struct nlmsghdr head = { .nlmsg_type = type,
                                 .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) };
        size_t message = b->len;

        strbuf_add(b, &head, sizeof(head));
        strbuf_add(b, body, n);
        pad(b);
        return message;
}

void netlink_end(StrBuf *b, size_t message)
{
        uint32_t len = (uint32_t)(b->len - message);

        memcpy(b->data + message + offsetof(struct nlmsghdr, nlmsg_len), &len, sizeof(len));
}

void netlink_put(StrBuf *b, uint16_t type, const void *data, size_t n)
{
        struct nlattr a = { .nla_len = (uint16_t)(sizeof(a) + n), .nla_type = type };

        strbuf_add(b, &a, sizeof(a));
        strbuf_add(b, data, n);
        pad(b);
}

void netlink_put_str(StrBuf *b, uint16_t type, const char *s)
{
        netlink_put(b, type, s, strlen(s) + 1);
}

void netlink_put_u32(StrBuf *b, uint16_t type, uint32_t v)
{
        netlink_put(b, type, &v, sizeof(v));
}

void netlink_put_be32(StrBuf *b, uint16_t type, uint32_t v)
{
        netlink_put_u32(b, type, htonl(v));
}

size_t netlink_nest(StrBuf *b, uint16_t type)
{
        size_t nest = b->len;

        netlink_put(b, (uint16_t)(type | NLA_F_NESTED), "", 0);
        return nest;
}

void netlink_nest_end(StrBuf *b, size_t nest)
{
        uint16_t len = (uint16_t)(b->len - nest);

        memcpy(b->data + nest + offsetof(struct nlattr, nla_len), &len, sizeof(len));
}

/* --- reading --- */

bool netlink_next(const void *p, size_t n, size_t *at, NetlinkAttr *ret)
{
        struct nlattr a;

        if (*at >= n || n - *at < sizeof(a))
                return false;
        memcpy(&a, (const char *)p + *at, sizeof(a));
        if (a.nla_len < sizeof(a) || a.nla_len > n - *at)
                return false;
        *ret = (NetlinkAttr){ .type = a.nla_type & NLA_TYPE_MASK,
                              .data = (const unsigned char *)p + *at + sizeof(a),
                              .len = a.nla_len - sizeof(a) };
        *at += NLA_ALIGN(a.nla_len);
        return true;
}

bool netlink_find(const void *p, size_t n, uint16_t type, NetlinkAttr *ret)
{
        for (size_t at = 0; netlink_next(p, n, &at, ret);)
                if (ret->type == type)
                        return true;
        return false;
}

bool netlink_attr_u32(const NetlinkAttr *a, uint32_t *ret)
{
        if (a->len != sizeof(*ret))
                return false;
        memcpy(ret, a->data, sizeof(*ret));
        return true;
}

/* --- talking --- */

/* All messages of one request have one number. */
static void number(StrBuf *b, uint32_t seq)
{
        for (size_t at = 0; at < b->len;) {
                struct nlmsghdr head;
                memcpy(&head, b->data + at, sizeof(head));
                head.nlmsg_seq = seq;
                memcpy(b->data + at, &head, sizeof(head));
                at += NLMSG_ALIGN(head.nlmsg_len);
        }
}

/* 1: there is more to come. *torn: what was listed changed under the kernel's hands. */
static int read_answer(const char *p, size_t n, uint32_t seq, NetlinkEach each, void *data,
                       bool *torn)
{
        size_t step;

        for (size_t at = 0; n - at >= sizeof(struct nlmsghdr);
             at += step < n - at ? step : n - at) {
                struct nlmsghdr head;
                int error = -EBADMSG;
                memcpy(&head, p + at, sizeof(head));
                if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > n - at)
                        return -EBADMSG;
                step = NLMSG_ALIGN(head.nlmsg_len);
                if (head.nlmsg_seq != seq)
                        continue;
                *torn |= head.nlmsg_flags & NLM_F_DUMP_INTR;
                const char *body = p + at + NLMSG_HDRLEN;
                size_t len = head.nlmsg_len - NLMSG_HDRLEN;
                if (head.nlmsg_type == NLMSG_ERROR || head.nlmsg_type == NLMSG_DONE) {
                        if (len >= sizeof(error))
                                memcpy(&error, body, sizeof(error));
                        return error < 0 ? error : 0;
                }
                int r = each ? each(data, head.nlmsg_type, body, len) : 0;
                if (r < 0)
                        return r;
        }
        return 1;
}

int netlink_talk(Netlink *nl, StrBuf *b, NetlinkEach each, void *data)
{
        _cleanup_free_ char *answer = malloc(ANSWER_BYTES_MAX);
        uint32_t seq = ++nl->seq;
        bool torn = false;
        int r = 1;

        if (!answer)
                return -ENOMEM;
        number(b, seq);
        if (send(nl->fd, b->data, b->len, 0) < 0)
                return -errno;
        while (r > 0) {
                ssize_t n = recv(nl->fd, answer, ANSWER_BYTES_MAX, MSG_TRUNC);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                r = n == 0                 ? -EIO
                    : n > ANSWER_BYTES_MAX ? -EMSGSIZE
                                           : read_answer(answer, (size_t)n, seq, each, data, &torn);
        }
        return r == 0 && torn ? -EINTR : r;
}
