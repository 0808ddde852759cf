/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c - see rules.h. Runs in tare-net. */
#include "bridge/rules.h"

#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netlink.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/str.h"

/* Parameters of a match or target are padded to this. */
#define PADDED(n) (((n) + 7) & ~(size_t)7)

enum { DESTINATION_PORT = 2 };

/* --- transactions --- */

size_t rules_begin_message(StrBuf *b, uint16_t type, uint16_t flags, int family, uint16_t subject)
{
        struct nfgenmsg head = { .nfgen_family = (uint8_t)family,
                                 .version = NFNETLINK_V0,
                                 .res_id = htons(subject) };

        return netlink_begin(b, type, flags, &head, sizeof(head));
}

static size_t begin(RuleBatch *t, uint16_t type, uint16_t flags, int family)
{
        t->empty = false;
        t->last = rules_begin_message(&t->b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
                                      family, 0);
        return t->last;
}

void rules_begin(RuleBatch *t, const char *table, uint32_t generation)
{
        *t = (RuleBatch){ .table = table, .empty = true };
        size_t m = rules_begin_message(&t->b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC,
                                       NFNL_SUBSYS_NFTABLES);
        if (generation)
                netlink_put_be32(&t->b, NFNL_BATCH_GENID, generation);
        netlink_end(&t->b, m);
}

void rules_done(RuleBatch *t)
{
        strbuf_done(&t->b);
}

int rules_commit(RuleBatch *t, Netlink *nl)
{
        int r = 0;

        tare_assert(!t->in_rule);
        if (!t->empty) {
                struct nlmsghdr head;
                memcpy(&head, t->b.data + t->last, sizeof(head));
                head.nlmsg_flags |= NLM_F_ACK;
                memcpy(t->b.data + t->last, &head, sizeof(head));
                netlink_end(&t->b, rules_begin_message(&t->b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC,
                                                       NFNL_SUBSYS_NFTABLES));
                r = netlink_talk(nl, &t->b, NULL, NULL);
        }
        rules_done(t);
        return r;
}

/* --- tables and chains --- */

static void add_table(RuleBatch *t, int family)
{
        size_t m = begin(t, NFT_MSG_NEWTABLE, NLM_F_CREATE, family);

        netlink_put_str(&t->b, NFTA_TABLE_NAME, t->table);
        netlink_put_be32(&t->b, NFTA_TABLE_FLAGS, 0);
        netlink_end(&t->b, m);
}

void rules_add_base(RuleBatch *t, int family, const char *chain)
{
        static const struct {
                const char *table, *name;
                uint32_t hook;
                int32_t priority;
        } bases[] = {
                { "nat", "PREROUTING", NF_INET_PRE_ROUTING, -100 },
                { "nat", "OUTPUT", NF_INET_LOCAL_OUT, -100 },
                { "nat", "POSTROUTING", NF_INET_POST_ROUTING, 100 },
                { "filter", "FORWARD", NF_INET_FORWARD, 0 },
        };

        add_table(t, family);
        for (size_t i = 0; i < array_len(bases); i++) {
                if (!str_eq(bases[i].table, t->table) || !str_eq(bases[i].name, chain))
                        continue;
                size_t m = begin(t, NFT_MSG_NEWCHAIN, NLM_F_CREATE, family);
                netlink_put_str(&t->b, NFTA_CHAIN_TABLE, t->table);
                netlink_put_str(&t->b, NFTA_CHAIN_NAME, chain);
                size_t hook = netlink_nest(&t->b, NFTA_CHAIN_HOOK);
                netlink_put_be32(&t->b, NFTA_HOOK_HOOKNUM, bases[i].hook);
                netlink_put_be32(&t->b, NFTA_HOOK_PRIORITY, (uint32_t)bases[i].priority);
                netlink_nest_end(&t->b, hook);
                netlink_put_str(&t->b, NFTA_CHAIN_TYPE, t->table); /* so it happens to be */
                netlink_end(&t->b, m);
        }
}

void rules_add_chain(RuleBatch *t, int family, const char *chain)
{
        add_table(t, family);
        size_t m = begin(t, NFT_MSG_NEWCHAIN, NLM_F_CREATE, family);
        netlink_put_str(&t->b, NFTA_CHAIN_TABLE, t->table);
        netlink_put_str(&t->b, NFTA_CHAIN_NAME, chain);
        netlink_end(&t->b, m);
}

