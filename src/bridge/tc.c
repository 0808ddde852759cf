/* SPDX-License-Identifier: Apache-2.0 */
/* tc.c - see tc.h. Runs in tare-net. Source: the kernel's pkt_sched.h, pkt_cls.h, tc_mirred.h, and
 * what the plugin bandwidth sends. */
#include "bridge/tc.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include "base/cleanup.h"

#define INGRESS_HANDLE 0xffff0000U
#define BUCKET_HANDLE  0x00010000U /* 1: */
#define CLASS          0x00010001U /* 1:1 */
#define PRIORITY       1U

static size_t begin(StrBuf *b, uint16_t type, const struct tcmsg *head, const char *kind)
{
        size_t m =
                netlink_begin(b, type, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, head, sizeof(*head));

        netlink_put_str(b, TCA_KIND, kind);
        return m;
}

static int talk(Netlink *nl, StrBuf *b, size_t message)
{
        netlink_end(b, message);
        return netlink_talk(nl, b, NULL, NULL);
}

int tc_add_bucket(Netlink *nl, int index, const TcBucket *bucket)
{
        _cleanup_strbuf_ StrBuf b = {};
        struct tcmsg head = { .tcm_ifindex = index,
                              .tcm_handle = BUCKET_HANDLE,
                              .tcm_parent = TC_H_ROOT };
        struct tc_tbf_qopt opt = { .rate.rate = (uint32_t)bucket->rate,
                                   .limit = bucket->limit,
                                   .buffer = bucket->buffer };
        size_t m = begin(&b, RTM_NEWQDISC, &head, "tbf");
        size_t options = netlink_nest(&b, TCA_OPTIONS);

        netlink_put(&b, TCA_TBF_PARMS, &opt, sizeof(opt));
        if (bucket->rate > UINT32_MAX)
                netlink_put(&b, TCA_TBF_RATE64, &bucket->rate, sizeof(bucket->rate));
        netlink_nest_end(&b, options);
        return talk(nl, &b, m);
}

int tc_add_ingress(Netlink *nl, int index)
{
        _cleanup_strbuf_ StrBuf b = {};
        struct tcmsg head = { .tcm_ifindex = index,
                              .tcm_handle = INGRESS_HANDLE,
                              .tcm_parent = TC_H_INGRESS };

        return talk(nl, &b, begin(&b, RTM_NEWQDISC, &head, "ingress"));
}

static void put_redirect(StrBuf *b, uint16_t place, int verdict, int to)
{
        struct tc_mirred opt = { .action = verdict,
                                 .eaction = TCA_EGRESS_REDIR,
                                 .ifindex = (uint32_t)to };
        size_t action = netlink_nest(b, place);

        netlink_put_str(b, TCA_ACT_KIND, "mirred");
        size_t options = netlink_nest(b, TCA_ACT_OPTIONS);
        netlink_put(b, TCA_MIRRED_PARMS, &opt, sizeof(opt));
        netlink_nest_end(b, options);
        netlink_nest_end(b, action);
}

/* The plugin's library adds the action once more, which nothing comes to any more. */
int tc_add_redirect(Netlink *nl, int index, int to)
{
        _cleanup_strbuf_ StrBuf b = {};
        struct tcmsg head = { .tcm_ifindex = index,
                              .tcm_parent = INGRESS_HANDLE,
                              .tcm_info = PRIORITY << 16 | htons(ETH_P_ALL) };
        const struct tc_u32_sel sel = { .flags = TC_U32_TERMINAL, .nkeys = 1 };
        uint8_t all[sizeof(sel) + sizeof(struct tc_u32_key)] = {}; /* one key, of no bits */
        size_t m = begin(&b, RTM_NEWTFILTER, &head, "u32");
        size_t options = netlink_nest(&b, TCA_OPTIONS);

        memcpy(all, &sel, sizeof(sel));
        netlink_put(&b, TCA_U32_SEL, all, sizeof(all));
        netlink_put_u32(&b, TCA_U32_CLASSID, CLASS);
        size_t actions = netlink_nest(&b, TCA_U32_ACT);
        put_redirect(&b, 1, TC_ACT_STOLEN, to);
        put_redirect(&b, 2, TC_ACT_OK, to);
        netlink_nest_end(&b, actions);
        netlink_nest_end(&b, options);
        return talk(nl, &b, m);
}
