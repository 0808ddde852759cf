/* SPDX-License-Identifier: Apache-2.0 */
/* ip.h - addresses and networks of both families as values; pure.
 *
 * An IPv6 address that has an IPv4 one in it is not taken: programs write it differently. */
#ifndef TARE_BRIDGE_IP_H
#define TARE_BRIDGE_IP_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Ip {
        int family; /* AF_INET, AF_INET6; 0: none */
        uint8_t bytes[16];
} Ip;

typedef struct IpNet {
        Ip ip; /* may have host bits */
        unsigned prefix;
} IpNet;

#define IP_TEXT_MAX    INET6_ADDRSTRLEN
#define IPNET_TEXT_MAX (INET6_ADDRSTRLEN + 4)

int ip_parse(const char *text, Ip *ret); /* -EINVAL */
/* "10.1.2.3/24", host bits kept. -EINVAL */
int ip_parse_net(const char *text, IpNet *ret);
const char *ip_text(const Ip *ip, char buf[static IP_TEXT_MAX]);
const char *ip_text_net(const IpNet *net, char buf[static IPNET_TEXT_MAX]);

size_t ip_len(const Ip *ip); /* bytes */
int ip_compare(const Ip *a, const Ip *b);
bool ip_equal(const Ip *a, const Ip *b);
bool ip_is_zero(const Ip *ip);
Ip ip_next(Ip ip);
Ip ip_network(const IpNet *net); /* without host bits */
Ip ip_last(const IpNet *net);    /* all host bits set */
bool ip_contains(const IpNet *net, const Ip *ip);
bool ip_equal_net(const IpNet *a, const IpNet *b);

#endif