void rules_delete_chain(RuleBatch *t, int family, const char *chain)
{
        size_t m = begin(t, NFT_MSG_DELCHAIN, 0, family);

        netlink_put_str(&t->b, NFTA_CHAIN_TABLE, t->table);
        netlink_put_str(&t->b, NFTA_CHAIN_NAME, chain);
        netlink_end(&t->b, m);
}

static void delete_rules(RuleBatch *t, int family, const char *chain, const uint64_t *handle)
{
        size_t m = begin(t, NFT_MSG_DELRULE, 0, family);

        netlink_put_str(&t->b, NFTA_RULE_TABLE, t->table);
        netlink_put_str(&t->b, NFTA_RULE_CHAIN, chain);
        if (handle) {
                uint64_t wire = htobe64(*handle);
                netlink_put(&t->b, NFTA_RULE_HANDLE, &wire, sizeof(wire));
        }
        netlink_end(&t->b, m);
}

void rules_flush_chain(RuleBatch *t, int family, const char *chain)
{
        delete_rules(t, family, chain, NULL);
}

void rules_delete_rule(RuleBatch *t, int family, const char *chain, uint64_t handle)
{
        delete_rules(t, family, chain, &handle);
}

/* --- rules --- */

void rules_open(RuleBatch *t, int family, const char *chain, RulePlace place, uint8_t protocol)
{
        tare_assert(!t->in_rule);
        t->in_rule = true;
        t->family = family;
        t->rule = begin(t, NFT_MSG_NEWRULE,
                        (uint16_t)(NLM_F_CREATE | (place == RULE_LAST ? NLM_F_APPEND : 0)), family);
        netlink_put_str(&t->b, NFTA_RULE_TABLE, t->table);
        netlink_put_str(&t->b, NFTA_RULE_CHAIN, chain);
        if (protocol) { /* matches of iptables ask for it */
                size_t compat = netlink_nest(&t->b, NFTA_RULE_COMPAT);
                netlink_put_be32(&t->b, NFTA_RULE_COMPAT_PROTO, protocol);
                netlink_put_be32(&t->b, NFTA_RULE_COMPAT_FLAGS, 0);
                netlink_nest_end(&t->b, compat);
        }
        t->expressions = netlink_nest(&t->b, NFTA_RULE_EXPRESSIONS);
}

static void close_rule(RuleBatch *t)
{
        netlink_nest_end(&t->b, t->expressions);
        netlink_end(&t->b, t->rule);
        t->in_rule = false;
}

typedef struct Expression {
        size_t element, data;
} Expression;

static Expression begin_expression(RuleBatch *t, const char *name)
{
        Expression e = { .element = netlink_nest(&t->b, NFTA_LIST_ELEM) };

        netlink_put_str(&t->b, NFTA_EXPR_NAME, name);
        e.data = netlink_nest(&t->b, NFTA_EXPR_DATA);
        return e;
}

static void end_expression(RuleBatch *t, Expression e)
{
        netlink_nest_end(&t->b, e.data);
        netlink_nest_end(&t->b, e.element);
}

static void put_data(RuleBatch *t, uint16_t type, const void *data, size_t n)
{
        size_t nest = netlink_nest(&t->b, type);

        netlink_put(&t->b, NFTA_DATA_VALUE, data, n);
        netlink_nest_end(&t->b, nest);
}

static void add_payload(RuleBatch *t, uint32_t base, uint32_t offset, uint32_t len)
{
        Expression e = begin_expression(t, "payload");

        netlink_put_be32(&t->b, NFTA_PAYLOAD_DREG, NFT_REG_1);
        netlink_put_be32(&t->b, NFTA_PAYLOAD_BASE, base);
        netlink_put_be32(&t->b, NFTA_PAYLOAD_OFFSET, offset);
        netlink_put_be32(&t->b, NFTA_PAYLOAD_LEN, len);
        end_expression(t, e);
}

