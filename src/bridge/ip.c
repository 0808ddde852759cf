/* SPDX-License-Identifier: Apache-2.0 */
/* ip.c - see ip.h. Pure. */
#include "bridge/ip.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

size_t ip_len(const Ip *ip)
{
        return ip->family == AF_INET6 ? 16 : ip->family == AF_INET ? 4 : 0;
}

int ip_parse(const char *text, Ip *ret)
{
        Ip ip = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };
        static const uint8_t zero[12], one[16] = { [15] = 1 };
        static const uint8_t mapped[12] = { [10] = 0xff, 0xff };

        if (inet_pton(ip.family, text, ip.bytes) != 1)
                return -EINVAL;
        if (ip.family == AF_INET6 && !ip_is_zero(&ip) && memcmp(ip.bytes, one, 16) != 0 &&
            (memcmp(ip.bytes, zero, 12) == 0 || memcmp(ip.bytes, mapped, 12) == 0))
                return -EINVAL;
        *ret = ip;
        return 0;
}

int ip_parse_net(const char *text, IpNet *ret)
{
        char address[IP_TEXT_MAX];
        const char *slash = strchr(text, '/');
        IpNet net = {};
        uint32_t prefix;

        if (!slash || (size_t)(slash - text) >= sizeof(address) ||
            str_to_u32(slash + 1, &prefix) < 0)
                return -EINVAL;
        memcpy(address, text, (size_t)(slash - text));
        address[slash - text] = '\0';
        if (ip_parse(address, &net.ip) < 0 || prefix > ip_len(&net.ip) * 8)
                return -EINVAL;
        net.prefix = prefix;
        *ret = net;
        return 0;
}

const char *ip_text(const Ip *ip, char buf[static IP_TEXT_MAX])
{
        tare_assert(inet_ntop(ip->family, ip->bytes, buf, IP_TEXT_MAX));
        return buf;
}

const char *ip_text_net(const IpNet *net, char buf[static IPNET_TEXT_MAX])
{
        char address[IP_TEXT_MAX];

        (void)snprintf(buf, IPNET_TEXT_MAX, "%s/%u", ip_text(&net->ip, address), net->prefix);
        return buf;
}

int ip_compare(const Ip *a, const Ip *b)
{
        return a->family != b->family ? a->family - b->family
                                      : memcmp(a->bytes, b->bytes, ip_len(a));
}

bool ip_equal(const Ip *a, const Ip *b)
{
        return ip_compare(a, b) == 0;
}

bool ip_is_zero(const Ip *ip)
{
        static const uint8_t zero[16];

        return memcmp(ip->bytes, zero, ip_len(ip)) == 0;
}

Ip ip_next(Ip ip)
{
        for (size_t i = ip_len(&ip); i-- > 0;)
                if (++ip.bytes[i] != 0)
                        break;
        return ip;
}

/* The bits of a byte that belong to the network. */
static uint8_t mask_byte(unsigned prefix, size_t i)
{
        unsigned first = (unsigned)i * 8;

        return prefix >= first + 8 ? 0xff
               : prefix <= first   ? 0
                                   : (uint8_t)(0xff00 >> (prefix - first));
}

Ip ip_network(const IpNet *net)
{
        Ip ip = net->ip;

        for (size_t i = 0; i < ip_len(&ip); i++)
                ip.bytes[i] &= mask_byte(net->prefix, i);
        return ip;
}

Ip ip_last(const IpNet *net)
{
        Ip ip = net->ip;

        for (size_t i = 0; i < ip_len(&ip); i++)
                ip.bytes[i] |= (uint8_t)~mask_byte(net->prefix, i);
        return ip;
}

bool ip_contains(const IpNet *net, const Ip *ip)
{
        IpNet other = { .ip = *ip, .prefix = net->prefix };

        if (net->ip.family != ip->family)
                return false;
        Ip a = ip_network(net), b = ip_network(&other);
        return ip_equal(&a, &b);
}

bool ip_equal_net(const IpNet *a, const IpNet *b)
{
        return a->prefix == b->prefix && ip_equal(&a->ip, &b->ip);
}
