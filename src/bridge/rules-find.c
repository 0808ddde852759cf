/* SPDX-License-Identifier: Apache-2.0 */
/* rules-find.c - what is there of chains and rules: see rules.h. Runs in tare-net. */
#include "bridge/rules.h"

#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netlink.h>

#include "base/cleanup.h"
#include "base/str.h"

#define LIST_TRIES 1000 /* while others change the rules */

static int see_generation(void *data, uint16_t type, const void *body, size_t n)
{
        uint32_t wire;
        NetlinkAttr a;

        (void)type; /* there is one only */
        if (n < sizeof(struct nfgenmsg))
                return -EBADMSG;
        if (netlink_find((const char *)body + sizeof(struct nfgenmsg), n - sizeof(struct nfgenmsg),
                         NFTA_GEN_ID, &a) &&
            netlink_attr_u32(&a, &wire))
                *(uint32_t *)data = ntohl(wire);
        return 0;
}

int rules_generation(Netlink *nl, uint32_t *ret)
{
        _cleanup_strbuf_ StrBuf b = {};

        *ret = 0;
        netlink_end(&b, rules_begin_message(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                                            NLM_F_ACK, AF_UNSPEC, 0));
        return netlink_talk(nl, &b, see_generation, ret);
}

int rules_has_chain(Netlink *nl, const char *table, int family, const char *chain)
{
        _cleanup_strbuf_ StrBuf b = {};
        size_t m = rules_begin_message(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_ACK,
                                       family, 0);

        netlink_put_str(&b, NFTA_CHAIN_TABLE, table);
        netlink_put_str(&b, NFTA_CHAIN_NAME, chain);
        netlink_end(&b, m);
        int r = netlink_talk(nl, &b, NULL, NULL);
        return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

/* Of one rule; what it is compared with. */
typedef struct Search {
        const char *table, *chain;
        int family;
        const char *target; /* of a jump; NULL: the address decides */
        const Ip *ip;
        bool is_destination;
        RuleHandles *found;
} Search;

static bool find_path(const NetlinkAttr *a, const uint16_t *types, size_t n, NetlinkAttr *ret)
{
        *ret = *a;
        for (size_t i = 0; i < n; i++)
                if (!netlink_find(ret->data, ret->len, types[i], ret))
                        return false;
        return true;
}

static bool jumps_to(const NetlinkAttr *expressions, const char *target)
{
        static const uint16_t path[] = { NFTA_EXPR_DATA, NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT,
                                         NFTA_VERDICT_CHAIN };
        NetlinkAttr element, name, chain;

        for (size_t at = 0; netlink_next(expressions->data, expressions->len, &at, &element);)
                if (netlink_find(element.data, element.len, NFTA_EXPR_NAME, &name) &&
                    name.len == sizeof("immediate") &&
                    memcmp(name.data, "immediate", name.len) == 0 &&
                    find_path(&element, path, array_len(path), &chain) &&
                    chain.len == strlen(target) + 1 && memcmp(chain.data, target, chain.len) == 0)
                        return true;
        return false;
}

static bool is_named(const NetlinkAttr *expression, const char *name)
{
        NetlinkAttr a;

        return netlink_find(expression->data, expression->len, NFTA_EXPR_NAME, &a) &&
               a.len == strlen(name) + 1 && memcmp(a.data, name, a.len) == 0;
}

static bool has_number(const NetlinkAttr *expression, uint16_t type, uint32_t value)
{
        const uint16_t path[] = { NFTA_EXPR_DATA, type };
        NetlinkAttr a;
        uint32_t wire;

        return find_path(expression, path, array_len(path), &a) && netlink_attr_u32(&a, &wire) &&
               ntohl(wire) == value;
}

static bool loads_address(const NetlinkAttr *e, const Search *s)
{
        bool is_6 = s->family == AF_INET6;
        uint32_t offset = s->is_destination ? (is_6 ? RULES_DESTINATION_6 : RULES_DESTINATION_4)
                                            : (is_6 ? RULES_SOURCE_6 : RULES_SOURCE_4);

        return is_named(e, "payload") &&
               has_number(e, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER) &&
               has_number(e, NFTA_PAYLOAD_OFFSET, offset) &&
               has_number(e, NFTA_PAYLOAD_LEN, (uint32_t)ip_len(s->ip));
}

static bool compares_address(const NetlinkAttr *e, const Search *s)
{
        static const uint16_t path[] = { NFTA_EXPR_DATA, NFTA_CMP_DATA, NFTA_DATA_VALUE };
        NetlinkAttr a;

        return is_named(e, "cmp") && has_number(e, NFTA_CMP_OP, NFT_CMP_EQ) &&
               find_path(e, path, array_len(path), &a) && a.len == ip_len(s->ip) &&
               memcmp(a.data, s->ip->bytes, a.len) == 0;
}

static bool matches_answers(const NetlinkAttr *e)
{
        static const uint16_t path[] = { NFTA_EXPR_DATA, NFTA_MATCH_INFO };
        struct xt_conntrack_mtinfo3 info;
        NetlinkAttr a;

        if (!is_named(e, "match") || !find_path(e, path, array_len(path), &a) ||
            a.len < sizeof(info))
                return false;
        memcpy(&info, a.data, sizeof(info));
        return info.match_flags == XT_CONNTRACK_STATE && info.state_mask == RULES_ANSWERS;
}

static bool accepts(const NetlinkAttr *e)
{
        static const uint16_t path[] = { NFTA_EXPR_DATA, NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT,
                                         NFTA_VERDICT_CODE };
        NetlinkAttr a;
        uint32_t wire;

        return is_named(e, "immediate") && find_path(e, path, array_len(path), &a) &&
               netlink_attr_u32(&a, &wire) && ntohl(wire) == NF_ACCEPT;
}

/* Nothing but the address (answers only, when it is the destination's), a counter, and accept. */
static bool is_of_address(const NetlinkAttr *expressions, const Search *s)
{
        const size_t end = s->is_destination ? 4 : 3;
        size_t step = 0;
        NetlinkAttr e;

        for (size_t at = 0; netlink_next(expressions->data, expressions->len, &at, &e);) {
                if (is_named(&e, "counter"))
                        continue;
                bool fits = step == 0                        ? loads_address(&e, s)
                            : step == 1                      ? compares_address(&e, s)
                            : step == 2 && s->is_destination ? matches_answers(&e)
                                                             : step + 1 == end && accepts(&e);
                if (!fits)
                        return false;
                step++;
        }
        return step == end;
}

static int see_rule(void *data, uint16_t type, const void *body, size_t n)
{
        Search *s = data;
        RuleHandles *found = s->found;
        NetlinkAttr expressions, handle;
        uint64_t wire;

        if (type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE) || n < sizeof(struct nfgenmsg))
                return 0;
        const char *p = (const char *)body + sizeof(struct nfgenmsg);
        n -= sizeof(struct nfgenmsg);
        found->rules++;
        if (!netlink_find(p, n, NFTA_RULE_EXPRESSIONS, &expressions) ||
            !netlink_find(p, n, NFTA_RULE_HANDLE, &handle) || handle.len != sizeof(wire) ||
            !(s->target ? jumps_to(&expressions, s->target) : is_of_address(&expressions, s)))
                return 0;
        memcpy(&wire, handle.data, sizeof(wire));
        found->items = xrealloc(found->items, (found->n + 1) * sizeof(*found->items));
        found->items[found->n++] = be64toh(wire);
        return 0;
}