static void add_compare(RuleBatch *t, bool negated, const void *data, size_t n)
{
        Expression e = begin_expression(t, "cmp");

        netlink_put_be32(&t->b, NFTA_CMP_SREG, NFT_REG_1);
        netlink_put_be32(&t->b, NFTA_CMP_OP, negated ? NFT_CMP_NEQ : NFT_CMP_EQ);
        put_data(t, NFTA_CMP_DATA, data, n);
        end_expression(t, e);
}

static void add_bitwise(RuleBatch *t, const void *mask, size_t n)
{
        static const uint8_t zero[16];
        Expression e = begin_expression(t, "bitwise");

        netlink_put_be32(&t->b, NFTA_BITWISE_SREG, NFT_REG_1);
        netlink_put_be32(&t->b, NFTA_BITWISE_DREG, NFT_REG_1);
        netlink_put_be32(&t->b, NFTA_BITWISE_LEN, (uint32_t)n);
        put_data(t, NFTA_BITWISE_MASK, mask, n);
        put_data(t, NFTA_BITWISE_XOR, zero, n);
        end_expression(t, e);
}

static void add_meta(RuleBatch *t, uint32_t key)
{
        Expression e = begin_expression(t, "meta");

        netlink_put_be32(&t->b, NFTA_META_KEY, key);
        netlink_put_be32(&t->b, NFTA_META_DREG, NFT_REG_1);
        end_expression(t, e);
}

static void add_counter(RuleBatch *t)
{
        end_expression(t, begin_expression(t, "counter"));
}

static void add_match(RuleBatch *t, const char *name, uint32_t revision, const void *info, size_t n)
{
        Expression e = begin_expression(t, "match");

        netlink_put_str(&t->b, NFTA_MATCH_NAME, name);
        netlink_put_be32(&t->b, NFTA_MATCH_REV, revision);
        netlink_put(&t->b, NFTA_MATCH_INFO, info, n);
        end_expression(t, e);
}

/* The counter stands before what is done with the packet. */
static void end_target(RuleBatch *t, const char *name, uint32_t revision, const void *info,
                       size_t n)
{
        add_counter(t);
        Expression e = begin_expression(t, "target");
        netlink_put_str(&t->b, NFTA_TARGET_NAME, name);
        netlink_put_be32(&t->b, NFTA_TARGET_REV, revision);
        netlink_put(&t->b, NFTA_TARGET_INFO, info, n);
        end_expression(t, e);
        close_rule(t);
}

