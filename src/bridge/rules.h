/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - packet filter rules of the tables that iptables keeps in nftables, in the very form in
 * which Debian's iptables 1.8.9 writes them: so iptables lists, compares and deletes them as its
 * own. One RuleBatch is one transaction: all of it or nothing.
 *
 * Source: the kernel's nf_tables.h, x_tables.h and what `iptables -A` sends. */
#ifndef TARE_BRIDGE_RULES_H
#define TARE_BRIDGE_RULES_H

#include "bridge/ip.h"
#include "sys/netlink.h"

#define RULES_CHAIN_MAX 29 /* bytes of a chain's name, its NUL too */
/* Bits of xt_conntrack's states: established and related. */
#define RULES_ANSWERS                                                                              \
        (XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED) | XT_CONNTRACK_STATE_BIT(IP_CT_RELATED))

/* Places in the header of a packet. */
enum {
        RULES_SOURCE_4 = 12,
        RULES_DESTINATION_4 = 16,
        RULES_SOURCE_6 = 8,
        RULES_DESTINATION_6 = 24
};

typedef struct RuleBatch {
        StrBuf b;
        const char *table; /* "nat", "filter" */
        size_t last;       /* message that asks for the acknowledgement */
        size_t rule, expressions;
        int family; /* of the open rule */
        bool in_rule, empty;
        uint32_t generation; /* 0: whatever has changed meanwhile */
} RuleBatch;

/* `generation` of rules_generation(), or 0: the transaction then fails with -ERESTART when
 * somebody has changed something since. */
void rules_begin(RuleBatch *t, const char *table, uint32_t generation);
/* Frees t. 0, also of an empty one; -ENOENT: something to delete or to jump to is not there. */
int rules_commit(RuleBatch *t, Netlink *nl);
void rules_done(RuleBatch *t);

/* Base chains: "PREROUTING", "OUTPUT", "POSTROUTING" of nat, "FORWARD" of filter. Fine when it is
 * there. */
void rules_add_base(RuleBatch *t, int family, const char *chain);
void rules_add_chain(RuleBatch *t, int family, const char *chain);
void rules_flush_chain(RuleBatch *t, int family, const char *chain);
void rules_delete_chain(RuleBatch *t, int family, const char *chain);
void rules_delete_rule(RuleBatch *t, int family, const char *chain, uint64_t handle);

/* A rule: open it, matches in iptables' order, then one of the ends, which closes it. */
typedef enum RulePlace { RULE_LAST, RULE_FIRST } RulePlace;
void rules_open(RuleBatch *t, int family, const char *chain, RulePlace place, uint8_t protocol);
void rules_match_protocol(RuleBatch *t, uint8_t protocol);
void rules_match_source(RuleBatch *t, const IpNet *net);
void rules_match_destination(RuleBatch *t, const IpNet *net, bool negated);
void rules_match_port(RuleBatch *t, uint16_t port);                    /* the destination's */
void rules_match_ports(RuleBatch *t, const uint16_t *ports, size_t n); /* at most 15 */
void rules_match_local(RuleBatch *t);                                  /* a local destination */
void rules_match_answers(RuleBatch *t);                                /* of connections */
void rules_match_mark(RuleBatch *t, uint32_t mark);
void rules_match_comment(RuleBatch *t, const char *comment);
void rules_end_accept(RuleBatch *t);
void rules_end_jump(RuleBatch *t, const char *chain);
void rules_end_masquerade(RuleBatch *t);
void rules_end_mark(RuleBatch *t, uint32_t mark);
void rules_end_dnat(RuleBatch *t, const Ip *to, uint16_t port);

/* --- what is there: rules-find.c --- */

int rules_generation(Netlink *nl, uint32_t *ret);
int rules_has_chain(Netlink *nl, const char *table, int family, const char *chain); /* 1, 0 */
/* Rules of a chain, 0 when it is not there; and, in *ret (freed by the caller, may be NULL), the
 * handles of those that jump to `target`. */
typedef struct RuleHandles {
        uint64_t *items;
        size_t n, rules; /* of all that are in the chain */
} RuleHandles;
int rules_find_jumps(Netlink *nl, const char *table, int family, const char *chain,
                     const char *target, RuleHandles *ret);
/* Those that accept what comes from the address, or answers that go to it, and are no more. */
int rules_find_address(Netlink *nl, const char *table, const char *chain, const Ip *ip,
                       bool is_destination, RuleHandles *ret);

/* Starts a message of nftables; for the two files of this header. */
size_t rules_begin_message(StrBuf *b, uint16_t type, uint16_t flags, int family, uint16_t subject);

#endif
