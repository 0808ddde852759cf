/* SPDX-License-Identifier: Apache-2.0 */
/* spec-resolv.c - resolv.conf from a DNSConfig. Pure; spec_check_pod() has seen that no item holds
 * a blank or a line end. */
#include "spec/spec-internal.h"

static void add_line(StrBuf *b, const char *keyword, char *const *items, size_t n)
{
        if (n == 0)
                return;
        strbuf_adds(b, keyword);
        for (size_t i = 0; i < n; i++) {
                strbuf_addc(b, ' ');
                strbuf_adds(b, items[i]);
        }
        strbuf_addc(b, '\n');
}

char *spec_resolv_conf(const Runtime__V1__DNSConfig *dns)
{
        if (!dns || dns->n_servers + dns->n_searches + dns->n_options == 0)
                return NULL;
        StrBuf b = {};
        add_line(&b, "search", dns->searches, dns->n_searches);
        for (size_t i = 0; i < dns->n_servers; i++)
                add_line(&b, "nameserver", dns->servers + i, 1);
        add_line(&b, "options", dns->options, dns->n_options);
        return strbuf_take(&b);
}