static void end_verdict(RuleBatch *t, int32_t code, const char *chain)
{
        add_counter(t);
        Expression e = begin_expression(t, "immediate");
        netlink_put_be32(&t->b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        size_t data = netlink_nest(&t->b, NFTA_IMMEDIATE_DATA);
        size_t verdict = netlink_nest(&t->b, NFTA_DATA_VERDICT);
        netlink_put_be32(&t->b, NFTA_VERDICT_CODE, (uint32_t)code);
        if (chain)
                netlink_put_str(&t->b, NFTA_VERDICT_CHAIN, chain);
        netlink_nest_end(&t->b, verdict);
        netlink_nest_end(&t->b, data);
        end_expression(t, e);
        close_rule(t);
}

/* --- matches --- */

/* Whole bytes of the network are compared, with a mask when the prefix ends within one: then all
 * of the address is loaded. */
static void match_address(RuleBatch *t, uint32_t offset, const IpNet *net, bool negated)
{
        IpNet ones = { .ip = { .family = net->ip.family }, .prefix = net->prefix };
        Ip network = ip_network(net);
        size_t n = ip_len(&net->ip);

        if (net->prefix == 0)
                return;
        if (net->prefix % 8 == 0) {
                add_payload(t, NFT_PAYLOAD_NETWORK_HEADER, offset, net->prefix / 8);
                add_compare(t, negated, network.bytes, net->prefix / 8);
                return;
        }
        memset(ones.ip.bytes, 0xff, n);
        Ip mask = ip_network(&ones);
        add_payload(t, NFT_PAYLOAD_NETWORK_HEADER, offset, (uint32_t)n);
        add_bitwise(t, mask.bytes, n);
        add_compare(t, negated, network.bytes, n);
}

void rules_match_source(RuleBatch *t, const IpNet *net)
{
        match_address(t, t->family == AF_INET6 ? RULES_SOURCE_6 : RULES_SOURCE_4, net, false);
}

void rules_match_destination(RuleBatch *t, const IpNet *net, bool negated)
{
        match_address(t, t->family == AF_INET6 ? RULES_DESTINATION_6 : RULES_DESTINATION_4, net,
                      negated);
}

void rules_match_protocol(RuleBatch *t, uint8_t protocol)
{
        add_meta(t, NFT_META_L4PROTO);
        add_compare(t, false, &protocol, sizeof(protocol));
}

void rules_match_port(RuleBatch *t, uint16_t port)
{
        uint16_t wire = htons(port);

        add_payload(t, NFT_PAYLOAD_TRANSPORT_HEADER, DESTINATION_PORT, sizeof(wire));
        add_compare(t, false, &wire, sizeof(wire));
}

void rules_match_ports(RuleBatch *t, const uint16_t *ports, size_t n)
{
        struct xt_multiport_v1 info = { .flags = XT_MULTIPORT_DESTINATION, .count = (uint8_t)n };

        tare_assert(n <= XT_MULTI_PORTS);
        memcpy(info.ports, ports, n * sizeof(*ports));
        add_match(t, "multiport", 1, &info, PADDED(sizeof(info)));
}

void rules_match_local(RuleBatch *t)
{
        struct xt_addrtype_info_v1 info = { .dest = XT_ADDRTYPE_LOCAL };

        add_match(t, "addrtype", 1, &info, PADDED(sizeof(info)));
}

void rules_match_answers(RuleBatch *t)
{
        struct xt_conntrack_mtinfo3 answers = { .match_flags = XT_CONNTRACK_STATE,
                                                .state_mask = RULES_ANSWERS };
        uint8_t info[PADDED(sizeof(answers))] = {};

        memcpy(info, &answers, sizeof(answers));
        add_match(t, "conntrack", 3, info, sizeof(info));
}

void rules_match_mark(RuleBatch *t, uint32_t mark)
{
        add_meta(t, NFT_META_MARK);
        add_bitwise(t, &mark, sizeof(mark));
        add_compare(t, false, &mark, sizeof(mark));
}

void rules_match_comment(RuleBatch *t, const char *comment)
{
        struct xt_comment_info info = {};

        tare_assert(strlen(comment) < sizeof(info.comment));
        memcpy(info.comment, comment, strlen(comment));
        add_match(t, "comment", 0, &info, sizeof(info));
}

/* --- ends --- */

void rules_end_accept(RuleBatch *t)
{
        end_verdict(t, NF_ACCEPT, NULL);
}

void rules_end_jump(RuleBatch *t, const char *chain)
{
        end_verdict(t, NFT_JUMP, chain);
}

void rules_end_masquerade(RuleBatch *t)
{
        struct nf_nat_ipv4_multi_range_compat range_4 = { .rangesize = 1 };
        struct nf_nat_range range_6 = {};
        uint8_t info[PADDED(sizeof(range_6))] = {};
        bool is_6 = t->family == AF_INET6;

        memcpy(info, is_6 ? (void *)&range_6 : (void *)&range_4,
               is_6 ? sizeof(range_6) : sizeof(range_4));
        end_target(t, "MASQUERADE", 0, info, PADDED(is_6 ? sizeof(range_6) : sizeof(range_4)));
}

void rules_end_mark(RuleBatch *t, uint32_t mark)
{
        struct xt_mark_tginfo2 info = { .mark = mark, .mask = mark };

        end_target(t, "MARK", 2, &info, sizeof(info));
}

void rules_end_dnat(RuleBatch *t, const Ip *to, uint16_t port)
{
        struct nf_nat_range2 range = { .flags = NF_NAT_RANGE_MAP_IPS |
                                                NF_NAT_RANGE_PROTO_SPECIFIED };
        uint8_t info[PADDED(sizeof(range))] = {};

        memcpy(&range.min_addr, to->bytes, ip_len(to));
        memcpy(&range.max_addr, to->bytes, ip_len(to));
        range.min_proto.all = range.max_proto.all = htons(port);
        memcpy(info, &range, sizeof(range));
        end_target(t, "DNAT", 2, info, sizeof(info));
}
