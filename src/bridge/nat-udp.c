/* SPDX-License-Identifier: Apache-2.0 */
/* nat-udp.c - forgets connections of UDP to host ports: the kernel would send what belongs to one
 * that it knows where it went before the rules were there. Runs in tare-net. Source: the kernel's
 * nfnetlink_conntrack.h. */
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include "bridge/nat.h"

typedef struct Stale {
        const Plan *plan;
        int family;
        StrBuf requests; /* one to delete each */
        StrBuf ends;     /* size_t: where each of them ends */
} Stale;

static size_t begin(StrBuf *b, uint16_t type, uint16_t flags, int family)
{
        struct nfgenmsg head = { .nfgen_family = (uint8_t)family, .version = NFNETLINK_V0 };

        return netlink_begin(b, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags, &head,
                             sizeof(head));
}

static bool is_ours(const Plan *p, const NetlinkAttr *tuple)
{
        NetlinkAttr protocol, number, port;
        uint16_t wire;

        if (!netlink_find(tuple->data, tuple->len, CTA_TUPLE_PROTO, &protocol) ||
            !netlink_find(protocol.data, protocol.len, CTA_PROTO_NUM, &number) || number.len != 1 ||
            number.data[0] != IPPROTO_UDP ||
            !netlink_find(protocol.data, protocol.len, CTA_PROTO_DST_PORT, &port) ||
            port.len != sizeof(wire))
                return false;
        memcpy(&wire, port.data, sizeof(wire));
        for (size_t i = 0; i < p->n_ports; i++)
                if (p->ports[i].protocol == IPPROTO_UDP && p->ports[i].host == ntohs(wire))
                        return true;
        return false;
}

static int see_connection(void *data, uint16_t type, const void *body, size_t n)
{
        Stale *s = data;
        NetlinkAttr tuple, zone;

        (void)type; /* there is one only */
        if (n < sizeof(struct nfgenmsg))
                return 0;
        const char *p = (const char *)body + sizeof(struct nfgenmsg);
        n -= sizeof(struct nfgenmsg);
        if (!netlink_find(p, n, CTA_TUPLE_ORIG, &tuple) || !is_ours(s->plan, &tuple))
                return 0;
        size_t m = begin(&s->requests, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, s->family);
        netlink_put(&s->requests, CTA_TUPLE_ORIG | NLA_F_NESTED, tuple.data, tuple.len);
        if (netlink_find(p, n, CTA_ZONE, &zone))
                netlink_put(&s->requests, CTA_ZONE, zone.data, zone.len);
        netlink_end(&s->requests, m);
        strbuf_add(&s->ends, &s->requests.len, sizeof(s->requests.len));
        return 0;
}

void nat_forget_udp(const Nat *n, int family)
{
        Stale s = { .plan = n->plan, .family = family };
        _cleanup_strbuf_ StrBuf list = {};
        bool any = false;
        size_t start = 0;

        for (size_t i = 0; i < n->plan->n_ports; i++)
                any |= n->plan->ports[i].protocol == IPPROTO_UDP;
        if (!any)
                return;
        netlink_end(&list, begin(&list, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family));
        (void)netlink_talk(n->nl, &list, see_connection, &s); /* see nat.h */
        for (size_t at = 0; at < s.ends.len; at += sizeof(size_t)) {
                _cleanup_strbuf_ StrBuf one = {};
                size_t end;
                memcpy(&end, s.ends.data + at, sizeof(end));
                strbuf_add(&one, s.requests.data + start, end - start);
                start = end;
                (void)netlink_talk(n->nl, &one, NULL, NULL); /* it may have ended by itself */
        }
        strbuf_done(&s.requests);
        strbuf_done(&s.ends);
}
