/* SPDX-License-Identifier: Apache-2.0 */
/* link.c - see link.h. Runs in tare-net. Source: rtnetlink(7), the kernel's if_link.h. */
#include "bridge/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/io.h"

#define SETTING_BYTES_MAX 256
#define LIST_TRIES        100 /* while others change what is listed */

static int talk(Netlink *nl, StrBuf *b, size_t message)
{
        netlink_end(b, message);
        return netlink_talk(nl, b, NULL, NULL);
}

/* --- reading a link --- */

static void copy_text(char *to, size_t size, const NetlinkAttr *a)
{
        size_t n = strnlen((const char *)a->data, a->len);

        n = n < size ? n : size - 1;
        memcpy(to, a->data, n);
        to[n] = '\0';
}

static int see_link(void *data, uint16_t type, const void *body, size_t n)
{
        Link *l = data;
        NetlinkAttr a, kind;

        if (type != RTM_NEWLINK || n < sizeof(struct ifinfomsg))
                return 0;
        const struct ifinfomsg *info = body;
        *l = (Link){ .index = info->ifi_index, .flags = info->ifi_flags };
        for (size_t at = NLMSG_ALIGN(sizeof(*info)); netlink_next(body, n, &at, &a);) {
                uint32_t v = 0;
                if (a.type == IFLA_IFNAME)
                        copy_text(l->name, sizeof(l->name), &a);
                else if (a.type == IFLA_ADDRESS && a.len == sizeof(l->mac))
                        memcpy(l->mac, a.data, a.len);
                else if (a.type == IFLA_OPERSTATE && a.len == 1)
                        l->state = a.data[0];
                else if (a.type == IFLA_MTU && netlink_attr_u32(&a, &v))
                        l->mtu = v;
                else if (a.type == IFLA_PROMISCUITY && netlink_attr_u32(&a, &v))
                        l->promiscuity = v;
                else if (a.type == IFLA_TXQLEN && netlink_attr_u32(&a, &v))
                        l->tx_queue = v;
                else if (a.type == IFLA_MASTER && netlink_attr_u32(&a, &v))
                        l->master = (int)v;
                else if (a.type == IFLA_LINKINFO &&
                         netlink_find(a.data, a.len, IFLA_INFO_KIND, &kind))
                        copy_text(l->kind, sizeof(l->kind), &kind);
        }
        return 0;
}