static int find_once(Netlink *nl, Search *s)
{
        _cleanup_strbuf_ StrBuf b = {};
        size_t m = rules_begin_message(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE, NLM_F_DUMP,
                                       s->family, 0);

        *s->found = (RuleHandles){};
        netlink_put_str(&b, NFTA_RULE_TABLE, s->table);
        netlink_put_str(&b, NFTA_RULE_CHAIN, s->chain);
        netlink_end(&b, m);
        int r = netlink_talk(nl, &b, see_rule, s);
        if (r < 0) {
                free(s->found->items);
                *s->found = (RuleHandles){};
        }
        return r == -ENOENT ? 0 : r;
}

static int find(Netlink *nl, Search *s)
{
        int r = -EINTR;

        for (int i = 0; i < LIST_TRIES && r == -EINTR; i++)
                r = find_once(nl, s);
        return r;
}

int rules_find_jumps(Netlink *nl, const char *table, int family, const char *chain,
                     const char *target, RuleHandles *ret)
{
        Search s = {
                .table = table, .family = family, .chain = chain, .target = target, .found = ret
        };

        return find(nl, &s);
}

int rules_find_address(Netlink *nl, const char *table, const char *chain, const Ip *ip,
                       bool is_destination, RuleHandles *ret)
{
        Search s = { .table = table,
                     .family = ip->family,
                     .chain = chain,
                     .ip = ip,
                     .is_destination = is_destination,
                     .found = ret };

        return find(nl, &s);
}
