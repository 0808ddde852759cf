/* SPDX-License-Identifier: Apache-2.0 */
/* netlink.h - requests to the kernel over a netlink socket, and their answers.
 *
 * A request is built in a StrBuf: netlink_begin(), attributes, netlink_end(); several make a batch.
 * netlink_talk() sends it and reads until it is answered. Blocks for as long as the kernel does;
 * answers of earlier requests are passed over. Plain -errno. Source: netlink(7), rtnetlink(7). */
#ifndef TARE_SYS_NETLINK_H
#define TARE_SYS_NETLINK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

typedef struct Netlink {
        int fd;
        uint32_t seq; /* of the last request */
} Netlink;
#define NETLINK_INIT                                                                               \
        {                                                                                          \
                .fd = -EBADF                                                                       \
        }

/* In the caller's network namespace, to which it belongs from then on. */
int netlink_open(Netlink *nl, int protocol);
void netlink_close(Netlink *nl); /* once more does no harm */

/* Starts a message at the end of b (NLM_F_REQUEST is added); its place, for netlink_end(). */
size_t netlink_begin(StrBuf *b, uint16_t type, uint16_t flags, const void *body, size_t n);
void netlink_end(StrBuf *b, size_t message);
void netlink_put(StrBuf *b, uint16_t type, const void *data, size_t n);
void netlink_put_str(StrBuf *b, uint16_t type, const char *s); /* with its NUL */
void netlink_put_u32(StrBuf *b, uint16_t type, uint32_t v);
void netlink_put_be32(StrBuf *b, uint16_t type, uint32_t v);
size_t netlink_nest(StrBuf *b, uint16_t type);
void netlink_nest_end(StrBuf *b, size_t nest);

/* An attribute of an answer; `data` is aligned to 4 only. */
typedef struct NetlinkAttr {
        uint16_t type; /* without its flags */
        const unsigned char *data;
        size_t len;
} NetlinkAttr;
/* The attribute at *at of p[0..n), or false at the end; anything malformed ends it. */
bool netlink_next(const void *p, size_t n, size_t *at, NetlinkAttr *ret);
bool netlink_find(const void *p, size_t n, uint16_t type, NetlinkAttr *ret);
bool netlink_attr_u32(const NetlinkAttr *a, uint32_t *ret); /* host order; false: another length */

/* A message of the answer: its type and what follows its header. Negative ends the reading, which
 * must then not go on with this socket. */
typedef int (*NetlinkEach)(void *data, uint16_t type, const void *body, size_t n);
/* Sends all of b. 0 when the kernel acknowledged (NLM_F_ACK on the last message that may be), or
 * the dump is complete; else the first error, or what `each` (may be NULL) returned. -EINTR: what
 * was dumped changed meanwhile, so that something may be missing: ask again. */
int netlink_talk(Netlink *nl, StrBuf *b, NetlinkEach each, void *data);

#endif