static int get(Netlink *nl, const char *name, int index, Link *ret)
{
        _cleanup_strbuf_ StrBuf b = {};
        struct ifinfomsg info = { .ifi_index = index };
        size_t m = netlink_begin(&b, RTM_GETLINK, NLM_F_ACK, &info, sizeof(info));

        *ret = (Link){};
        if (name)
                netlink_put_str(&b, IFLA_IFNAME, name);
        netlink_put_u32(&b, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        netlink_end(&b, m);
        int r = netlink_talk(nl, &b, see_link, ret);
        return r < 0 ? r : ret->index ? 0 : -ENODEV;
}

int link_get(Netlink *nl, const char *name, Link *ret)
{
        return get(nl, name, 0, ret);
}

const char *link_mac_text(const Link *l, char buf[static LINK_MAC_MAX])
{
        (void)snprintf(buf, LINK_MAC_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", l->mac[0], l->mac[1],
                       l->mac[2], l->mac[3], l->mac[4], l->mac[5]);
        return buf;
}

/* --- changing links --- */

static size_t begin_link(StrBuf *b, uint16_t type, uint16_t flags, const struct ifinfomsg *info)
{
        return netlink_begin(b, type, NLM_F_ACK | flags, info, sizeof(*info));
}

int link_add_bridge(Netlink *nl, const char *name, uint32_t mtu)
{
        _cleanup_strbuf_ StrBuf b = {};
        size_t m = begin_link(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &(struct ifinfomsg){});

        netlink_put_str(&b, IFLA_IFNAME, name);
        if (mtu)
                netlink_put_u32(&b, IFLA_MTU, mtu);
        size_t info = netlink_nest(&b, IFLA_LINKINFO);
        netlink_put_str(&b, IFLA_INFO_KIND, "bridge");
        netlink_nest_end(&b, info);
        return talk(nl, &b, m);
}

/* The plugins' libraries give new interfaces a queue of length 0. */
static void put_end(StrBuf *b, const char *name, uint32_t mtu)
{
        netlink_put_str(b, IFLA_IFNAME, name);
        netlink_put_u32(b, IFLA_TXQLEN, 0);
        if (mtu)
                netlink_put_u32(b, IFLA_MTU, mtu);
}

int link_add_veth(Netlink *nl, const char *name, const char *peer, int peer_ns, uint32_t mtu)
{
        _cleanup_strbuf_ StrBuf b = {};
        struct ifinfomsg none = {};
        size_t m = begin_link(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &none);

        put_end(&b, name, mtu);
        size_t info = netlink_nest(&b, IFLA_LINKINFO);
        netlink_put_str(&b, IFLA_INFO_KIND, "veth");
        size_t data = netlink_nest(&b, IFLA_INFO_DATA);
        size_t other = netlink_nest(&b, VETH_INFO_PEER);
        strbuf_add(&b, &none, sizeof(none));
        put_end(&b, peer, mtu);
        netlink_put_u32(&b, IFLA_NET_NS_FD, (uint32_t)peer_ns);
        netlink_nest_end(&b, other);
        netlink_nest_end(&b, data);
        netlink_nest_end(&b, info);
        return talk(nl, &b, m);
}

int link_add_ifb(Netlink *nl, const char *name, uint32_t mtu)
{
        _cleanup_strbuf_ StrBuf b = {};
        struct ifinfomsg head = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
        size_t m = begin_link(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head);

        put_end(&b, name, mtu);
        size_t info = netlink_nest(&b, IFLA_LINKINFO);
        netlink_put_str(&b, IFLA_INFO_KIND, "ifb");
        netlink_nest_end(&b, info);
        return talk(nl, &b, m);
}

int link_delete(Netlink *nl, int index)
{
        _cleanup_strbuf_ StrBuf b = {};

        return talk(nl, &b,
                    begin_link(&b, RTM_DELLINK, 0, &(struct ifinfomsg){ .ifi_index = index }));
}

int link_set_flags(Netlink *nl, int index, uint32_t flags, uint32_t mask)
{
        _cleanup_strbuf_ StrBuf b = {};
        struct ifinfomsg info = { .ifi_index = index, .ifi_flags = flags, .ifi_change = mask };

        return talk(nl, &b, begin_link(&b, RTM_NEWLINK, 0, &info));
}

int link_set_up(Netlink *nl, int index, uint32_t more_flags)
{
        return link_set_flags(nl, index, IFF_UP | more_flags, IFF_UP | more_flags);
}

int link_set_down(Netlink *nl, int index)
{
        return link_set_flags(nl, index, 0, IFF_UP);
}

static int set_number(Netlink *nl, int index, uint16_t type, uint32_t value)
{
        _cleanup_strbuf_ StrBuf b = {};
        size_t m = begin_link(&b, RTM_SETLINK, 0, &(struct ifinfomsg){ .ifi_index = index });

        netlink_put_u32(&b, type, value);
        return talk(nl, &b, m);
}

int link_set_mtu(Netlink *nl, int index, uint32_t mtu)
{
        return set_number(nl, index, IFLA_MTU, mtu);
}

int link_set_tx_queue(Netlink *nl, int index, uint32_t length)
{
        return set_number(nl, index, IFLA_TXQLEN, length);
}

int link_enslave(Netlink *nl, int index, int master)
{
        _cleanup_strbuf_ StrBuf b = {};
        struct ifinfomsg info = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
        size_t m = begin_link(&b, RTM_NEWLINK, 0, &info);

        netlink_put_u32(&b, IFLA_MASTER, (uint32_t)master);
        return talk(nl, &b, m);
}

int link_set_hairpin(Netlink *nl, int index)
{
        _cleanup_strbuf_ StrBuf b = {};
        struct ifinfomsg info = { .ifi_family = AF_BRIDGE, .ifi_index = index };
        uint8_t on = 1;
        size_t m = begin_link(&b, RTM_SETLINK, 0, &info);
        size_t port = netlink_nest(&b, IFLA_PROTINFO);

        netlink_put(&b, IFLA_BRPORT_MODE, &on, sizeof(on));
        netlink_nest_end(&b, port);
        return talk(nl, &b, m);
}

int link_set_mac(Netlink *nl, int index, const uint8_t mac[static 6])
{
        _cleanup_strbuf_ StrBuf b = {};
        size_t m = begin_link(&b, RTM_SETLINK, 0, &(struct ifinfomsg){ .ifi_index = index });

        netlink_put(&b, IFLA_ADDRESS, mac, 6);
        return talk(nl, &b, m);
}

/* --- addresses --- */

static size_t begin_address(StrBuf *b, uint16_t type, uint16_t flags, int index,
                            const IpNet *address)
{
        struct ifaddrmsg head = { .ifa_family = (uint8_t)address->ip.family,
                                  .ifa_prefixlen = (uint8_t)address->prefix,
                                  .ifa_index = (uint32_t)index };
        size_t m = netlink_begin(b, type, NLM_F_ACK | flags, &head, sizeof(head));

        netlink_put(b, IFA_LOCAL, address->ip.bytes, ip_len(&address->ip));
        netlink_put(b, IFA_ADDRESS, address->ip.bytes, ip_len(&address->ip));
        return m;
}

int link_add_address(Netlink *nl, int index, const IpNet *address)
{
        _cleanup_strbuf_ StrBuf b = {};
        size_t m = begin_address(&b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address);
        Ip last = ip_last(address);

        if (address->ip.family == AF_INET && address->prefix < 31)
                netlink_put(&b, IFA_BROADCAST, last.bytes, ip_len(&last));
        return talk(nl, &b, m);
}

int link_delete_address(Netlink *nl, int index, const IpNet *address)
{
        _cleanup_strbuf_ StrBuf b = {};

        return talk(nl, &b, begin_address(&b, RTM_DELADDR, 0, index, address));
}

typedef struct AddressList {
        int index;
        LinkAddress *items;
        size_t n;
} AddressList;

static int see_address(void *data, uint16_t type, const void *body, size_t n)
{
        AddressList *list = data;
        const struct ifaddrmsg *head = body;
        LinkAddress found = {};
        NetlinkAttr a;

        if (type != RTM_NEWADDR || n < sizeof(*head) || (int)head->ifa_index != list->index)
                return 0;
        found.net = (IpNet){ .ip = { .family = head->ifa_family }, .prefix = head->ifa_prefixlen };
        found.flags = head->ifa_flags;
        const char *p = (const char *)body + NLMSG_ALIGN(sizeof(*head));
        n -= NLMSG_ALIGN(sizeof(*head));
        if (netlink_find(p, n, IFA_FLAGS, &a))
                (void)netlink_attr_u32(&a, &found.flags); /* else the short ones stay */
        if ((!netlink_find(p, n, IFA_LOCAL, &a) && !netlink_find(p, n, IFA_ADDRESS, &a)) ||
            a.len != ip_len(&found.net.ip))
                return 0;
        memcpy(found.net.ip.bytes, a.data, a.len);
        list->items = xrealloc(list->items, (list->n + 1) * sizeof(*list->items));
        list->items[list->n++] = found;
        return 0;
}

int link_list_addresses(Netlink *nl, int index, int family, LinkAddress **ret)
{
        struct ifaddrmsg head = { .ifa_family = (uint8_t)family };
        AddressList list = { .index = index };
        int r = -EINTR;

        for (int i = 0; i < LIST_TRIES && r == -EINTR; i++) {
                _cleanup_strbuf_ StrBuf b = {};
                list.n = 0;
                netlink_end(&b, netlink_begin(&b, RTM_GETADDR, NLM_F_DUMP, &head, sizeof(head)));
                r = netlink_talk(nl, &b, see_address, &list);
        }
        if (r < 0) {
                free(list.items);
                return r;
        }
        *ret = list.items;
        return (int)list.n;
}

/* --- routes --- */

int link_add_route(Netlink *nl, int index, const IpNet *to, const Ip *gateway)
{
        _cleanup_strbuf_ StrBuf b = {};
        struct rtmsg head = { .rtm_family = (uint8_t)to->ip.family,
                              .rtm_dst_len = (uint8_t)to->prefix,
                              .rtm_table = RT_TABLE_MAIN,
                              .rtm_protocol = RTPROT_BOOT,
                              .rtm_scope = RT_SCOPE_UNIVERSE,
                              .rtm_type = RTN_UNICAST };
        size_t m = netlink_begin(&b, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, &head, sizeof(head));

        netlink_put(&b, RTA_DST, to->ip.bytes, ip_len(&to->ip));
        if (gateway->family)
                netlink_put(&b, RTA_GATEWAY, gateway->bytes, ip_len(gateway));
        netlink_put_u32(&b, RTA_OIF, (uint32_t)index);
        return talk(nl, &b, m);
}

static int see_route(void *data, uint16_t type, const void *body, size_t n)
{
        uint32_t *index = data;
        NetlinkAttr a;

        if (type == RTM_NEWROUTE && n >= sizeof(struct rtmsg) &&
            netlink_find((const char *)body + NLMSG_ALIGN(sizeof(struct rtmsg)),
                         n - NLMSG_ALIGN(sizeof(struct rtmsg)), RTA_OIF, &a))
                (void)netlink_attr_u32(&a, index); /* 0 stays: no interface */
        return 0;
}

int link_find_route(Netlink *nl, const Ip *to, char ret[static IFNAMSIZ])
{
        _cleanup_strbuf_ StrBuf b = {};
        struct rtmsg head = { .rtm_family = (uint8_t)to->family,
                              .rtm_dst_len = (uint8_t)(ip_len(to) * 8) };
        size_t m = netlink_begin(&b, RTM_GETROUTE, NLM_F_ACK, &head, sizeof(head));
        uint32_t index = 0;
        Link link;

        netlink_put(&b, RTA_DST, to->bytes, ip_len(to));
        netlink_end(&b, m);
        int r = netlink_talk(nl, &b, see_route, &index);
        if (r >= 0)
                r = index ? get(nl, NULL, (int)index, &link) : -ENETUNREACH;
        if (r >= 0)
                memcpy(ret, link.name, sizeof(link.name));
        return r;
}

/* --- settings --- */

static char *setting_path(const char *family, const char *ifname, const char *key)
{
        return xasprintf("/proc/sys/net/%s/conf/%s/%s", family, ifname, key);
}

int link_write_setting(const char *family, const char *ifname, const char *key, const char *value)
{
        _cleanup_free_ char *path = setting_path(family, ifname, key);

        return io_write_file(AT_FDCWD, path, value);
}

int link_read_setting(const char *family, const char *ifname, const char *key, char **ret)
{
        _cleanup_free_ char *path = setting_path(family, ifname, key);
        _cleanup_strbuf_ StrBuf b = {};
        int r = io_read_file(AT_FDCWD, path, SETTING_BYTES_MAX, &b);

        if (r < 0)
                return r;
        while (b.len > 0 && b.data[b.len - 1] == '\n')
                b.data[--b.len] = '\0';
        *ret = strbuf_take(&b);
        return 0;
}
